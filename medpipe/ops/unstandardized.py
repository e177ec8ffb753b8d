"""What extractors of families outside IBSI share."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from medpipe.ops import roi
from medpipe.types import Array, Region, Volume
from medpipe.xp import backend_of, to_numpy


@dataclass(frozen=True, slots=True, kw_only=True)
class Unstandardized:
    """An extractor of intensities as they are, of a family that IBSI does not have.

    Of an image on a GPU a number may differ by ``device_tolerance``, a share of it, from the host's.
    """

    device_tolerance: ClassVar[float] = 1e-6

    @property
    def discretisation(self) -> str:
        """Empty: no grey levels are made."""
        return ""

    @property
    def compliance(self) -> str:
        """``none``: not a family of IBSI."""
        return "none"


def word(number: float) -> str:
    """Return a number as a part of a column's name: ``2``, ``0_5``."""
    return repr(float(number)).removesuffix(".0").replace(".", "_")


def slices_of(volume: Volume, region: Region, *, reach: int, on_host: bool = False) -> Iterator[tuple[Array, Array]]:
    """Yield the slices of a region's box, each as image and mask (y, x).

    Parameters
    ----------
    volume : Volume
    region : Region
    reach : int
        Pixels of context in y and x, as far as the image has them.
    on_host : bool
        Whether to take the box to the host; else slices are where the volume is.

    Raises
    ------
    Rejected
        ``E_AXES`` for a volume with a time or channel axis, ``E_GRID`` for a mask of another shape.
    """
    roi.check_grid(volume, region)
    box = region.bits.box
    if box is None:
        return
    outer = roi.widened(box, (0, reach, reach), volume.geometry.spatial_shape)
    inside = region.bits.within(outer)
    image = to_numpy(volume.data[outer]) if on_host else volume.data[outer]
    xp = backend_of(image).xp
    for place, plane in enumerate(image):
        if inside[place].any():
            yield plane, xp.asarray(inside[place])


def without_missing(plane: Array) -> tuple[Array, Array]:
    """Return a slice whose missing pixels have the mean of the others, 0 where all are missing; and which are there."""
    xp = backend_of(plane).xp
    finite = xp.isfinite(plane)
    if bool(finite.all()):
        return plane, finite
    mean = float(plane[finite].mean(dtype=xp.float64)) if bool(finite.any()) else 0.0
    return xp.where(finite, plane, plane.dtype.type(mean)), finite
