"""Texture counts: local binary patterns, co-occurrence, runs, zones and neighbourhoods."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from skimage.feature import graycomatrix, local_binary_pattern
from skimage.measure import label

from medpipe.kernels.glcm import cooccurrences
from medpipe.kernels.glrlm import run_lengths
from medpipe.kernels.lbp import binary_patterns, bins_of
from medpipe.kernels.neighbours import neighbourhoods
from medpipe.kernels.ranks import DIRECTIONS_2D, DIRECTIONS_3D, Ranks, ranks_of
from medpipe.kernels.zones import zone_matrices, zones_of
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
        ours=lambda: binary_patterns(image, mask, origin=(0, 0)),
        peer="skimage by slice",
        theirs=lambda: _lbp_peer(image),
        difference=unequal,
    )
    levels = np.digitize(image, np.linspace(-1000, 200, LEVELS - 1)).astype(np.int32) + 1
    ranks = ranks_of(levels)
    from_zero = ranks.padded[1:-1, 1:-1, 1:-1].astype(np.uint8) - 1
    size = f"64x128x128, {LEVELS} levels"
    yield Bench(
        subject="glcm counts 2d",
        size=size,
        ours=lambda: _glcm_2d(ranks),
        peer="skimage by slice",
        theirs=lambda: _glcm_2d_peer(from_zero),
        difference=unequal,
    )
    yield Bench(
        subject="glcm counts 3d",
        size=size,
        ours=lambda: cooccurrences(ranks.padded, n_levels=ranks.levels.size, directions=DIRECTIONS_3D),
        difference=unequal,
        items=image.size,
        item="voxel",
    )
    yield from _matrices(ranks, size)


def _matrices(ranks: Ranks, size: str) -> Iterator[Bench]:
    """Yield the matrices of the other families in space; scikit-image finds the same zones, and no distances."""
    inner = ranks.padded[1:-1, 1:-1, 1:-1]
    mask, n_levels = inner > 0, ranks.levels.size
    labelled = inner.astype(np.int32)
    yield Bench(
        subject="glszm and gldzm counts 3d",
        size=size,
        ours=lambda: zone_matrices(zones_of(ranks.padded, mask, in_slices=False), n_levels=n_levels).by_size,
        peer="skimage.measure.label, sizes only",
        theirs=lambda: _zones_peer(labelled, n_levels),
        difference=unequal,
    )
    yield Bench(
        subject="ngtdm and ngldm counts 3d",
        size=size,
        ours=lambda: _flat(*neighbourhoods(ranks.padded, ranks.levels, directions=DIRECTIONS_3D)),
        peer="numpy, shift by shift",
        theirs=lambda: _flat(*_neighbourhoods_peer(ranks)),
        difference=lambda ours, theirs: float(np.abs(ours - theirs).max()),
        tolerance=1e-6,
    )
    yield Bench(
        subject="glrlm counts 3d",
        size=size,
        ours=lambda: run_lengths(ranks.padded, n_levels=n_levels, directions=DIRECTIONS_3D),
        difference=unequal,
        items=mask.size,
        item="voxel",
    )


def _zones_peer(levels: np.ndarray, n_levels: int) -> np.ndarray:
    labels, n_zones = label(levels, background=0, connectivity=3, return_num=True)
    sizes = np.bincount(labels.ravel(), minlength=n_zones + 1)
    of_zone = np.zeros(n_zones + 1, dtype=np.int64)
    of_zone[labels.ravel()] = levels.ravel()
    distinct, column = np.unique(sizes[1:], return_inverse=True)
    cells = np.bincount((of_zone[1:] - 1) * distinct.size + column, minlength=n_levels * distinct.size)
    return cells.reshape(n_levels, distinct.size)


def _neighbourhoods_peer(ranks: Ranks) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    here, n_levels = ranks.padded[1:-1, 1:-1, 1:-1], ranks.levels.size
    values = np.concatenate([[0.0], ranks.levels])
    total, around, equal = (np.zeros(here.shape, dtype=dtype) for dtype in (np.float64, np.int64, np.int64))
    for z, y, x in np.ndindex(3, 3, 3):
        if (z, y, x) != (1, 1, 1):
            there = ranks.padded[z : z + here.shape[0], y : y + here.shape[1], x : x + here.shape[2]]
            total += values[there]
            around += there > 0
            equal += there == here
    some = (here > 0) & (around > 0)
    rank = here[some].astype(np.int64) - 1
    difference = np.abs(values[here[some]] - total[some] / around[some])
    all_ranks = here[here > 0].astype(np.int64) - 1
    dependence = np.bincount(all_ranks * 27 + equal[here > 0], minlength=27 * n_levels)
    return (
        np.bincount(rank, minlength=n_levels),
        np.bincount(rank, weights=difference, minlength=n_levels),
        dependence,
    )


def _flat(*counted: np.ndarray) -> np.ndarray:
    return np.concatenate([part.ravel().astype(np.float64) for part in counted])


def _lbp_peer(image: np.ndarray) -> np.ndarray:
    with warnings.catch_warnings():
        # it advises against floats, which it compares all the same
        warnings.simplefilter("ignore")
        patterns = np.stack([local_binary_pattern(plane, 8, 1, method="uniform") for plane in image])
    return np.bincount(patterns.ravel().astype(np.int64), minlength=bins_of("uniform", 8))


def _glcm_2d(ranks: Ranks) -> np.ndarray:
    slices = (ranks.padded[place : place + 1] for place in range(1, len(ranks.padded) - 1))
    return np.stack([cooccurrences(plane, n_levels=ranks.levels.size, directions=DIRECTIONS_2D) for plane in slices])


def _glcm_2d_peer(levels: np.ndarray) -> np.ndarray:
    counted = [graycomatrix(plane, [1], _ANGLES, levels=int(levels.max()) + 1, symmetric=True) for plane in levels]
    return np.stack([np.moveaxis(counts[:, :, 0], -1, 0) for counts in counted])
