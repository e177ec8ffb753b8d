"""A chain in groups against one op after the other: the same bits, less memory."""

from __future__ import annotations

import tracemalloc
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import pytest
from scipy import ndimage

from medpipe.errors import Rejected
from medpipe.ops.registry import make
from medpipe.plan import fusing
from medpipe.plan.fusing import leading_group
from medpipe.types import Geometry, Volume
from medpipe.values import SuvScales
from medpipe.work.fused import apply_chain

SHAPE = (13, 12, 11)
MEDIAN = {"op": "median"}
GAUSSIAN = {"op": "gaussian", "sigma_mm": 1.1}
WINDOW = {"op": "window", "preset": "soft_tissue"}
SIGMOID = {"op": "window", "center": 40.0, "width": 300.0, "function": "sigmoid"}
CLIP = {"op": "clip", "low": -300.0, "high": 250.5}
TV = {"op": "tv", "weight": 30.0, "iterations": 3}
ZSCORE = {"op": "zscore"}
FILL = {"op": "fill_padding", "value": -500.0}
RESAMPLE = {"op": "resample", "spacing_mm": [1.5, 1.5, 1.5]}

CHAINS = [
    [MEDIAN],
    [WINDOW],
    [GAUSSIAN, WINDOW],
    [CLIP, MEDIAN, CLIP, SIGMOID],
    [TV, CLIP, WINDOW],
    [MEDIAN, ZSCORE, {"op": "clip", "low": -1.0, "high": 1.0}],
    [FILL, CLIP, GAUSSIAN],
    [RESAMPLE, CLIP, GAUSSIAN, WINDOW],
]


def ops_of(chain):
    return [make("image", op, "here") for op in chain]


def volume_of(shape=SHAPE, **changes):
    data = np.random.default_rng(2).normal(0, 400, shape).astype(np.float32)
    data.flat[[5, 700]] = np.nan
    data.flags.writeable = False
    affine = tuple(np.diag([0.8, 1.0, 2.5, 1.0]).reshape(-1).tolist())
    geometry = Geometry(shape=shape, axes="tzyx"[-len(shape) :], spacing_mm=(2.5, 1.0, 0.8), affine_lps=affine)
    return Volume(**{"data": data, "geometry": geometry, "unit": "HU", "modality": "CT", **changes})


def one_by_one(ops, volume):
    for op in ops:
        volume = op(volume)
    return volume


def same(found, expected):
    np.testing.assert_array_equal(found.data.view(np.uint32), expected.data.view(np.uint32))
    return replace(found, data=None) == replace(expected, data=None)


@pytest.mark.parametrize("voxels", [1, 5 * 12 * 11, 1 << 18])
@pytest.mark.parametrize("chain", CHAINS, ids=lambda chain: "-".join(op["op"] for op in chain))
def test_a_chain_is_one_op_after_the_other_to_the_last_bit(monkeypatch, chain, voxels):
    monkeypatch.setattr(fusing, "FUSED_VOXELS", voxels)
    volume = volume_of(padding=None)
    before = volume.data.copy()
    found = apply_chain(ops_of(chain), volume)
    assert same(found, one_by_one(ops_of(chain), volume))
    np.testing.assert_array_equal(volume.data, before)
    assert not np.may_share_memory(found.data, volume.data)


def test_what_an_op_returns_as_it_was_given_is_not_written_over(monkeypatch):
    monkeypatch.setattr(fusing, "FUSED_VOXELS", 1)
    data = np.random.default_rng(1).normal(0, 400, SHAPE).astype(np.float32)
    volume, before = volume_of(data=data), data.copy()
    found = apply_chain(ops_of([FILL, CLIP]), volume)
    np.testing.assert_array_equal(data, before)
    np.testing.assert_array_equal(found.data, before.clip(-300.0, 250.5))


@pytest.mark.parametrize("factors", [(0.25,), tuple(0.1 + 0.01 * place for place in range(13))], ids=["one", "each"])
def test_planes_have_their_own_factors_of_uptake(monkeypatch, factors):
    monkeypatch.setattr(fusing, "FUSED_VOXELS", 3 * 12 * 11)
    volume = volume_of(unit="BQML", modality="PT", suv=SuvScales(by_kind={"bw": factors, "bsa": "E_SUV_HEIGHT"}))
    for chain in ([{"op": "suv"}, CLIP], [GAUSSIAN]):
        assert same(apply_chain(ops_of(chain), volume), one_by_one(ops_of(chain), volume))


@pytest.mark.parametrize("count", [2, 12, 14])
def test_factors_that_do_not_fit_the_planes_are_refused_as_by_the_op_alone(monkeypatch, count):
    monkeypatch.setattr(fusing, "FUSED_VOXELS", 1)
    volume = volume_of(unit="BQML", modality="PT", suv=SuvScales(by_kind={"bw": (0.5,) * count}))
    with pytest.raises(Rejected, match="E_SUV_MULTIFRAME"):
        apply_chain(ops_of([{"op": "suv"}, CLIP]), volume)


@pytest.mark.parametrize(
    "volume",
    [volume_of((2, 5, 6, 30)), volume_of(data=np.arange(13 * 12 * 11, dtype=np.int16).reshape(SHAPE))],
    ids=["series", "int16"],
)
def test_other_arrays_are_worked_on_whole(volume):
    assert same(apply_chain(ops_of([MEDIAN, CLIP]), volume), one_by_one(ops_of([MEDIAN, CLIP]), volume))


def test_groups_begin_with_an_op_by_planes_and_go_on_voxel_by_voxel():
    ops, geometry = ops_of([MEDIAN, CLIP, WINDOW, GAUSSIAN, CLIP, TV, CLIP, ZSCORE, CLIP]), volume_of().geometry
    names = []
    while ops:
        group = leading_group(ops, geometry)
        names.append(" ".join(op.name for op in group))
        ops = ops[len(group) :]
    assert names == ["median clip window", "gaussian clip", "tv", "clip", "zscore", "clip"]


def test_an_op_that_moves_voxels_is_seen_with_what_it_is_given():
    seen = []
    ops = ops_of([MEDIAN, RESAMPLE, CLIP])
    apply_chain(ops, volume_of(), seen=lambda op, volume: seen.append((op.name, volume.data, volume.geometry.shape)))
    assert seen[:2] == [("median", None, SHAPE), ("resample", None, SHAPE)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Picky:
    """A pointwise op of someone else that refuses one value."""

    name: ClassVar[str] = "picky"
    version: ClassVar[int] = 1

    def halo(self, geometry):
        return 0, 0, 0

    def memory(self, geometry):
        return 0

    def __call__(self, volume, mask=None):
        if bool((volume.data == 250.5).any()):
            raise Rejected("E_CONSTANT")
        return volume


def test_what_a_slab_is_refused_for_is_said_of_the_volume(monkeypatch):
    monkeypatch.setattr(fusing, "FUSED_VOXELS", 1)
    with pytest.raises(Rejected, match="E_CONSTANT"):
        apply_chain([*ops_of([CLIP]), Picky()], volume_of())


PEAKS = [
    ([GAUSSIAN, WINDOW], 2.0),
    ([MEDIAN, WINDOW], 2.0),
    ([GAUSSIAN, MEDIAN, CLIP, WINDOW], 3.0),
    ([GAUSSIAN, ZSCORE], 3.5),
    ([MEDIAN, {"op": "percentile"}], 3.75),
    ([MEDIAN, ZSCORE, {"op": "clip", "low": -1.0, "high": 1.0}], 3.5),
]


@pytest.mark.parametrize(
    ("chain", "most"), PEAKS, ids=lambda part: "-".join(op["op"] for op in part) if isinstance(part, list) else ""
)
def test_the_peak_of_denoising_and_normalizing_is_under_four_volumes(monkeypatch, chain, most):
    monkeypatch.setattr(fusing, "FUSED_VOXELS", 1 << 14)
    volume, ops = volume_of((40, 128, 128)), ops_of(chain)
    apply_chain(ops, volume_of())
    tracemalloc.start()
    found = apply_chain(ops, volume)
    peak = tracemalloc.get_traced_memory()[1] + volume.data.nbytes
    tracemalloc.stop()
    assert found.data.shape == volume.data.shape
    assert peak <= most * volume.data.nbytes + (1 << 20)


def test_the_whole_chain_is_what_scipy_and_numpy_make():
    volume = volume_of(data=np.random.default_rng(3).normal(0, 400, SHAPE).astype(np.float32))
    found = apply_chain(ops_of([MEDIAN, WINDOW]), volume).data
    smooth = ndimage.median_filter(volume.data, size=3, mode="nearest")
    np.testing.assert_allclose(found, np.clip((smooth + 160.0) / 400.0, 0, 1), atol=1e-6)
