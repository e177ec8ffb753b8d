"""A result that is no number where the image had one is refused, whichever way the chain goes over the volume."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import pytest

from medpipe.errors import Rejected
from medpipe.kernels.finite import is_finite
from medpipe.lake.scratch import Spool
from medpipe.ops.regions.composed import Composed
from medpipe.ops.registry import make
from medpipe.plan import fusing, memory
from medpipe.types import Companions, Geometry, Volume
from medpipe.work.blocks import apply_in_slabs
from medpipe.work.case import run_case
from medpipe.work.fused import apply_chain
from tests.work.rooms import Room, a_volume, an_order, locked

SHAPE = (13, 12, 11)
LARGEST = np.finfo(np.float32).max
UNSHARP = {"op": "unsharp", "sigma_mm": 1.0, "amount": 5.0}
MEDIAN = {"op": "median"}
CLIP = {"op": "clip", "low": 0.0, "high": 1.0}
NLM = {"op": "nlm", "noise": "rician", "sigma": 1.0, "distance": 1}


def ops_of(*chain):
    return [make("image", op, "here") for op in chain]


def volume_of(data):
    return Volume(data=data, geometry=Geometry(shape=data.shape, axes="tzyx"[-data.ndim :], spacing_mm=(1.0, 1.0, 1.0)))


def lone_peak(shape=SHAPE, value=0.9 * LARGEST):
    """Return a volume of finite values, one of which is so large that what is made of it is not."""
    data = np.random.default_rng(4).uniform(1, 2, shape).astype(np.float32)
    data[(..., 7, 5, 6)] = value
    return data


@dataclass(frozen=True, slots=True, kw_only=True)
class Losing:
    """An op of someone else that loses voxels of one value, and asks for some context."""

    name: ClassVar[str] = "losing"
    version: ClassVar[int] = 1
    value: float
    reach: tuple[int, int, int] | None = (0, 0, 0)

    def halo(self, geometry):
        return self.reach

    def memory(self, geometry):
        return 0

    def __call__(self, volume, mask=None):
        return volume.with_data(np.where(volume.data == self.value, np.float32(np.nan), volume.data))


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16])
def test_finite_is_what_numpy_calls_finite(dtype):
    info = np.finfo(dtype)
    whole = np.array([0.0, -0.0, info.max, info.min, info.tiny, -info.smallest_subnormal, 1.5] * 9, dtype)
    assert is_finite(whole)
    assert is_finite(whole[::2])
    assert is_finite(whole[:0])
    assert is_finite(np.arange(4))
    for odd in (np.nan, -np.nan, np.inf, -np.inf):
        for place in range(len(whole)):
            changed = whole.copy()
            changed[place] = odd
            assert not is_finite(changed)
            assert is_finite(changed[::2]) == bool(place % 2)


@pytest.mark.parametrize("voxels", [1, 5 * 12 * 11, 1 << 18])
@pytest.mark.parametrize("chain", [[UNSHARP], [MEDIAN, UNSHARP], [UNSHARP, CLIP], [UNSHARP, MEDIAN, CLIP], [NLM, CLIP]])
@pytest.mark.filterwarnings("ignore:.*(overflow|invalid value)")
def test_a_chain_that_leaves_float32_is_refused_even_where_a_later_op_would_hide_it(monkeypatch, chain, voxels):
    monkeypatch.setattr(fusing, "FUSED_VOXELS", voxels)
    # a median takes the peak away, so that nothing is beyond float32
    if chain == [MEDIAN, UNSHARP]:
        assert is_finite(apply_chain(ops_of(*chain), volume_of(lone_peak())).data)
        return
    with pytest.raises(Rejected, match="E_OP_NONFINITE"):
        apply_chain(ops_of(*chain), volume_of(lone_peak()))
    with pytest.raises(Rejected, match="E_OP_NONFINITE"):
        apply_chain(ops_of(*chain), volume_of(lone_peak((2, *SHAPE))))


@pytest.mark.parametrize("planes", [1, 4, 100])
@pytest.mark.parametrize("plane", [0, 4, 7, 12])
def test_in_slabs_the_same_is_refused(tmp_path, monkeypatch, planes, plane):
    monkeypatch.setattr(memory, "_SLAB_VOXELS", planes * 12 * 11)
    data = lone_peak(value=1.0)
    data[plane, 5, 6] = 0.9 * LARGEST
    volume = volume_of(data)
    with Spool(tmp_path / "in", SHAPE) as given, Spool(tmp_path / "out", SHAPE) as result:
        given[0 : len(data)] = data
        with np.errstate(over="ignore", invalid="ignore"), pytest.raises(Rejected, match="E_OP_NONFINITE"):
            apply_in_slabs(ops_of(UNSHARP, CLIP), volume.with_data(given), result, device="cpu")


@pytest.mark.parametrize("voxels", [1, 1 << 18])
def test_a_voxel_may_be_lost_within_the_halo_of_a_missing_one_and_nowhere_else(monkeypatch, voxels):
    monkeypatch.setattr(fusing, "FUSED_VOXELS", voxels)
    data = lone_peak(value=500.0)
    data[7, 5, 5], data[0, 0, 0] = np.nan, 900.0
    volume = volume_of(data)
    clip = ops_of({"op": "clip", "low": 0.0, "high": 900.0})
    for ops in (
        [Losing(value=500.0)],
        [*clip, Losing(value=500.0)],
        [Losing(value=900.0, reach=(2, 2, 2))],
    ):
        with pytest.raises(Rejected, match="E_OP_NONFINITE"):
            apply_chain(ops, volume)
    assert np.isnan(apply_chain([*clip, Losing(value=100.0)], volume).data).sum() == 1
    assert np.isnan(apply_chain([Losing(value=500.0, reach=(0, 0, 1))], volume).data).sum() == 2
    assert np.isnan(apply_chain([Losing(value=900.0, reach=None)], volume).data).sum() == 2
    with pytest.raises(Rejected, match="E_OP_NONFINITE"):
        apply_chain([Losing(value=500.0, reach=None)], volume_of(lone_peak(value=500.0)))


def test_a_region_source_does_not_look_at_what_an_op_before_it_lost():
    source = make("regions", {"op": "threshold", "low": 0.5}, "here")
    volume = volume_of(lone_peak())
    with pytest.raises(Rejected, match="E_OP_NONFINITE"):
        Composed(source=source, after=tuple(ops_of(NLM)))(volume, Companions())


def test_the_case_goes_on_without_the_image_that_cannot_be_made():
    recipe = (
        (
            'image = [ { op = "gaussian", sigma_mm = 1.0 } ]',
            'image = [ { op = "unsharp", sigma_mm = 1.0, amount = 9.0 } ]',
        ),
        ('models = [ "nodule" ]', 'keep = [ "original", "final" ]'),
    )
    volume = a_volume()
    data = volume.data.copy()
    data[4, 12, 12] = 0.9 * LARGEST
    room = Room(locked(*recipe), volume=replace(volume, data=data))
    with np.errstate(over="ignore"):
        result = run_case(an_order(), room, lambda stage, subject: None)
    assert result.case.status == "done"
    assert list(room.stored.values()) == [None]
    codes = {(record.kind, record.code) for record in result.products}
    assert codes == {("volume", "E_OP_NONFINITE"), ("regions", ""), ("features", ""), ("features", "E_OP_NONFINITE")}
    assert {record.op for record in result.products if record.code} == {"unsharp"}


@pytest.mark.parametrize("shape", [SHAPE, (2, *SHAPE)])
@pytest.mark.filterwarnings("ignore:.*(overflow|invalid value)")
def test_what_is_refused_names_the_op_of_the_chain(shape):
    def refused(volume, *chain):
        with pytest.raises(Rejected) as raised:
            apply_chain(ops_of(*chain), volume)
        return raised.value.code, raised.value.kept().op

    peak, level = volume_of(lone_peak(shape)), volume_of(np.ones(shape, np.float32))
    assert refused(peak, CLIP | {"high": 3e38}, UNSHARP, CLIP) == ("E_OP_NONFINITE", "unsharp")
    assert refused(level, MEDIAN, {"op": "zscore"}, CLIP) == ("E_CONSTANT", "zscore")
    unplaced = replace(level, geometry=replace(level.geometry, spacing_mm=None))
    assert refused(unplaced, CLIP, {"op": "gaussian", "sigma_mm": 1.0}) == ("E_SPACING", "gaussian")
    # an op within another is named by the one a recipe's chain has
    within = {"op": "anscombe", "gain": 1.0, "denoiser": {"op": "gaussian", "sigma_mm": 1.0}}
    assert refused(unplaced, CLIP, within) == ("E_SPACING", "anscombe")
