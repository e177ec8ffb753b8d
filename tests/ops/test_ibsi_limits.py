from __future__ import annotations

import math
from dataclasses import replace
from typing import get_args

import numpy as np
import pytest

from medpipe.errors import ConfigError, Rejected
from medpipe.kernels.ranks import Aggregation
from medpipe.ops.features import Haralick, Ibsi, Pyradiomics
from medpipe.ops.ibsi_columns import FAMILIES
from medpipe.types import Geometry, Region, Volume

SETTINGS = {
    "number": Ibsi(families=tuple(FAMILIES), bins=6, ivh_bins=20, aggregations=get_args(Aggregation)),
    "width": Ibsi(families=tuple(FAMILIES), bin_width=7.0, range=(-40.0, 55.0), aggregations=("3D_avg",)),
    "both widths": Ibsi(
        families=tuple(FAMILIES), bin_width=9.5, ivh_bin_width=2.5, range=(-60.0, 35.0), aggregations=("2D_comb",)
    ),
    "no range": Ibsi(families=tuple(FAMILIES), bin_width=9.5),
}


def _values(op: Ibsi, seed: int) -> dict[str, float]:
    rng = np.random.default_rng(seed)
    shape = (5, 7, 8)
    # of few values, so that the ends of the range are met
    data = rng.choice([-90.0, -60.0, -40.0, -3.0, 0.0, 35.0, 55.0, 80.0], shape, p=rng.dirichlet(np.ones(8)))
    volume = Volume(data=data.astype(np.float32), geometry=Geometry(shape=shape, spacing_mm=(2.0, 1.0, 1.0)))
    return dict(op(volume, Region(mask=rng.random(shape) < 0.8, name="roi_1")))


@pytest.mark.parametrize("setting", SETTINGS)
def test_no_value_lies_beyond_the_limits_of_its_settings(setting: str) -> None:
    op = SETTINGS[setting]
    limits = {column.name: op.limits_of(column) for column in op.columns}
    for seed in range(12):
        for name, value in _values(op, seed).items():
            low, high = limits[name]
            # not less and not more: NaN bounds nothing
            assert not value < low - 1e-9 * abs(low), name
            assert not value > high + 1e-9 * abs(high), name


def test_a_range_without_an_upper_end_keeps_all_from_its_lower_end_on() -> None:
    data = np.random.default_rng(7).gamma(2.0, 3.0, (5, 6, 7)).astype(np.float32) - 1.0
    volume = Volume(data=data, geometry=Geometry(shape=data.shape, spacing_mm=(2.0, 1.0, 1.0)))
    everywhere = Region(mask=np.ones(data.shape, bool), name="roi_1")
    kept, most = data[data >= 0.0], float(data.max())
    half = Ibsi(families=tuple(FAMILIES), bin_width=0.5, range=(0.0,), autocorrelation_voxels=0)
    found, far, near = (
        dict(replace(half, range=ends)(volume, everywhere)) for ends in ((0.0,), (0.0, 1e4), (0.0, most))
    )
    assert found["stat_mean"] == pytest.approx(kept.mean(dtype=float))
    assert found["ih_max"] == np.floor(most / 0.5) + 1
    # the volume histogram goes as far as the intensities, and nothing else depends on the upper end
    for other, is_compared in ((far, lambda name: not name.startswith("ivh_")), (near, lambda name: name != "")):
        names = [name for name in found if is_compared(name) and not np.isnan(found[name])]
        assert [found[name] for name in names] == [other[name] for name in names]
    assert far["ivh_v10"] == 0.0 < found["ivh_v10"]
    told = next(half.limits_of(column) for column in half.columns if column.name == "stat_mean")
    assert told[0] == 0.0
    assert math.isnan(told[1])


@pytest.mark.parametrize("ends", [(), (1.0, 1.0), (2.0, 1.0), (1.0, 2.0, 3.0)])
def test_a_range_is_one_number_or_two_in_order(ends: tuple[float, ...]) -> None:
    with pytest.raises(ConfigError, match=r"ibsi\.range"):
        Ibsi(families=("statistics",), range=ends)


@pytest.mark.parametrize(
    "op",
    [
        Ibsi(families=("glcm",), bin_width=25.0),
        Ibsi(families=("intensity_histogram",), bin_width=1e22),
        Haralick(bin_width=25.0),
        Pyradiomics(bin_width=25.0),
    ],
)
def test_levels_that_cannot_be_counted_are_refused(op: Ibsi | Haralick | Pyradiomics) -> None:
    data = np.where(np.indices((4, 5, 6)).sum(axis=0) % 2, 1e30, -1e30).astype(np.float32)
    volume = Volume(data=data, geometry=Geometry(shape=data.shape, spacing_mm=(1.0, 1.0, 1.0)))
    with pytest.raises(Rejected, match="E_LEVELS"):
        op(volume, Region(mask=np.ones(data.shape, bool), name="roi_1"))


def test_equal_intensities_far_from_0_have_one_level() -> None:
    data = np.full((4, 5, 6), 1e30, np.float32)
    volume = Volume(data=data, geometry=Geometry(shape=data.shape, spacing_mm=(1.0, 1.0, 1.0)))
    everywhere = Region(mask=np.ones(data.shape, bool), name="roi_1")
    assert Ibsi(families=("glcm",), bin_width=25.0)(volume, everywhere)["cm_joint_max_3D_avg"] == 1.0
    assert Pyradiomics(bins=32)(volume, everywhere)["pr_glcm_autocorrelation"] == 17.0**2
    with pytest.raises(Rejected, match="E_LEVELS"):
        Pyradiomics(bin_width=25.0)(volume, everywhere)


def test_settings_bound_more_than_formulas_do() -> None:
    by_number, by_width, open_ended = (SETTINGS[name] for name in ("number", "width", "no range"))

    def told(op: Ibsi, name: str) -> tuple[float, float]:
        return next(op.limits_of(column) for column in op.columns if column.name == name)

    assert told(by_number, "ih_mean") == (1.0, 6.0)
    assert told(by_number, "cm_contrast_3D_avg") == (0.0, 25.0)
    assert told(by_width, "stat_mean") == (-40.0, 55.0)
    assert told(by_width, "cm_joint_avg_3D_avg") == (1.0, 14.0)
    assert told(by_width, "rlm_hgre_3D_avg") == (1.0, 196.0)
    assert math.isnan(told(open_ended, "stat_mean")[0])
    assert math.isnan(told(open_ended, "ih_max")[1])
