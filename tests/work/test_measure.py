from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest

from medpipe.errors import IntegrityError
from medpipe.ops.features import Ibsi
from medpipe.types import Geometry, Region, Volume
from medpipe.work.measure import feature_row, region_row, unmeasured_row
from tests.work.rooms import Measuring, a_volume


def a_region(voxels=200, *, at=(3, 8, 8)):
    mask = np.zeros((8, 24, 24), bool)
    mask[at[0], at[1], at[2] : at[2] + 8] = True
    mask.reshape(-1)[: max(0, voxels - 8)] = True
    return Region(mask=mask, name="body", source="body")


@pytest.mark.parametrize("value", [math.inf, -math.inf])
def test_an_infinite_value_is_an_alarm(value):
    with pytest.raises(IntegrityError, match=r"'measuring' gave an infinite b"):
        feature_row(Measuring(a=1.0, b=value), a_volume(), a_region())


@pytest.mark.parametrize("values", [{"a": 1.0}, {"a": 1.0, "b": 2.0, "c": 3.0}, {"a": 1.0, "c": 2.0}, {}])
def test_other_columns_than_declared_are_an_alarm(values):
    with pytest.raises(IntegrityError, match="other columns than it declares"):
        feature_row(Measuring(**values), a_volume(), a_region())


def test_an_undefined_value_is_null_in_json():
    row = feature_row(Measuring(a=float("nan"), b=2.0), a_volume(), a_region())
    assert row["values"] == {"a": None, "b": 2.0}
    assert json.loads(json.dumps(row, allow_nan=False)) == row


@pytest.mark.parametrize(
    ("voxels", "status", "code"), [(200, "ok", None), (64, "ok", None), (63, "flagged", "SMALL_ROI")]
)
def test_a_small_region_is_flagged(voxels, status, code):
    region = a_region(voxels)
    assert region.mask.sum() == voxels
    row = feature_row(Measuring(a=1.0, b=2.0), a_volume(), region)
    assert (row["status"], row["code"]) == (status, code)


def test_an_empty_region_is_named_so():
    empty = Region(mask=np.zeros((8, 24, 24), bool), name="gtv", source="seg")
    row = feature_row(Measuring(a=float("nan"), b=float("nan")), a_volume(), empty)
    assert (row["status"], row["code"]) == ("empty", "EMPTY_ROI")


def test_a_region_of_which_nothing_is_left_or_defined_is_no_row_of_numbers():
    beyond = Ibsi(families=("statistics",), range=(1e6, 2e6))
    for voxels in (200, 8):
        row = feature_row(beyond, a_volume(), a_region(voxels))
        assert (row["status"], row["code"], set(row["values"].values())) == ("empty", "EMPTY_ROI", {None})
    missing = a_volume().with_data(np.full((8, 24, 24), np.nan, np.float32))
    assert feature_row(Ibsi(families=("statistics",)), missing, a_region())["code"] == "EMPTY_ROI"
    thin = Region(mask=np.indices((8, 24, 24))[0] == 3, name="roi_1")
    vanished = Ibsi(families=("statistics",), resample_mm=(9.0, 0.0, 0.0))
    assert feature_row(vanished, a_volume(), thin)["code"] == "EMPTY_ROI"
    shapeless = replace(a_volume(), geometry=Geometry(shape=(8, 24, 24)))
    for voxels, code in ((200, "W_UNDEFINED"), (8, "SMALL_ROI")):
        row = feature_row(Ibsi(families=("morphology",)), shapeless, a_region(voxels))
        assert (row["status"], row["code"]) == ("empty", code)


@pytest.mark.parametrize(("slices", "status"), [(1, "flagged"), (2, "flagged"), (3, "ok")])
def test_a_region_of_few_slices_is_flagged_where_the_volume_has_more(slices, status):
    mask = np.zeros((8, 24, 24), bool)
    mask[2 : 2 + slices, 4:14, 4:14] = True
    assert feature_row(Measuring(a=1.0, b=2.0), a_volume(), Region(mask=mask, name="body"))["status"] == status
    plane = Volume(data=np.zeros((1, 24, 24), np.float32), geometry=Geometry(shape=(1, 24, 24)))
    assert feature_row(Measuring(a=1.0, b=2.0), plane, Region(mask=mask[2:3], name="body"))["status"] == "ok"


def test_a_region_that_could_not_be_measured_has_every_column_empty():
    row = unmeasured_row(Measuring(), a_region(), "E_LEVELS")
    assert (row["status"], row["code"], row["values"]) == ("empty", "E_LEVELS", {"a": None, "b": None})


def test_a_region_is_counted_and_sized():
    geometry = Geometry(shape=(8, 24, 24), spacing_mm=(2.0, 1.0, 0.5))
    row = region_row(a_region(8), geometry)
    assert (row["n_voxels"], row["volume_mm3"], row["touches_border"]) == (8, 8.0, False)


@pytest.mark.parametrize("at", [(0, 8, 8), (7, 8, 8), (3, 0, 8), (3, 23, 8), (3, 8, 16)])
def test_a_region_at_an_edge_touches_the_border(at):
    assert region_row(a_region(8, at=at), Geometry(shape=(8, 24, 24)))["touches_border"]


def test_the_one_slice_of_a_planar_image_is_no_border():
    mask = np.zeros((1, 24, 24), bool)
    mask[0, 8, 8:16] = True
    row = region_row(Region(mask=mask, name="body"), Geometry(shape=(1, 24, 24)))
    assert not row["touches_border"]
    assert row["volume_mm3"] is None
