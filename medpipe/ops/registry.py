"""All ops there are, by family and name; from a recipe's table to an op, and from an op to its key.

One line registers (:func:`medpipe.ops.register.register`), and entry points of the group
``medpipe.ops`` let other packages add theirs. To be registered is to be in the conformance suite, in the JSON Schema
and in the reference.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.metadata import entry_points
from typing import Any

import medpipe.ops.builtin  # noqa: F401  # medpipe's own ops register themselves
from medpipe.errors import ConfigError
from medpipe.keys import digest
from medpipe.ops.parameters import build, named_spec
from medpipe.ops.regions import Composed
from medpipe.ops.register import REGISTERED, Family

__all__ = ["Family", "make", "op_digest", "registered", "spec_of"]


@cache
def registered(family: Family) -> Mapping[str, type[Any]]:
    """Return all ops of a family by name, entry points included."""
    for point in entry_points(group="medpipe.ops"):
        point.load()
    return dict(sorted(REGISTERED[family].items()))


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
    if isinstance(op, Composed):
        return op.spec()
    return named_spec(op)


def op_digest(op: Any) -> str:
    """Return the digest of :func:`spec_of`."""
    return digest(spec_of(op))
