"""A mask as the bits of the smallest box around it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import reduce
from typing import Any, Self

import numpy as np

Bools = np.ndarray[Any, np.dtype[np.bool_]]
Box = tuple[slice, slice, slice]
Shape = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Bits:
    """A mask, held on the host at a bit for each voxel of its box.

    Attributes
    ----------
    shape : (int, int, int)
        Of the whole mask (z, y, x).
    start, size : (int, int, int)
        First voxel and size of the smallest box around the voxels that are set; all zero for
        an empty mask.
    packed : bytes
        The box in C order, eight voxels to a byte, the first in the highest bit.
    """

    shape: Shape
    start: Shape
    size: Shape
    packed: bytes = field(repr=False)

    @classmethod
    def of(cls, part: np.ndarray[Any, Any], /, *, start: Shape = (0, 0, 0), shape: Shape | None = None) -> Self:
        """Return the bits of a mask, or of a part outside of which nothing is set.

        Parameters
        ----------
        part : array, (z, y, x)
            Whatever is not 0 is set.
        start : (int, int, int)
            Place of the part's first voxel in the whole mask.
        shape : (int, int, int), optional
            Of the whole mask; by default the part is all of it.
        """
        z, y, x = part.shape if shape is None else shape
        inner = _smallest_box(part)
        if inner is None:
            return cls(shape=(z, y, x), start=(0, 0, 0), size=(0, 0, 0), packed=b"")
        box = part[inner]
        first = _triple(side.start + offset for side, offset in zip(inner, start, strict=True))
        return cls(shape=(z, y, x), start=first, size=_triple(box.shape), packed=np.packbits(box != 0).tobytes())

    @property
    def box(self) -> Box | None:
        """The smallest box around what is set, or None if nothing is."""
        if not self.packed:
            return None
        z, y, x = (slice(start, start + size) for start, size in zip(self.start, self.size, strict=True))
        return z, y, x

    @property
    def inside(self) -> Bools:
        """The mask within its box."""
        bits = np.unpackbits(np.frombuffer(self.packed, dtype=np.uint8), count=math.prod(self.size))
        return bits.view(np.bool_).reshape(self.size)

    @property
    def n_voxels(self) -> int:
        """How many voxels are set."""
        return int(np.bitwise_count(np.frombuffer(self.packed, dtype=np.uint8)).sum(dtype=np.int64))

    def whole(self) -> Bools:
        """Return the whole mask."""
        return self.within((slice(0, self.shape[0]), slice(0, self.shape[1]), slice(0, self.shape[2])))

    def within(self, window: Box) -> Bools:
        """Return the part of the mask in a window of the image."""
        part = np.zeros(_triple(side.stop - side.start for side in window), dtype=np.bool_)
        if self.box is None:
            return part
        both = [_overlap(side, other) for side, other in zip(window, self.box, strict=True)]
        if all(low < high for low, high in both):
            into = tuple(
                slice(low - side.start, high - side.start) for (low, high), side in zip(both, window, strict=True)
            )
            taken = tuple(slice(low - side, high - side) for (low, high), side in zip(both, self.start, strict=True))
            part[into] = self.inside[taken]
        return part

    def planes(self, first_plane: int = 0) -> Iterator[Bools]:
        """Yield the mask plane by plane from one on, each as (1, y, x)."""
        empty = np.zeros((1, *self.shape[1:]), dtype=np.bool_)
        (first, row, column), inside = self.start, self.inside
        for index in range(first_plane, self.shape[0]):
            if not first <= index < first + self.size[0]:
                yield empty
                continue
            plane = empty.copy()
            plane[0, row : row + self.size[1], column : column + self.size[2]] = inside[index - first]
            yield plane

    def touches_border(self) -> bool:
        """Tell whether the mask reaches an edge along an axis of more than one voxel."""
        if self.box is None:
            return False
        sides = zip(self.box, self.shape, strict=True)
        return any(length > 1 and (side.start == 0 or side.stop == length) for side, length in sides)

    def joined(self, other: Self) -> Self:
        """Return what is set in this mask, in another one of the same shape, or in both."""
        boxes = [bits.box for bits in (self, other) if bits.box is not None]
        if len(boxes) < 2:
            return self if self.box is not None else other
        z, y, x = (slice(min(a.start, b.start), max(a.stop, b.stop)) for a, b in zip(*boxes, strict=True))
        part = self.within((z, y, x)) | other.within((z, y, x))
        return self.of(part, start=(z.start, y.start, x.start), shape=self.shape)


def join(masks: list[Bits]) -> Bits:
    """Return what is set in any of several masks (at least one) of one shape."""
    return reduce(Bits.joined, masks)


def _smallest_box(mask: np.ndarray[Any, Any]) -> Box | None:
    slices = [slice(None)] * 3
    for axis in range(3):
        others = tuple(other for other in range(3) if other != axis)
        # cropped as it goes: only the first axis looks at everything
        places = np.flatnonzero(mask[tuple(slices)].any(axis=others))
        if places.size == 0:
            return None
        slices[axis] = slice(int(places[0]), int(places[-1]) + 1)
    return slices[0], slices[1], slices[2]


def _overlap(one: slice, other: slice) -> tuple[int, int]:
    return max(one.start, other.start), min(one.stop, other.stop)


def _triple(values: Any) -> Shape:
    z, y, x = (int(value) for value in values)
    return z, y, x
