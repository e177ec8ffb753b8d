"""Texture counts: local binary patterns and co-occurrence."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from skimage.feature import graycomatrix, local_binary_pattern

from medpipe.kernels.glcm import DIRECTIONS_2D, DIRECTIONS_3D, cooccurrences
from medpipe.kernels.lbp import BINS, uniform_lbp
from tests.bench.denoise import SHAPE, thorax
from tests.bench.paired import Bench

LEVELS = 32
# angles of scikit-image turn from x towards y; those of DIRECTIONS_2D are x, y - x, y, y + x
_ANGLES = [0.0, 3 * np.pi / 4, np.pi / 2, np.pi / 4]


def unequal(ours: np.ndarray, theirs: np.ndarray) -> float:
    """Return how many numbers differ; infinity for another shape."""
    return float((ours != theirs).sum()) if ours.shape == theirs.shape else np.inf


def benches(folder: Path) -> Iterator[Bench]:
    """Yield the comparisons; the region is the whole image, since the peer knows none."""
    image = thorax()
    mask = np.ones(SHAPE, dtype=bool)
    yield Bench(
        subject="lbp uniform 8/1",
        size="64x128x128 float32",
        ours=lambda: uniform_lbp(image, mask, origin=(0, 0)),
        peer="skimage by slice",
        theirs=lambda: _lbp_peer(image),
        difference=unequal,
    )
    levels = np.digitize(image, np.linspace(-1000, 200, LEVELS - 1)).astype(np.int32) + 1
    from_zero = (levels - 1).astype(np.uint8)
    size = f"64x128x128, {LEVELS} levels"
    yield Bench(
        subject="glcm counts 2d",
        size=size,
        ours=lambda: _glcm_2d(levels),
        peer="skimage by slice",
        theirs=lambda: _glcm_2d_peer(from_zero),
        difference=unequal,
    )
    yield Bench(
        subject="glcm counts 3d",
        size=size,
        ours=lambda: cooccurrences(levels, n_levels=LEVELS, directions=DIRECTIONS_3D),
        difference=unequal,
        items=image.size,
        item="voxel",
    )


def _lbp_peer(image: np.ndarray) -> np.ndarray:
    with warnings.catch_warnings():
        # it advises against floats, which it compares all the same
        warnings.simplefilter("ignore")
        patterns = np.stack([local_binary_pattern(plane, 8, 1, method="uniform") for plane in image])
    return np.bincount(patterns.ravel().astype(np.int64), minlength=BINS)


def _glcm_2d(levels: np.ndarray) -> np.ndarray:
    slices = (levels[place : place + 1] for place in range(len(levels)))
    return np.stack([cooccurrences(plane, n_levels=LEVELS, directions=DIRECTIONS_2D) for plane in slices])


def _glcm_2d_peer(levels: np.ndarray) -> np.ndarray:
    counted = [graycomatrix(plane, [1], _ANGLES, levels=LEVELS, symmetric=True) for plane in levels]
    return np.stack([np.moveaxis(counts[:, :, 0], -1, 0) for counts in counted])
