from __future__ import annotations

import math
from typing import get_args

import numpy as np
import pytest

from medpipe.kernels.ranks import Aggregation
from medpipe.ops.features import Ibsi
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
