"""The register of ops: image ops, region sources and extractors, by name.

One line registers (:func:`register`), and entry points of the group ``medpipe.ops`` let other
packages add theirs. To be registered is to be in the conformance suite, in the JSON Schema
and in the reference.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from importlib.metadata import entry_points
from typing import Any, Literal, TypeVar

from medpipe.errors import ConfigError
from medpipe.keys import digest
from medpipe.ops.parameters import build, changed

Family = Literal["image", "regions", "features"]
OpType = TypeVar("OpType", bound=type)

_REGISTERED: dict[Family, dict[str, type[Any]]] = {"image": {}, "regions": {}, "features": {}}


def register(family: Family) -> Callable[[OpType], OpType]:
    """Register an op's class under its ``name`` in a family.

    Raises
    ------
    ConfigError
        If the name is taken by another class.
    """

    def add(op_type: OpType) -> OpType:
        name = op_type.name  # type: ignore[attr-defined]  # every op states its name
        taken = _REGISTERED[family].setdefault(name, op_type)
        if taken is not op_type:
            raise ConfigError(f"op {name!r} ({family}) is registered twice")
        return op_type

    return add


@cache
def registered(family: Family) -> Mapping[str, type[Any]]:
    """Return all ops of a family by name, entry points included."""
    import medpipe.ops.builtin  # noqa: F401  # registers medpipe's own ops when first asked

    for point in entry_points(group="medpipe.ops"):
        point.load()
    return dict(sorted(_REGISTERED[family].items()))


def make(family: Family, given: Mapping[str, Any], where: str) -> Any:
    """Make an op from a recipe's table: ``{op = "median", size = 3}``.

    Raises
    ------
    ConfigError
        If the op is unknown or a parameter is wrong; the message names the path.
    """
    parameters = dict(given)
    name = parameters.pop("op", None)
    known = registered(family)
    if not isinstance(name, str) or name not in known:
        raise ConfigError(f"{where}.op: {name!r} is no {family} op (known: {', '.join(known)})")
    return build(known[name], parameters, where)


def spec_of(op: Any) -> dict[str, Any]:
    """Return what goes into keys: name, version, and parameters that are not at their default."""
    return {"op": op.name, "version": op.version, **changed(op)}


def op_digest(op: Any) -> str:
    """Return the digest of :func:`spec_of`."""
    return digest(spec_of(op))
