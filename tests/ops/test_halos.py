"""Each halo that an op declares: enough on any shape, however it is cut, and not more than it looks at."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest

from medpipe.contracts.protocols import ByPlanes
from medpipe.errors import Rejected
from medpipe.ops.registry import make, registered
from medpipe.types import Geometry, Volume
from tests.ops.test_conformance import MAGNITUDES, REQUIRED, UPTAKE

VARIANTS = [
    {"op": "gaussian", "sigma_mm": 0.05},
    {"op": "gaussian", "sigma_mm": 0.6},
    {"op": "gaussian", "sigma_mm": 2.4},
    {"op": "median", "size": 5},
    {"op": "tv", "weight": 15.0, "iterations": 2},
    {"op": "tv", "weight": 15.0, "iterations": 7},
    {"op": "nlm", "sigma": 20.0, "patch_size": 3, "distance": 2},
    {"op": "nlm", "sigma": 20.0, "patch_size": 5, "distance": 1, "noise": "rician"},
    {"op": "bilateral", "sigma_mm": 0.7, "sigma_value": 30.0},
    {"op": "perona_malik", "edge": 40.0, "iterations": 1},
    {"op": "lee", "speckle": 0.3, "size": 3},
    {"op": "srad", "speckle": 0.3, "iterations": 1},
    {"op": "anscombe", "gain": 2.0, "denoiser": {"op": "median"}},
    {"op": "unsharp", "sigma_mm": 0.6, "amount": 2.0},
    {"op": "mean_filter", "size": 5, "by_slice": True, "boundary": "constant"},
    {"op": "mean_filter", "size": 3, "by_slice": True, "boundary": "wrap"},
    {"op": "laplacian_of_gaussian", "sigma_mm": 0.7, "by_slice": True, "boundary": "nearest"},
    {"op": "laplacian_of_gaussian", "sigma_mm": 0.7, "by_slice": True, "riesz": [1, 1, 0]},
    {"op": "laws", "kernels": "E5S3", "pooling": "mean"},
    {"op": "gabor", "sigma_mm": 1.0, "wavelength_mm": 3.0, "theta_deg": 30.0, "by_slice": True},
    {"op": "separable_wavelet", "wavelet": "haar", "passes": "LHH", "level": 2, "boundary": "constant"},
    {"op": "separable_wavelet", "wavelet": "coif1", "passes": "HL", "pooling": "max"},
    {"op": "simoncelli", "level": 2, "by_slice": True},
    {"op": "stretch", "low": -50.0, "high": 300.0},
    {"op": "window", "center": 40.0, "width": 400.0, "function": "sigmoid"},
    {"op": "window", "center": 40.0, "width": 400.0, "function": "linear"},
]
"""Other parameters than those of the conformance suite."""

NO_BLOCKS = {
    "clahe",
    "curvature_diffusion",
    "equalize",
    "fill_padding",
    "gabor",
    "learned",
    "match",
    "mp_pca",
    "n4",
    "nyul",
    "percentile",
    "polarity",
    "real_world",
    "resample",
    "simoncelli",
    "stretch",
    "straighten",
    "voi",
    "wavelet",
    "whitestripe",
    "zscore",
}
"""Ops that with the parameters of the conformance suite need the whole volume, by their nature."""

TIGHT = [
    {"op": "gaussian", "sigma_mm": 1.2},
    {"op": "median", "size": 3},
    {"op": "median", "size": 5},
    {"op": "bilateral", "sigma_mm": 1.3, "sigma_value": 60.0},
    {"op": "nlm", "sigma": 25.0, "distance": 1},
    {"op": "lee", "speckle": 0.2, "size": 5},
    {"op": "unsharp", "sigma_mm": 1.2},
    {"op": "perona_malik", "edge": 60.0, "iterations": 2},
    {"op": "mean_filter", "size": 5},
    {"op": "laplacian_of_gaussian", "sigma_mm": 1.2},
    {"op": "laws", "kernels": "L5E5S5", "delta": 1},
    {"op": "separable_wavelet", "wavelet": "db2", "passes": "LHL", "level": 2},
]
"""Ops for which a voxel less of context shows."""


def every_op():
    """Return the registered image ops and their variants, with names for the report."""
    ops = [make("image", {"op": name, **REQUIRED.get(name, {})}, "here") for name in registered("image")]
    return ops + [make("image", variant, "here") for variant in VARIANTS]


def volume_of(op, rng, shape, *, missing):
    """Return noise on steps, with or without voxels that are missing."""
    data = rng.normal(100, 60, shape) + 200 * (rng.random(shape) < 0.1)
    if op.name in MAGNITUDES or getattr(op, "noise", "") == "rician":
        data = np.abs(data)
    data.flat[rng.choice(data.size, missing * max(1, data.size // 300), replace=False)] = np.nan
    spacing = tuple(float(one) for one in rng.choice([0.7, 1.0, 2.5], 3))
    return Volume(data=data.astype(np.float32), geometry=Geometry(shape=shape, spacing_mm=spacing), suv=UPTAKE)


def cuts_of(rng, size):
    """Return an axis in parts of any length, one voxel among them."""
    inner = rng.choice(np.arange(1, size), min(size - 1, int(rng.integers(0, 4))), replace=False)
    return list(itertools.pairwise([0, *sorted(inner.tolist()), size]))


def pieces(op, volume, halo, cuts):
    """Return what an op makes of a volume block by block; the context ends where the volume does."""
    result = np.full(volume.data.shape, -1e30, np.float32)
    for core in itertools.product(*cuts):
        wide = [
            (max(a - reach, 0), min(b + reach, n))
            for (a, b), reach, n in zip(core, halo, volume.data.shape, strict=True)
        ]
        data = np.ascontiguousarray(volume.data[tuple(slice(*one) for one in wide)])
        block = op(replace(volume, data=data, geometry=replace(volume.geometry, shape=data.shape))).data
        inner = tuple(slice(a - low, b - low) for (a, b), (low, _) in zip(core, wide, strict=True))
        result[tuple(slice(*one) for one in core)] = block[inner]
    return result


@pytest.mark.parametrize("op", every_op(), ids=lambda op: op.name)
@pytest.mark.parametrize("missing", [0, 1])
def test_blocks_of_any_cut_are_the_whole_to_the_last_bit(op, missing):
    rng = np.random.default_rng([len(op.name), missing])
    for _ in range(3):
        shape = tuple(int(n) for n in rng.integers(1, 17, 3))
        volume = volume_of(op, rng, shape, missing=missing)
        halo = op.halo(volume.geometry)
        if halo is None:
            assert op.name in NO_BLOCKS
            return
        whole = op(volume).data
        for _ in range(2):
            found = pieces(op, volume, halo, [cuts_of(rng, size) for size in shape])
            assert found.tobytes() == whole.tobytes(), (shape, volume.geometry.spacing_mm)


@pytest.mark.parametrize("table", TIGHT, ids=lambda table: table["op"])
@pytest.mark.parametrize("axis", range(3))
def test_a_voxel_less_of_context_is_seen(table, axis):
    op, rng = make("image", table, "here"), np.random.default_rng(8)
    volume = volume_of(op, rng, (20, 20, 20), missing=0)
    halo = list(op.halo(volume.geometry))
    cuts = [[(0, 10), (10, 20)] if place == axis else [(0, 20)] for place in range(3)]
    assert pieces(op, volume, halo, cuts).tobytes() == op(volume).data.tobytes()
    halo[axis] -= 1
    assert pieces(op, volume, halo, cuts).tobytes() != op(volume).data.tobytes()


BY_PLANES = [op for op in every_op() if isinstance(op, ByPlanes)]


@pytest.mark.parametrize("op", BY_PLANES, ids=lambda op: op.name)
@pytest.mark.parametrize("missing", [0, 1])
def test_some_planes_of_the_whole_are_the_whole_to_the_last_bit(op, missing):
    rng = np.random.default_rng(missing)
    for depth in (1, 2, 5, 13):
        volume = volume_of(op, rng, (depth, 7, 12), missing=missing)
        whole = op(volume).data
        for first, last in cuts_of(rng, depth):
            part = op.planes(volume, first, last)
            assert part.dtype == np.float32
            assert part.tobytes() == whole[first:last].tobytes()


def test_planes_of_a_volume_without_spacing_are_refused_as_the_whole_is():
    bare = Volume(data=np.zeros((4, 5, 6), np.float32), geometry=Geometry(shape=(4, 5, 6)))
    with pytest.raises(Rejected, match="E_SPACING"):
        make("image", {"op": "gaussian", "sigma_mm": 1.0}, "here").planes(bare, 0, 2)
