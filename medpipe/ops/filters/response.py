"""What a filter of the feature extractor offers beside being an image op, and how its columns are named."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from medpipe.contracts.protocols import Halo, ImageOp
from medpipe.errors import ConfigError
from medpipe.kernels.boundary import Boundary
from medpipe.types import Array, Geometry, Volume

BOUNDARY_DOC = (
    "Beyond the border: constant (zeros), nearest (the edge goes on), wrap (starts anew) or reflect (mirrored)."
)
BY_SLICE_DOC = "Within slices, in two dimensions."
INVARIANT_DOC = "Pool the responses to all rotations of the kernels by right angles, 4 in the slice and 24 in space."


@runtime_checkable
class ResponseFilter(ImageOp, Protocol):
    """An image op whose result is a response map that features can be measured on."""

    @property
    def tag(self) -> str:
        """What the names of its columns begin with: the filter and all parameters that change its map."""

    @property
    def ibsi(self) -> str:
        """IBSI code of the filter."""

    def context(self, geometry: Geometry) -> Halo | None:
        """Return the voxels around a region that its map there depends on, or None if it needs the whole image."""


def tag_of(name: str, *parts: str | float, by_slice: bool, boundary: Boundary | None = "reflect") -> str:
    """Return the tag of a filter: its name, 2D or 3D, what sets it apart, and the boundary unless it is mirrored."""
    said = [part if isinstance(part, str) else f"{part:.10g}" for part in parts]
    beyond = [] if boundary in ("reflect", None) else [boundary]
    words = [name, "2D" if by_slice else "3D", *said, *beyond]
    return "_".join(words).replace(".", "_").replace("-", "m").replace("+", "")


def as_map(volume: Volume, data: Array) -> Volume:
    """Return a response map as a volume: its values have no unit and are none that a header speaks of."""
    return volume.with_data(data, unit="arbitrary", quantity="", padding=None, real_world=None)


def of_planes(reach: Halo, geometry: Geometry, *, by_slice: bool, boundary: Boundary) -> Halo | None:
    """Return a halo of a filter with a reach: where the image starts anew at its ends, whole axes or all of it."""
    if boundary != "wrap":
        return reach
    _, y, x = geometry.spatial_shape
    return (0, y, x) if by_slice else None


def check_orders(orders: tuple[int, int, int] | None, *, by_slice: bool) -> None:
    """Refuse orders of a Riesz transform that are none.

    Raises
    ------
    ConfigError
        If all are 0, or one along z is asked for within slices.
    """
    if orders is None:
        return
    if not any(orders):
        raise ConfigError("riesz: at least one order must be above 0")
    if by_slice and orders[2]:
        raise ConfigError("riesz: within slices the order along z is 0")
