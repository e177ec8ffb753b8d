"""What the ops of a route ask of an image beside its voxels: where none asks, it is no part of the image's content."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from medpipe.contracts.protocols import UsesPadding
from medpipe.recipe.companion import CompanionImage
from medpipe.recipe.recipe import Route


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What is asked of an image.

    Attributes
    ----------
    padding : bool
        Which values the header calls padding.
    quantity : bool
        What the header says the values measure.
    file_order : bool
        How the file has its slices in order.
    """

    padding: bool
    quantity: bool
    file_order: bool


def asked_of_case(route: Route) -> Asked:
    """Return what the ops of a route ask of the image of a case."""
    regions = (op for op in route.regions if not getattr(op, "image", ""))
    measures = (entry.op for entry in route.features if entry.beside is None)
    ops = (*route.image, *regions, *measures)
    return Asked(
        padding=_uses_padding(ops),
        quantity=_any(ops, "uses_quantity"),
        # a companion image on the grid of this one has its slices in the same order
        file_order=_any((entry.op for entry in route.features if entry.grid == "image"), "uses_file_order"),
    )


def asked_of_companion(route: Route, companion: CompanionImage) -> Asked:
    """Return what the ops of a route ask of a companion image; padding is known by values as they were read alone."""
    regions = (op for op in route.regions if getattr(op, "image", "") == companion.name)
    measures = tuple(entry for entry in route.features if entry.image == companion.name)
    own_grid = (entry.op for entry in measures if entry.grid == "companion")
    return Asked(
        padding=_uses_padding(companion.image),
        quantity=_any((*companion.image, *regions, *(entry.op for entry in measures)), "uses_quantity"),
        file_order=_any(own_grid, "uses_file_order"),
    )


def _uses_padding(ops: Iterable[Any]) -> bool:
    return any(isinstance(op, UsesPadding) and op.uses_padding for op in ops)


def _any(ops: Iterable[Any], said: str) -> bool:
    return any(getattr(op, said, False) for op in ops)
