"""Connected components of a mask that is seen block by block, numbered as in the whole.

Each block is labelled by itself. Of a block only its labels on cut planes, the size of each
component and the place of its first voxel are kept; what touches across a cut is then joined.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numba import njit
from numpy.typing import NDArray

from medpipe.types import Array
from medpipe.xp import backend_of, is_cupy, to_numpy

Neighbours = Literal[6, 18, 26]
"""Voxels that touch: by a face, also by an edge, also by a corner."""

Block = tuple[slice, slice, slice]
Shape = tuple[int, int, int]
Integers = NDArray[np.int64]

LABELLED_VOXELS = 1 << 20
"""Voxels that are labelled at a time where nobody says how many."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Joined:
    """What the labels of blocks become in the whole.

    Attributes
    ----------
    numbers : array of int64 (provisional labels + 1)
        The component of each provisional label, from 1 in the order of the components' first
        voxels (z, then y, then x); 0 for background.
    sizes : array of int64 (components + 1)
        Voxels of each component; background counts as none.
    """

    numbers: Integers
    sizes: Integers

    @property
    def count(self) -> int:
        """How many components there are."""
        return len(self.sizes) - 1


@dataclass(slots=True)
class _Plane:
    """Provisional labels beside one cut, or between two; voxels not seen yet, and cuts not joined yet."""

    labels: NDArray[np.int32]
    missing: int
    n_cuts: int


class BlockLabels:
    """Labels blocks of a mask, and joins them.

    Parameters
    ----------
    shape : (int, int, int)
        Of the whole mask (z, y, x).
    neighbours : {6, 18, 26}
        Voxels that belong together.
    """

    def __init__(self, shape: Shape, *, neighbours: Neighbours) -> None:
        self._shape = shape
        self._neighbours = neighbours
        self._sizes: list[Integers] = []
        self._first: list[Integers] = []
        self._planes: dict[tuple[int, int], _Plane] = {}
        self._pairs = [np.zeros((0, 2), np.int32)]
        self._count = 0

    @property
    def count(self) -> int:
        """How many provisional labels were given so far."""
        return self._count

    def add(self, mask: Array, block: Block) -> Array:
        """Return the labels of a block by itself; its provisional ones are higher by what ``count`` was before.

        Parameters
        ----------
        mask : array of bool (z, y, x)
        block : three slices
            Where it lies. Blocks do not overlap and together fill a grid of cuts.

        Returns
        -------
        array of int32 (z, y, x)
            From 1; 0 for background.
        """
        backend = backend_of(mask)
        local, count = backend.ndi.label(mask, structure=structure(self._neighbours))
        count = int(count)
        sizes, first = _measured(local, count)
        self._sizes.append(sizes)
        start = [side.start for side in block]
        inside = np.unravel_index(first, mask.shape)
        self._first.append(np.ravel_multi_index([n + at for n, at in zip(inside, start, strict=True)], self._shape))
        self._keep_planes(local, block)
        self._count += count
        return local

    def joined(self) -> Joined:
        """Return what provisional labels become, once every block was added."""
        sizes = np.concatenate([np.zeros(1, np.int64), *self._sizes])
        first = np.concatenate([np.zeros(1, np.int64), *self._first])
        roots = _roots(np.concatenate(self._pairs), self._count)
        # of each group the least first voxel, and groups in that order
        groups, of_label = np.unique(roots[1:], return_inverse=True)
        least = np.full(len(groups), np.iinfo(np.int64).max)
        np.minimum.at(least, of_label, first[1:])
        rank = np.empty(len(groups), np.int64)
        rank[np.argsort(least)] = np.arange(1, len(groups) + 1)
        numbers = np.concatenate([np.zeros(1, np.int64), rank[of_label]])
        total = np.bincount(numbers, weights=sizes, minlength=len(groups) + 1).astype(np.int64)
        total[0] = 0
        return Joined(numbers=numbers, sizes=total)

    def _keep_planes(self, labels: Array, block: Block) -> None:
        """Keep the block's provisional labels beside cuts, until both planes of a cut are complete."""
        for axis, side in enumerate(block):
            cuts = [at for at in (side.start, side.stop) if 0 < at < self._shape[axis]]
            for at in {min(max(cut, side.start), side.stop - 1) for cut in cuts}:
                n_cuts = sum(cut in (at, at + 1) for cut in cuts)
                self._keep_plane((axis, at), n_cuts, to_numpy(labels.take(at - side.start, axis=axis)), block)
            for cut in cuts:
                self._join(axis, cut)

    def _keep_plane(self, place: tuple[int, int], n_cuts: int, labels: NDArray[np.int32], block: Block) -> None:
        if place not in self._planes:
            sizes = tuple(size for axis, size in enumerate(self._shape) if axis != place[0])
            self._planes[place] = _Plane(np.zeros(sizes, np.int32), missing=math.prod(sizes), n_cuts=n_cuts)
        plane = self._planes[place]
        across = tuple(part for axis, part in enumerate(block) if axis != place[0])
        plane.labels[across] = np.where(labels > 0, labels + np.int32(self._count), np.int32(0))
        plane.missing -= labels.size

    def _join(self, axis: int, cut: int) -> None:
        """Note what touches across a cut before a voxel, once the planes on both sides are complete."""
        sides = [self._planes.get((axis, at)) for at in (cut - 1, cut)]
        if any(plane is None or plane.missing for plane in sides):
            return
        below, beyond = (plane for plane in sides if plane is not None)
        self._pairs += [_touching(below.labels, beyond.labels, shift) for shift in _plane_shifts(self._neighbours)]
        for at, plane in ((cut - 1, below), (cut, beyond)):
            plane.n_cuts -= 1
            if not plane.n_cuts:
                del self._planes[axis, at]


def structure(neighbours: Neighbours) -> NDArray[np.bool_]:
    """Return the neighbourhood as an array of bool (3, 3, 3)."""
    away = sum(np.abs(axis - 1) for axis in np.indices((3, 3, 3)))
    return np.asarray(away <= {6: 1, 18: 2, 26: 3}[neighbours])


def blocks_of(shape: Shape, block: Shape) -> Iterator[Block]:
    """Yield the blocks of a size that fill a shape; the last ones of an axis may be smaller."""
    starts = (range(0, size, step) for size, step in zip(shape, block, strict=True))
    for place in itertools.product(*starts):
        z, y, x = (slice(at, min(at + step, size)) for at, step, size in zip(place, block, shape, strict=True))
        yield z, y, x


def chosen_components(
    mask: Array, choose: Callable[[Integers], NDArray[np.bool_]], /, *, neighbours: Neighbours, slab: int | None = None
) -> Array:
    """Return the components of a mask that are wanted, labels of a slab at a time in memory.

    Parameters
    ----------
    mask : array of bool (z, y, x)
    choose : callable
        Takes the sizes of all components (0 for the background at place 0) and returns which
        are wanted.
    neighbours : {6, 18, 26}
    slab : int, optional
        Planes that are labelled at a time; as many as hold a million voxels if not given.

    Returns
    -------
    array of bool (z, y, x)
    """
    xp = backend_of(mask).xp
    shape = _triple(mask.shape)
    planes = slab or max(1, LABELLED_VOXELS // max(1, shape[1] * shape[2]))
    places = list(blocks_of(shape, (planes, max(1, shape[1]), max(1, shape[2]))))
    seen = BlockLabels(shape, neighbours=neighbours)
    starts = []
    for place in places:
        starts.append(seen.count)
        seen.add(mask[place], place)
    joined = seen.joined()
    wanted = choose(joined.sizes)
    wanted[0] = False
    table = wanted[joined.numbers]
    result = xp.zeros(mask.shape, dtype=bool)
    for place, start in zip(places, starts, strict=True):
        local, count = backend_of(mask).ndi.label(mask[place], structure=structure(neighbours))
        here = np.concatenate([[False], table[start + 1 : start + 1 + int(count)]])
        result[place] = xp.asarray(here)[local]
    return result


def _measured(labels: Array, count: int) -> tuple[Integers, Integers]:
    """Return the size of each label from 1, and the place of its first voxel in C order."""
    if not is_cupy(labels):
        sizes, first = np.zeros(count, np.int64), np.zeros(count, np.int64)
        _measure(np.ascontiguousarray(labels).reshape(-1), sizes, first)
        return sizes, first
    return _measured_by_sorting(labels)


def _measured_by_sorting(labels: Array) -> tuple[Integers, Integers]:
    xp = backend_of(labels).xp
    places = xp.flatnonzero(labels)
    _, first, sizes = xp.unique(labels.reshape(-1)[places], return_index=True, return_counts=True)
    return to_numpy(sizes).astype(np.int64), to_numpy(places[first]).astype(np.int64)


@njit(cache=True, nogil=True)
def _measure(labels: Any, sizes: Integers, first: Integers) -> None:
    for place in range(labels.size):
        label = labels[place]
        if label > 0:
            if sizes[label - 1] == 0:
                first[label - 1] = place
            sizes[label - 1] += 1


def _roots(pairs: NDArray[np.int32], count: int) -> Integers:
    """Return the least label of each label's group, by union-find over pairs."""
    roots = np.arange(count + 1, dtype=np.int64)
    _unite(np.ascontiguousarray(pairs), roots)
    return roots


@njit(cache=True, nogil=True)
def _unite(pairs: NDArray[np.int32], roots: Integers) -> None:
    for place in range(pairs.shape[0]):
        one, other = pairs[place, 0], pairs[place, 1]
        while roots[one] != one:
            roots[one] = roots[roots[one]]
            one = roots[one]
        while roots[other] != other:
            roots[other] = roots[roots[other]]
            other = roots[other]
        if one < other:
            roots[other] = one
        else:
            roots[one] = other
    for label in range(roots.size):
        roots[label] = roots[roots[label]]


def _plane_shifts(neighbours: Neighbours) -> list[tuple[int, int]]:
    """Return where, within the next plane, voxels lie that touch one of this plane."""
    beyond = structure(neighbours)[2]
    return [(int(y) - 1, int(x) - 1) for y, x in np.argwhere(beyond)]


def _touching(plane: NDArray[np.int32], beyond: NDArray[np.int32], shift: tuple[int, int]) -> NDArray[np.int32]:
    here = tuple(slice(max(-n, 0), size - max(n, 0)) for n, size in zip(shift, plane.shape, strict=True))
    there = tuple(slice(max(n, 0), size - max(-n, 0)) for n, size in zip(shift, plane.shape, strict=True))
    one, other = plane[here].reshape(-1), beyond[there].reshape(-1)
    both = (one > 0) & (other > 0)
    # a pair as one number: sorted far quicker than as two
    numbers = np.unique((one[both].astype(np.int64) << 32) | other[both])
    return np.stack([numbers >> 32, numbers & 0xFFFFFFFF], axis=1).astype(np.int32)


def _triple(shape: tuple[int, ...]) -> Shape:
    z, y, x = shape
    return z, y, x
