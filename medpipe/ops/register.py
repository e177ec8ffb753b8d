"""The register itself: op classes by family and name; ops write themselves into it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, TypeVar

from medpipe.errors import ConfigError

Family = Literal["image", "regions", "steps", "features", "align", "views", "perturb"]
OpType = TypeVar("OpType", bound=type)

REGISTERED: dict[Family, dict[str, type[Any]]] = {
    "image": {},
    "regions": {},
    "steps": {},
    "features": {},
    "align": {},
    "views": {},
    "perturb": {},
}
"""What was registered so far; ask :func:`medpipe.ops.registry.registered` for all there is."""


def register(family: Family) -> Callable[[OpType], OpType]:
    """Register an op's class under its ``name`` in a family.

    Raises
    ------
    ConfigError
        If the name is taken by another class.
    """

    def add(op_type: OpType) -> OpType:
        name = op_type.name  # type: ignore[attr-defined]  # every op states its name
        taken = REGISTERED[family].setdefault(name, op_type)
        if taken is not op_type:
            raise ConfigError(f"op {name!r} ({family}) is registered twice")
        return op_type

    return add
