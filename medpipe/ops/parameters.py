"""Parameters of ops: constraints declared as data, checked once, written as a spec.

An op's dataclass fields carry their constraints in ``metadata`` through :func:`parameter`;
the same data gives the check, the JSON Schema and the reference page.
"""

from __future__ import annotations

import dataclasses
import math
import types
import typing
from collections.abc import Callable, Mapping
from typing import Any, Literal, TypeVar

from medpipe.contracts.protocols import ImageOp
from medpipe.errors import ConfigError
from medpipe.keys import as_float
from medpipe.ops.register import REGISTERED

T = TypeVar("T")

Pairs = tuple[tuple[str, str], ...]
"""An ordered mapping of text to text: a table in TOML, pairs in the op and in its spec."""


def parameter(
    default: Any = dataclasses.MISSING,
    *,
    doc: str,
    unit: str = "",
    low: float | None = None,
    high: float | None = None,
    above: float | None = None,
    counts: tuple[int, int] | None = None,
    keyed: Callable[[Any], Any] | None = None,
) -> Any:
    """Declare a parameter of an op.

    Parameters
    ----------
    default : optional
        Value where a recipe is silent; without one the parameter is required.
    doc : str
        One line for the reference.
    unit : str
        ``mm``, ``voxel``, ``HU``, ...
    low, high : float, optional
        Inclusive bounds of the value, or of each item of a list.
    above : float, optional
        Exclusive lower bound.
    counts : (int, int), optional
        Fewest and most items of a list whose type leaves that open.
    keyed : callable, optional
        What of a value goes into keys; all of it without one.
    """
    metadata = {"doc": doc, "unit": unit, "low": low, "high": high, "above": above, "counts": counts, "keyed": keyed}
    if default is dataclasses.MISSING:
        return dataclasses.field(metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


def bound() -> Any:
    """Declare a field that is no parameter: what an op works with, given by who runs it, and part of no key."""
    return dataclasses.field(default=None, compare=False, repr=False, metadata={"bound": True})


def by_digest(reference: str) -> str:
    """Return a pinned reference ``name@DIGEST`` without the name, which changes no result."""
    name, at, digest = reference.partition("@")
    return at + digest if digest not in ("", "latest") else name


def build(op_type: type[T], given: Mapping[str, Any], where: str) -> T:
    """Make an op from a recipe's table of parameters.

    Parameters
    ----------
    op_type : type
        Frozen, slotted, keyword-only dataclass.
    given : mapping
        Parameters by name, as TOML gives them (lists for tuples).
    where : str
        Path in the recipe, such as ``route.0.image.1``.

    Raises
    ------
    ConfigError
        For an unknown or missing name, a wrong type or a value out of range; names the path.
    """
    fields = {field.name: field for field in _parameters(op_type)}
    for name in given:
        if name not in fields:
            known = ", ".join(sorted(fields)) or "none"
            raise ConfigError(f"{where}.{name}: no such parameter (known: {known})")
    hints = typing.get_type_hints(op_type)
    values = {name: _checked(value, hints[name], fields[name], f"{where}.{name}") for name, value in given.items()}
    for name, field in fields.items():
        required = field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        if required and name not in values:
            raise ConfigError(f"{where}.{name}: required, but missing")
    try:
        return op_type(**values)
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from None


def changed(op: Any) -> dict[str, Any]:
    """Return an op's parameters that differ from their defaults, as JSON values, as they go into keys."""
    spec: dict[str, Any] = {}
    for field in _parameters(op):
        value = getattr(op, field.name)
        if field.default is dataclasses.MISSING or value != field.default:
            keyed = field.metadata.get("keyed")
            spec[field.name] = _plain(value if keyed is None else keyed(value))
    return spec


def named_spec(op: Any) -> dict[str, Any]:
    """Return name and version of an op, and its parameters that differ from their defaults."""
    return {"op": op.name, "version": op.version, **changed(op)}


def json_schema(op_type: type[Any]) -> dict[str, Any]:
    """Return the JSON Schema of an op's parameters."""
    hints = typing.get_type_hints(op_type)
    properties: dict[str, Any] = {}
    required = []
    for field in _parameters(op_type):
        properties[field.name] = _schema_of(hints[field.name], field)
        if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            required.append(field.name)
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}


def _parameters(op: Any) -> list[dataclasses.Field[Any]]:
    """Return the fields of an op, or of its type, that a recipe may give."""
    return [field for field in dataclasses.fields(op) if not field.metadata.get("bound")]


def _plain(value: Any) -> Any:
    if isinstance(value, ImageOp):
        return named_spec(value)
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return value


def _checked(value: Any, hint: Any, field: dataclasses.Field[Any], where: str) -> Any:
    origin = typing.get_origin(hint)
    arguments = typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        options = [argument for argument in arguments if argument is not type(None)]
        return _checked(value, options[0], field, where)
    if origin is Literal:
        # By type too: true is no 1, nor is 1.0.
        if not any(value == argument and type(value) is type(argument) for argument in arguments):
            raise ConfigError(f"{where}: {value!r} is none of {', '.join(map(repr, arguments))}")
        return value
    if hint is ImageOp:
        return value if isinstance(value, ImageOp) else _inner(value, where)
    if hint == Pairs and isinstance(value, Mapping):
        value = list(value.items())
    if origin is tuple:
        return _checked_items(value, arguments, field, where)
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        value = as_float(value)
    if not isinstance(value, hint) or (isinstance(value, bool) and hint is not bool):
        raise ConfigError(f"{where}: expected {_word(hint)}, found {type(value).__name__}")
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        _check_range(value, field, where)
    return value


def _inner(value: Any, where: str) -> ImageOp:
    """Make the image op that is a parameter of another: a table as in a chain, or a spec with its version."""
    known = REGISTERED["image"]
    given = dict(value) if isinstance(value, Mapping) else {}
    name = given.pop("op", None)
    if not isinstance(name, str) or name not in known:
        raise ConfigError(f"{where}.op: {name!r} is no image op (known: {', '.join(sorted(known))})")
    if given.get("version") == known[name].version:
        del given["version"]
    made: ImageOp = build(known[name], given, where)
    return made


def _checked_items(
    value: Any, arguments: tuple[Any, ...], field: dataclasses.Field[Any], where: str
) -> tuple[Any, ...]:
    if not isinstance(value, (list, tuple)):
        raise ConfigError(f"{where}: expected a list, found {type(value).__name__}")
    if len(arguments) == 2 and arguments[1] is Ellipsis:
        fewest, most = field.metadata.get("counts") or (0, len(value))
        if not fewest <= len(value) <= most:
            raise ConfigError(f"{where}: expected {fewest} to {most} values, found {len(value)}")
        arguments = (arguments[0],) * len(value)
    if len(value) != len(arguments):
        raise ConfigError(f"{where}: expected {len(arguments)} values, found {len(value)}")
    return tuple(
        _checked(item, hint, field, f"{where}.{place}")
        for place, (item, hint) in enumerate(zip(value, arguments, strict=True))
    )


def _check_range(value: float, field: dataclasses.Field[Any], where: str) -> None:
    low, high, above = (field.metadata.get(name) for name in ("low", "high", "above"))
    unit = field.metadata.get("unit") or ""
    if not math.isfinite(value):
        raise ConfigError(f"{where}: {value} is no finite number")
    if low is not None and value < low:
        raise ConfigError(f"{where}: {value} is below {low} {unit}".rstrip())
    if above is not None and value <= above:
        raise ConfigError(f"{where}: {value} is not above {above} {unit}".rstrip())
    if high is not None and value > high:
        raise ConfigError(f"{where}: {value} is above {high} {unit}".rstrip())


def _word(hint: Any) -> str:
    return {float: "a number", int: "a whole number", str: "text", bool: "true or false"}.get(hint, str(hint))


def _schema_of(hint: Any, field: dataclasses.Field[Any] | None) -> dict[str, Any]:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        schema = _schema_of(next(argument for argument in arguments if argument is not type(None)), field)
    elif origin is Literal:
        schema = {"enum": list(arguments)}
    elif hint is ImageOp:
        schema = {"type": "object", "properties": {"op": {"type": "string"}}, "required": ["op"]}
    elif hint == Pairs:
        schema = {"type": "object", "additionalProperties": {"type": "string"}}
    elif origin is tuple:
        items = _schema_of(arguments[0], field)
        schema = {"type": "array", "items": {key: items[key] for key in items if key not in ("description", "default")}}
        if arguments[-1] is not Ellipsis:
            schema |= {"minItems": len(arguments), "maxItems": len(arguments)}
        elif field is not None and field.metadata.get("counts"):
            schema |= dict(zip(("minItems", "maxItems"), field.metadata["counts"], strict=True))
    else:
        schema = {"type": {float: "number", int: "integer", str: "string", bool: "boolean"}[hint]}
        if field is not None and hint in (int, float):
            names = {"low": "minimum", "high": "maximum", "above": "exclusiveMinimum"}
            schema |= {names[k]: field.metadata[k] for k in names if field.metadata.get(k) is not None}
    if field is not None:
        unit = field.metadata.get("unit")
        schema["description"] = field.metadata.get("doc", "") + (f" [{unit}]" if unit else "")
        if field.default is not dataclasses.MISSING:
            schema["default"] = _plain(field.default)
    return schema
