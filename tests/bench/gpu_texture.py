"""Features of the standard on a device, beside the same on one core: regions of ten thousand voxels to ten million."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
from scipy.ndimage import gaussian_filter

from medpipe.errors import ConfigError
from medpipe.ops.extract_ibsi import Ibsi
from medpipe.types import Geometry, Region, Volume
from medpipe.xp import resolve_device, to_device
from tests.bench.paired import WALL, Bench, Skipped

SIZES = (10_000, 100_000, 1_000_000, 10_000_000)

BY_FAMILY = 1_000_000
"""Voxels of the region of which families are measured one by one as well."""

LEVELS = 32

TEXTURE = ("glcm", "glrlm", "glszm", "gldzm", "ngtdm", "ngldm")
FAMILIES = {
    "glcm": ("glcm",),
    "glrlm": ("glrlm",),
    "glszm and gldzm": ("glszm", "gldzm"),
    "ngtdm and ngldm": ("ngtdm", "ngldm"),
    "statistics and histograms": ("statistics", "intensity_histogram", "intensity_volume_histogram"),
    "local intensity": ("local_intensity",),
}

_SAME = 1e-6
_LARGE = 1_000_000


def benches(folder: Path, sizes: tuple[int, ...] = SIZES, by_family: int = BY_FAMILY) -> Iterator[Bench | Skipped]:
    """Yield the comparisons; without a device, why there are none."""
    try:
        resolve_device("cuda")
    except ConfigError as error:
        yield Skipped(subject="gpu texture", reason=str(error))
        return
    for voxels in sizes:
        volume, region = tissue(voxels)
        yield _bench("texture in space", volume, region, Ibsi(families=TEXTURE, bins=LEVELS, aggregations=("3D_avg",)))
        if voxels <= _LARGE:
            by_slice = Ibsi(families=TEXTURE, bins=LEVELS, aggregations=("2D_avg", "2_5D_comb"))
            yield _bench("texture by slice", volume, region, by_slice)
        if voxels == by_family:
            for name, families in FAMILIES.items():
                yield _bench(name, volume, region, Ibsi(families=families, bins=LEVELS, aggregations=("3D_avg",)))


def tissue(voxels: int) -> tuple[Volume, Region]:
    """Return an image that is rough at two scales, and a ball of so many voxels in it."""
    radius = (voxels * 3 / (4 * math.pi)) ** (1 / 3)
    side = 2 * math.ceil(radius) + 9
    rng = np.random.default_rng(11)
    coarse = gaussian_filter(rng.standard_normal((side,) * 3, dtype=np.float32), 3)
    data = 300 * coarse / coarse.std() + 60 * rng.standard_normal((side,) * 3, dtype=np.float32)
    z, y, x = (places - side // 2 for places in np.ogrid[:side, :side, :side])
    ball = z**2 + y**2 + x**2 <= radius**2
    geometry = Geometry(shape=data.shape, spacing_mm=(1.0, 1.0, 1.0))
    return Volume(data=data, geometry=geometry), Region(mask=ball, name="ball")


def largest_share(ours: Mapping[str, float], theirs: Mapping[str, float]) -> float:
    """Return the largest difference of two rows as a share of the number; infinity where only one has it."""
    mine, other = (np.array([row[name] for name in theirs]) for row in (ours, theirs))
    if (np.isnan(mine) != np.isnan(other)).any():
        return math.inf
    known = ~np.isnan(other)
    return float((np.abs(mine - other)[known] / np.maximum(np.abs(other[known]), 1e-12)).max(initial=0.0))


def _bench(name: str, volume: Volume, region: Region, op: Ibsi) -> Bench:
    on_device = volume.with_data(to_device(volume.data, device="cuda"))
    return Bench(
        subject=f"gpu {name}",
        size=f"{region.bits.n_voxels} voxels, {LEVELS} levels",
        # numbers are on the host when it returns
        ours=lambda: op(on_device, region),
        peer="the same on one core",
        theirs=lambda: op(volume, region),
        difference=largest_share,
        tolerance=_SAME,
        clock=WALL,
        items=region.bits.n_voxels,
        item="voxel",
    )
