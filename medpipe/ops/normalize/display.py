"""What headers ask of a display: values of interest, and polarity."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from medpipe.contracts.protocols import Halo
from medpipe.errors import Rejected
from medpipe.kernels.voi import inverted, looked_up
from medpipe.ops.normalize.window import WINDOW_KERNELS
from medpipe.ops.register import register
from medpipe.types import Array, Geometry, Volume
from medpipe.values import Display
from medpipe.xp import backend_of

_MEASURING = frozenset({"CT", "MR", "PT", "NM"})
"""Modalities whose values are physical: how they are shown says nothing about their sign."""


@register("image")
@dataclass(frozen=True, slots=True, kw_only=True)
class Voi:
    """Shows an image as its header asks: its table or window of values of interest onto [0, 1], then its polarity.

    The first table counts, else the first window with its function (LINEAR, LINEAR_EXACT,
    SIGMOID). Low values that are to be shown bright (MONOCHROME1, presentation INVERSE) become
    high ones. Must be the first op: headers speak of values as they were read.
    """

    name: ClassVar[str] = "voi"
    version: ClassVar[int] = 1
    uses_display: ClassVar[bool] = True
    must_be_first: ClassVar[bool] = True

    def halo(self, geometry: Geometry) -> Halo | None:  # noqa: ARG002  # windows may differ from slice to slice
        """Return None: the op needs to know which slices it is given."""
        return None

    def memory(self, geometry: Geometry) -> int:
        """Return the bytes of the result, of a plane's steps, and of a table."""
        return 4 * math.prod(geometry.shape) + 20 * math.prod(geometry.shape[-2:]) + 2**19

    def __call__(self, volume: Volume, mask: Array | None = None) -> Volume:  # noqa: ARG002  # voxel by voxel
        """Return the image as shown, unit ``normalized``.

        Raises
        ------
        Rejected
            ``E_VOI`` where a header gives neither table nor window, ``E_AXES`` where images of
            several colours are to be shown in different ways.
        """
        data = _by_part(volume, _shown)
        return volume.with_data(data, unit="normalized", padding=None, real_world=None)


@register("image")
@dataclass(frozen=True, slots=True, kw_only=True)
class Polarity:
    """Turns the values of images round whose header shows low ones bright, so that high is bright in all.

    The ends of what can be stored change places, so values stay in their range. Meant for X-ray
    images; must be the first op.
    """

    name: ClassVar[str] = "polarity"
    version: ClassVar[int] = 1
    uses_display: ClassVar[bool] = True
    must_be_first: ClassVar[bool] = True

    def halo(self, geometry: Geometry) -> Halo | None:  # noqa: ARG002  # polarity may differ from slice to slice
        """Return None: the op needs to know which slices it is given."""
        return None

    def memory(self, geometry: Geometry) -> int:
        """Return the bytes of the result and of a plane."""
        return 4 * math.prod(geometry.shape) + 4 * math.prod(geometry.shape[-2:])

    def __call__(self, volume: Volume, mask: Array | None = None) -> Volume:  # noqa: ARG002  # voxel by voxel
        """Return the image, high values bright; its unit stays.

        Raises
        ------
        Rejected
            ``E_VOI`` where nothing is known of how it is shown, or of its range; ``E_QUANTITATIVE``
            for what measures something (CT, MR, PET, or a map) and is to be turned round.
        """
        measures = volume.modality in _MEASURING or bool(volume.quantity)
        if measures and any(one.inverted for one in volume.display or ()):
            raise Rejected("E_QUANTITATIVE")
        return volume.with_data(_by_part(volume, _upright), padding=None, real_world=None, display=None)


def _by_part(volume: Volume, made: Callable[[Array, Display], Array]) -> Array:
    """Return what becomes of the parts of an image that members made, each by its own header."""
    if not volume.display:
        raise Rejected("E_VOI")
    if len(volume.display) > 1 and volume.geometry.axes == "czyx":
        raise Rejected("E_AXES")
    xp = backend_of(volume.data).xp
    data = xp.asarray(volume.data, dtype=xp.float32)
    result = xp.empty(data.shape, dtype=xp.float32)
    planes, places = (array.reshape(-1, *data.shape[-2:]) for array in (data, result))
    # one display for all, or one for each member, which are equal parts in the order of the array
    each = len(planes) // len(volume.display)
    for place, plane in enumerate(planes):
        places[place] = made(plane, volume.display[place // each])
    return result


def _shown(x: Array, one: Display) -> Array:
    xp = backend_of(x).xp
    if one.function == "table":
        assert one.first is not None
        result = looked_up(x, xp.asarray(np.array(one.table, np.float32)), first=one.first)
    elif one.function:
        assert one.center is not None and one.width is not None  # noqa: PT018  # read together
        result = WINDOW_KERNELS[one.function](x, center=one.center, width=one.width)
    else:
        raise Rejected("E_VOI")
    return inverted(result, low=0.0, high=1.0) if one.inverted else result


def _upright(x: Array, one: Display) -> Array:
    if not one.inverted:
        return x
    if one.ends is None:
        raise Rejected("E_VOI")
    return inverted(x, low=one.ends[0], high=one.ends[1])
