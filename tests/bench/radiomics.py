"""IBSI features of regions of three sizes.

These figures are absolute; :mod:`tests.bench.features` has the peers. What is checked is that
every round gives the same bits and no feature of the full set is missing.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

import numpy as np

from medpipe.ops.extract_ibsi import Ibsi
from medpipe.types import Geometry, Region, Volume
from tests.bench.paired import Bench

BOXES = ((11, 13, 13), (23, 29, 29), (49, 62, 63))
"""Boxes whose ellipsoids hold about 1e3, 1e4 and 1e5 voxels."""

SPACING_MM = (2.0, 0.9, 0.9)


def ellipsoid(shape: tuple[int, int, int]) -> np.ndarray:
    """Return the mask of the ellipsoid that fills a box."""
    z, y, x = ((np.arange(size) + 0.5) / size * 2 - 1 for size in shape)
    mask: np.ndarray = z[:, None, None] ** 2 + y[:, None] ** 2 + x**2 <= 1.0
    return mask


def subject_of(box: tuple[int, int, int]) -> tuple[Volume, Region]:
    """Return a textured lesion with a margin around it."""
    shape = (box[0] + 6, box[1] + 6, box[2] + 6)
    rng = np.random.default_rng(11)
    data = rng.normal(40.0, 60.0, shape).cumsum(axis=2).astype(np.float32)
    mask = np.pad(ellipsoid(box), 3)
    volume = Volume(data=data, geometry=Geometry(shape=shape, spacing_mm=SPACING_MM), unit="HU", modality="CT")
    return volume, Region(mask=mask, name="lesion")


def differing(ours: Mapping[str, float], first: Mapping[str, float], *, n_missing: int) -> float:
    """Return the largest difference from the first round; NaN if other values are missing than may be."""
    missing = {name for name, value in ours.items() if math.isnan(value)}
    if ours.keys() != first.keys() or len(missing) != n_missing:
        return math.nan
    return max(abs(ours[name] - first[name]) for name in first.keys() - missing)


def benches(folder: Path) -> Iterator[Bench]:
    """Yield the figures: all three families by size, then each on the largest region."""
    for box in BOXES:
        volume, region = subject_of(box)
        yield _bench("ibsi, 3 families", Ibsi(bins=32), volume, region)
    yield _bench("ibsi, statistics", Ibsi(families=("statistics",)), volume, region)
    yield _bench("ibsi, glcm", Ibsi(families=("glcm",), bins=32), volume, region)
    yield _bench("ibsi, morphology", Ibsi(families=("morphology",)), volume, region)
    # Moran's I and Geary's C: most of the family's time, and the peers of the field have them not
    without = Ibsi(families=("morphology",), autocorrelation_voxels=0)
    yield _bench("ibsi, no moran/geary", without, volume, region, n_missing=2)


def _bench(subject: str, op: Ibsi, volume: Volume, region: Region, *, n_missing: int = 0) -> Bench:
    return Bench(
        subject=subject,
        size=f"{int(region.mask.sum())} voxels, {len(op.columns) - n_missing} features",
        ours=lambda: op(volume, region),
        difference=partial(differing, n_missing=n_missing),
    )
