"""What each op says it needs of a device, held against what it takes of the strict stand-in of one.

What libraries of the device take for themselves is not seen there: Fourier transforms, sorting, labels.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from medpipe.errors import Rejected
from medpipe.kernels import gaussian, histogram, separable, sums
from medpipe.ops.device_bytes import device_bytes_of
from medpipe.ops.registry import make
from medpipe.types import Companions, Region
from medpipe.xp import to_device
from tests.device.standing import stand_in
from tests.ops.test_conformance import EVERY, op_of, suited, volume

SHAPE = (8, 32, 44)
SLICE = (1, 50, 60)
SLACK_BYTES = 1 << 13
"""Tables, and what the pool rounds up, that have no part in the projection."""

VOXELWISE = [(family, name) for family, name in EVERY if family != "features"]
SLOW = {"chan_vese", "gabor", "mp_pca", "watershed"}
"""Ops that are given one volume alone."""

OTHERS = [
    {"op": "anscombe", "gain": 2.0, "denoiser": {"op": "tv", "weight": 40.0, "iterations": 3}},
    {"op": "anscombe", "denoiser": {"op": "nlm", "distance": 1}},
    {"op": "bilateral", "sigma_mm": 2.0, "sigma_value": 60.0},
    {"op": "clahe", "tiles": [5, 9, 13], "limit": 0.0},
    {"op": "laplacian_of_gaussian", "sigma_mm": 2.0, "by_slice": True},
    {"op": "laplacian_of_gaussian", "sigma_mm": 0.8, "truncate": 2.0, "riesz": [1, 0, 0]},
    {"op": "laplacian_of_gaussian", "sigma_mm": 0.8, "by_slice": True, "riesz": [1, 0, 0]},
    {"op": "laws", "kernels": "L5E5", "delta": 7},
    {"op": "laws", "kernels": "L3E3S3", "rotation_invariant": False},
    {"op": "mean_filter", "size": 9, "by_slice": True, "boundary": "constant"},
    {"op": "median", "size": 5},
    {"op": "nlm", "noise": "rician", "distance": 1},
    {"op": "nlm", "distance": 2, "patch_size": 1},
    {"op": "separable_wavelet", "wavelet": "haar", "passes": "LH", "level": 2},
    {"op": "separable_wavelet", "wavelet": "db2", "passes": "LHL", "rotation_invariant": False},
    {"op": "separable_wavelet", "wavelet": "db3", "passes": "LHH", "level": 2, "pooling": "max"},
]
"""Parameters by which an op takes another way."""


@pytest.fixture(scope="module", autouse=True)
def counters():
    with stand_in() as cupy:
        yield cupy.standin


def variants(name, shape):
    """Return volumes by modality, and one with a missing voxel, with padding, tilted."""
    ct, mr, pet = (suited(name, volume(modality, shape=shape)) for modality in ("CT", "MR", "PT"))
    data = mr.data.copy()
    data[shape[0] // 2, 3, 4] = np.nan
    sheared = mr.geometry.matrix.copy()
    sheared[1, 2] = 0.3 * mr.geometry.spacing_mm[0]
    geometry = replace(mr.geometry, affine_lps=tuple(sheared.reshape(-1).tolist()))
    tilted = replace(ct, padding=(-1e4, -900.0), geometry=geometry, verdict="tilted")
    return [ct, mr, pet, mr.with_data(data), tilted]


def taken_bytes(counters, family, op, given):
    """Return the most of the device that a call takes beside its input; the region is the whole volume."""
    mask = np.ones(given.data.shape, bool)
    there = given.with_data(to_device(given.data, device="cuda"))
    whole = to_device(mask, device="cuda")
    before = counters.live()
    counters.reset()
    try:
        if family == "image":
            op(there)
        elif family == "regions":
            op(there, Companions(regions=(Region(mask=mask, name="whole"),)))
        else:
            op(whole, given.geometry)
    except Rejected:
        return 0
    return counters.counts().peak - before


def shares(counters, family, op, volumes):
    """Return of volumes what is taken, and what is said."""
    found = [(taken_bytes(counters, family, op, given), device_bytes_of(op, given.geometry)) for given in volumes]
    assert all(taken <= 1.25 * said + SLACK_BYTES for taken, said in found), found
    return found


@pytest.mark.parametrize(("family", "name"), VOXELWISE, ids=lambda part: part)
def test_an_op_takes_no_more_of_the_device_than_it_says(counters, family, name):
    op = op_of(family, name)
    for shape, last in ((SHAPE, 2),) if name in SLOW else ((SHAPE, None), (SLICE, 2)):
        found = shares(counters, family, op, variants(name, shape)[1:last])
        if hasattr(op, "device_memory"):
            assert any(said <= 2 * taken + SLACK_BYTES for taken, said in found), found


@pytest.mark.parametrize("given", OTHERS, ids=lambda given: given["op"])
def test_an_op_takes_no_more_by_other_parameters(counters, given):
    # magnitudes: below 0 there are none
    volumes = [one.with_data(np.abs(one.data)) for one in variants(given["op"], SHAPE)[1::2]]
    found = shares(counters, "image", make("image", given, "here"), volumes)
    assert any(said <= 2 * taken + SLACK_BYTES for taken, said in found), found


@pytest.mark.parametrize("name", ["clahe", "gaussian", "laws", "laplacian_of_gaussian", "unsharp", "zscore"])
def test_what_is_worked_on_at_a_time_has_a_bound(counters, monkeypatch, name):
    op, volumes = op_of("image", name), variants(name, (40, 32, 32))[:2]
    whole = max(taken for taken, _ in shares(counters, "image", op, volumes))
    for module in (gaussian, histogram, sums):
        monkeypatch.setattr(module, "_AT_ONCE", 4 * 32 * 32)
    monkeypatch.setattr(separable, "AT_ONCE", 4 * 32 * 32)
    monkeypatch.setattr("medpipe.ops.normalize.scale.DEVICE_BLOCK_BYTES", 8 * 4 * 32 * 32)
    found = shares(counters, "image", op, volumes)
    assert max(taken for taken, _ in found) < 0.85 * whole
    assert any(said <= 2 * taken for taken, said in found)
