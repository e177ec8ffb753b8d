"""A region source on the image after ops of its own, and its regions after steps, under another name."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from medpipe.bits import Bits
from medpipe.contracts.protocols import Carrier, ImageOp, RegionSource, RegionStep, UsesPadding
from medpipe.errors import ConfigError, Rejected
from medpipe.ops.device_bytes import device_bytes_of
from medpipe.ops.frames import frame_bytes, result_bytes
from medpipe.ops.parameters import named_spec
from medpipe.ops.roi import Box, widened
from medpipe.ops.sound import applied
from medpipe.ops.suv import Suv
from medpipe.types import Companions, Geometry, Region, Volume
from medpipe.xp import backend_of, to_device, to_numpy

_NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,63}")
_OWN_NAME: Final = re.compile(r"roi_\d+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Composed:
    """A region source with what a recipe puts before and after it; see :func:`composed`.

    Attributes
    ----------
    source : RegionSource
    called : str
        Name of its regions, or an empty string for that of the source.
    after : tuple of ImageOp
        What the source looks at is the image it is given after these.
    then : tuple of RegionStep
        What is done to each of its regions.
    image : str
        Name of the companion image it is given, on the grid of the original, or an empty string for the original.
    """

    source: RegionSource
    called: str = ""
    after: tuple[ImageOp, ...] = ()
    then: tuple[RegionStep, ...] = ()
    image: str = ""

    @property
    def name(self) -> str:
        """Name of the regions."""
        return self.called or self.source.name

    @property
    def version(self) -> int:
        """Version of the source."""
        return self.source.version

    @property
    def uses_companions(self) -> bool:
        """Whether the source looks at companions."""
        return self.source.uses_companions

    @property
    def uses_concepts(self) -> bool:
        """Whether the source looks at more of companions than masks and names."""
        return bool(getattr(self.source, "uses_concepts", False))

    @property
    def uses_padding(self) -> bool:
        """Whether the source, or an op before it, looks at padding."""
        return any(isinstance(op, UsesPadding) and op.uses_padding for op in (self.source, *self.after))

    @property
    def uses_real_world(self) -> bool:
        """Whether an op before the source looks at real-world value maps."""
        return self._any_before("uses_real_world")

    @property
    def uses_display(self) -> bool:
        """Whether an op before the source looks at how the image is to be shown."""
        return self._any_before("uses_display")

    @property
    def uses_quantity(self) -> bool:
        """Whether an op before the source looks at what the values measure."""
        return self._any_before("uses_quantity")

    def _any_before(self, said: str) -> bool:
        return any(getattr(op, said, False) for op in self.after)

    @property
    def suv(self) -> Suv | None:
        """The op that turns values into uptake before the source looks, if there is one."""
        return next((op for op in self.after if isinstance(op, Suv)), None)

    def spec(self) -> dict[str, Any]:
        """Return what goes into keys: that of the source, and what there is around it."""
        said = {"name": self.called, "image": self.image}
        around: dict[str, Any] = {name: value for name, value in said.items() if value}
        for place in ("after", "then"):
            ops = [named_spec(op) for op in getattr(self, place)]
            around |= {place: ops} if ops else {}
        return {**named_spec(self.source), **around}

    def memory(self, geometry: Geometry) -> int:
        """Return the most that an op, the source or a step takes beside what is held at that time."""
        return self._memory(geometry, lambda op: op.memory(geometry))

    def device_memory(self, geometry: Geometry) -> int:
        """Return what :meth:`memory` does, with what each takes on a device."""
        return self._memory(geometry, lambda op: device_bytes_of(op, geometry))

    def _memory(self, geometry: Geometry, taken: Callable[[Any], int]) -> int:
        image = result_bytes(geometry, beside=0)
        held = [0, *(image for _ in self.after)]
        needs = [before + taken(op) for before, op in zip(held, self.after, strict=False)]
        needs.append(held[-1] + taken(self.source))
        masks = frame_bytes(geometry, per_voxel=2)
        return max([*needs, *(masks + taken(step) for step in self.then)])

    def __call__(self, volume: Volume, companions: Companions) -> tuple[Region, ...]:
        """Return the regions; one of which a step left nothing has no voxels and the code ``EMPTY_ROI``.

        Raises
        ------
        Rejected
            What an op, the source or a step says; ``E_OP_NONFINITE`` where an op makes of numbers what is none,
            ``E_GRID`` if one moved voxels to another grid.
        """
        seen = volume
        for op in self.after:
            seen = applied(op, seen)
        if seen.geometry != volume.geometry:
            raise Rejected("E_GRID")
        found = self.source(seen, companions)
        flag = "W_SYNTHETIC" if seen.synthetic else ""
        del seen
        return tuple(self._finished(replace(region, flag=flag or region.flag), volume) for region in found)

    def _finished(self, region: Region, volume: Volume) -> Region:
        named = replace(region, name=self.called or region.name)
        if region.code or not self.then:
            return named
        bits = region.bits
        for step in self.then:
            bits = _taken(step, bits, volume)
        return replace(named, bits=bits, code="EMPTY_ROI" if bits.box is None else "")


def _taken(step: RegionStep, bits: Bits, volume: Volume) -> Bits:
    """Return what a step makes of a region, worked out in the part of the grid that it can matter for."""
    geometry, box = volume.geometry, bits.box
    if box is None:
        return bits
    reach = step.reach(geometry) or geometry.spatial_shape
    window = widened(box, reach, geometry.spatial_shape)
    start = (window[0].start, window[1].start, window[2].start)
    mask = to_device(bits.within(window), device=backend_of(volume.data).device)
    return Bits.of(to_numpy(step(mask, _part(geometry, window))), start=start, shape=geometry.spatial_shape)


def _part(geometry: Geometry, window: Box) -> Geometry:
    """Return the geometry of a part of a grid (z, y, x)."""
    matrix, positions = geometry.matrix, geometry.slice_positions_mm
    if matrix is not None:
        matrix[:3, 3] += matrix[:3, :3] @ [side.start for side in reversed(window)]
    return replace(
        geometry,
        shape=tuple(side.stop - side.start for side in window),
        axes="zyx",
        affine_lps=None if matrix is None else tuple(float(item) for item in matrix.reshape(-1)),
        slice_positions_mm=None if positions is None else positions[window[0]],
    )


def composed(
    source: RegionSource,
    *,
    called: str = "",
    after: Sequence[ImageOp] = (),
    then: Sequence[RegionStep] = (),
    image: str = "",
) -> RegionSource:
    """Return a region source with ops before it, steps after it, a name and an image; itself where there are none.

    Parameters
    ----------
    source : RegionSource
    called : str
        Name of its regions: at most 64 lower-case letters, digits and _, not ``roi_N``.
    after : sequence of ImageOp
        Applied to the image; none may move voxels to another grid, and none of a companion image may look at what
        is known of an image as it was read alone.
    then : sequence of RegionStep
    image : str
        Name of a companion image, or an empty string for the original.

    Raises
    ------
    ConfigError
        With the path within the source's table, such as ``after.0``.
    """
    if called and (not _NAME.fullmatch(called) or _OWN_NAME.fullmatch(called)):
        raise ConfigError(f"name: {called!r} is no name (at most 64 lower-case letters, digits and _, not roi_N)")
    if source.uses_companions and (called or after or image):
        what = "name" if called else "after" if after else "image"
        raise ConfigError(f"{what}: {source.name} takes regions and their names from objects, not from the image")
    for place, op in enumerate(after):
        if isinstance(op, Carrier):
            raise ConfigError(
                f"after.{place}: {op.name} moves voxels to another grid; regions lie on that of the original"
            )
        if image and getattr(op, "must_be_first", False):
            raise ConfigError(
                f"after.{place}: {op.name} goes by values as they were read: it comes first in the image of the companion"
            )
    if image and isinstance(source, UsesPadding) and source.uses_padding:
        raise ConfigError(
            "padding: it is known by values as they were read; put fill_padding first in the image of the companion"
        )
    if after and isinstance(source, UsesPadding) and source.uses_padding:
        raise ConfigError("padding: it is known by values as they were read; put fill_padding first in after instead")
    if not (called or after or then or image):
        return source
    return Composed(source=source, called=called, after=tuple(after), then=tuple(then), image=image)
