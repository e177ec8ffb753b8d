"""What normalizing ops share: the voxels that statistics are taken of, and maps that are left as they are."""

from __future__ import annotations

from collections.abc import Callable

from medpipe.errors import Rejected
from medpipe.kernels.foreground import foreground
from medpipe.ops.frames import by_frame
from medpipe.ops.parameters import parameter
from medpipe.types import Array, Volume
from medpipe.xp import backend_of

_RELATIVE_UNITS = frozenset({"arbitrary", "normalized", "HU", "BQML"})
"""Units of images as scanners give them; values of any other unit are a map of a quantity."""


def quantitative() -> bool:
    """Declare the parameter by which a recipe says that maps of quantities are meant too."""
    declared: bool = parameter(
        default=False,
        doc="Change maps of a quantity too (ADC, T1, phase, uptake in g/mL, ...); without it they are refused.",
    )
    return declared


def refuse_map(volume: Volume, *, allowed: bool) -> None:
    """Refuse a volume whose values measure a quantity: on another scale they would measure nothing.

    Parameters
    ----------
    volume : Volume
    allowed : bool
        Whether the recipe says that such volumes are meant.

    Raises
    ------
    Rejected
        ``E_QUANTITATIVE``.
    """
    if not allowed and (volume.quantity or volume.unit not in _RELATIVE_UNITS):
        raise Rejected("E_QUANTITATIVE")


def foreground_of(volume: Volume, x: Array, mask: Array | None) -> Array:
    """Return where the statistics of a frame are taken.

    Parameters
    ----------
    volume : Volume
    x : array of float32 (z, y, x)
        The frame.
    mask : array of bool (z, y, x) or None
        Taken where it is given.

    Returns
    -------
    array of bool (z, y, x)
        Without a mask what stands out from the background for MR, and everything for all others.
    """
    if mask is not None:
        return mask
    if volume.modality == "MR":
        return foreground(x)
    return backend_of(x).xp.ones(x.shape, dtype=bool)


def over_foreground(volume: Volume, mask: Array | None, scale: Callable[[Array, Array], Array]) -> Array:
    """Return what a kernel of a frame and its foreground makes of each frame of a volume."""
    return by_frame(volume, lambda x: scale(x, foreground_of(volume, x, mask)))
