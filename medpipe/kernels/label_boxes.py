"""The box around each label of an image, in one pass."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numba import njit
from numpy.typing import NDArray

from medpipe.types import Array

Integers = NDArray[np.int64]


def label_boxes(planes: Iterable[Array], labels: tuple[int, ...], /) -> dict[int, tuple[slice, slice, slice]]:
    """Return the smallest box (z, y, x) around each label.

    Parameters
    ----------
    planes : iterable of NumPy array of int (y, x)
        The image plane by plane.
    labels : tuple of int
        Those that are looked for.

    Returns
    -------
    dict of int to three slices
        Labels that do not occur are left out.
    """
    known = np.unique(np.array(labels, dtype=np.int64))
    if known.size == 0:
        return {}
    # first and last place along each axis
    ends = np.empty((known.size, 3, 2), dtype=np.int64)
    ends[:, :, 0], ends[:, :, 1] = np.iinfo(np.int64).max, -1
    for z, plane in enumerate(planes):
        _extend(plane.astype(np.int64), z, known, ends)
    return {
        int(label): (slice(z[0], z[1] + 1), slice(y[0], y[1] + 1), slice(x[0], x[1] + 1))
        for label, (z, y, x) in zip(known, ends.tolist(), strict=True)
        if z[1] >= 0
    }


@njit(cache=True, nogil=True)
def _extend(plane: Integers, z: int, known: Integers, ends: Integers) -> None:
    before, place = known[0], 0
    for y in range(plane.shape[0]):
        for x in range(plane.shape[1]):
            label = plane[y, x]
            if label != before:
                # labels come in runs: each is looked up once
                before, place = label, np.searchsorted(known, label)
                if place == known.size or known[place] != label:
                    place = -1
            if place >= 0:
                box = ends[place]
                box[0, 0], box[0, 1] = min(box[0, 0], z), max(box[0, 1], z)
                box[1, 0], box[1, 1] = min(box[1, 0], y), max(box[1, 1], y)
                box[2, 0], box[2, 1] = min(box[2, 0], x), max(box[2, 1], x)
