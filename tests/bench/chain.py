"""Denoise and normalize a whole CT of 512x512x300, against the same stages one after the other."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from scipy import ndimage

from medpipe.kernels.gaussian import TRUNCATE
from medpipe.ops.registry import make
from medpipe.types import Geometry, Volume
from medpipe.work.fused import apply_chain
from tests.bench.denoise import largest
from tests.bench.paired import Bench

SHAPE = (300, 512, 512)
SPACING_MM = (1.0, 1.0, 1.0)
FEW = 32
"""Planes on which the memory of a peer is measured."""

LOW_HU, WIDTH_HU = -160.0, 400.0
GAUSSIAN = {"op": "gaussian", "sigma_mm": 1.0}
MEDIAN = {"op": "median", "size": 3}
WINDOW = {"op": "window", "preset": "soft_tissue"}
ZSCORE = {"op": "zscore"}

Stages = Callable[[np.ndarray], np.ndarray]


def scan() -> np.ndarray:
    """Return a body with lungs and noise, in HU."""
    rng = np.random.default_rng(4)
    y, x = np.ogrid[: SHAPE[1], : SHAPE[2]]
    body = np.where((y - 256) ** 2 + (x - 256) ** 2 < 220**2, 40.0, -1000.0)
    plane = np.where((y - 256) ** 2 + ((x - 256) % 200 - 100) ** 2 < 70**2, -850.0, body).astype(np.float32)
    result = np.empty(SHAPE, np.float32)
    for place in result:
        np.add(plane, rng.normal(0, 30, plane.shape), out=place, casting="same_kind")
    return result


def benches(folder: Path) -> Iterator[Bench]:
    """Yield the comparisons; what memory takes counts from the image that is given."""
    x = scan()
    for names, ops, peer, stages, rounds, tolerance in (
        ("gaussian, window", (GAUSSIAN, WINDOW), "scipy, numpy", _gaussian_window, None, 1e-5),
        ("gaussian, zscore", (GAUSSIAN, ZSCORE), "scipy, numpy", _gaussian_zscore, None, 1e-5),
        # half a minute a round
        ("median, window", (MEDIAN, WINDOW), "scipy, numpy", _median_window, 2, 1e-6),
    ):
        chain = tuple(make("image", op, "chain") for op in ops)
        ours = _bound(chain)
        of_ours, of_peer = _volumes_held(ours, x), _volumes_held(stages, x[:FEW])
        yield Bench(
            subject=f"chain {names}",
            size="300x512x512 float32",
            ours=lambda ours=ours: ours(x),
            peer=peer,
            theirs=lambda stages=stages: stages(x),
            difference=largest,
            tolerance=tolerance,
            moved_bytes=2 * x.nbytes,
            fresh_bytes=3 * x.nbytes,
            items=x.size // 1_000_000,
            item="Mvoxel",
            rounds=rounds,
            remark=lambda _ours, _theirs, a=of_ours, b=of_peer: f"peak {a:.2f} volumes, peer {b:.2f}",
        )


def _bound(chain: tuple[Any, ...]) -> Stages:
    def made(x: np.ndarray) -> np.ndarray:
        geometry = Geometry(shape=x.shape, spacing_mm=SPACING_MM)
        data: np.ndarray = apply_chain(chain, Volume(data=x, geometry=geometry, unit="HU", modality="CT")).data
        return data

    return made


def _volumes_held(stages: Stages, x: np.ndarray) -> float:
    """Return the most bytes that arrays take at once, that which is given among them, as so many of it."""
    stages(x[:2])  # compiled before
    tracemalloc.start()
    try:
        stages(x)
        return 1.0 + tracemalloc.get_traced_memory()[1] / x.nbytes
    finally:
        tracemalloc.stop()


def _window(x: np.ndarray) -> np.ndarray:
    return np.clip((x - np.float32(LOW_HU)) / np.float32(WIDTH_HU), 0, 1)


def _gaussian_window(x: np.ndarray) -> np.ndarray:
    return _window(ndimage.gaussian_filter(x, 1.0, mode="nearest", truncate=TRUNCATE))


def _gaussian_zscore(x: np.ndarray) -> np.ndarray:
    smooth = ndimage.gaussian_filter(x, 1.0, mode="nearest", truncate=TRUNCATE)
    return (smooth - smooth.mean(dtype=np.float64).astype(np.float32)) / smooth.std(dtype=np.float64).astype(np.float32)


def _median_window(x: np.ndarray) -> np.ndarray:
    return _window(ndimage.median_filter(x, size=3, mode="nearest"))
