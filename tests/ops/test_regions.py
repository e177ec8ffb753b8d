from __future__ import annotations

import numpy as np
import pytest

from medpipe.errors import Rejected
from medpipe.ops.regions import Body, Hot, Lungs
from medpipe.types import Companions, Geometry, Volume

NONE = Companions()
SPACING_MM = (6.0, 4.0, 4.0)
SHAPE = (40, 80, 96)


def grid():
    return [
        (axis - (size - 1) / 2) * step for axis, size, step in zip(np.indices(SHAPE), SHAPE, SPACING_MM, strict=True)
    ]


def chest():
    """A body of soft tissue with two lungs with vessels, a bowel bubble, a table, and air around."""
    rng = np.random.default_rng(6)
    z, y, x = grid()
    body = (y / 110) ** 2 + (x / 150) ** 2 < 1
    lungs = np.zeros(SHAPE, bool)
    for side in (-65, 65):
        lungs |= (z / 90) ** 2 + (y / 70) ** 2 + ((x - side) / 45) ** 2 < 1
    bubble = ((z - 60) / 20) ** 2 + ((y + 60) / 20) ** 2 + (x / 20) ** 2 < 1
    vessels = lungs & (np.abs(y) < 3) & (np.abs(z % 30) < 3)
    data = np.full(SHAPE, -1000.0)
    data[body] = 40.0
    data[lungs | bubble] = -850.0
    data[vessels] = 60.0
    data[:, 76:78, 10:86] = 200.0
    return (data + rng.normal(0, 15, SHAPE)).astype(np.float32), body, lungs


def volume(data, *, modality="CT", unit="HU", spacing_mm=SPACING_MM):
    axes = "zyx" if data.ndim == 3 else "tzyx"
    return Volume(
        data=data,
        geometry=Geometry(shape=data.shape, axes=axes, spacing_mm=spacing_mm),
        modality=modality,
        unit=unit,
    )


def dice(a, b):
    return 2 * (a & b).sum() / (a.sum() + b.sum())


def test_the_body_has_its_holes_filled_and_no_table():
    data, body, _ = chest()
    (found,) = Body()(volume(data), NONE)
    assert (found.name, found.label, found.source) == ("body", 1, "body")
    assert found.mask.dtype == bool
    assert dice(found.mask, body) > 0.99
    assert not found.mask[:, 76:].any()


def test_the_body_of_other_modalities_is_what_otsu_parts():
    _, body, _ = chest()
    magnitude = np.abs(np.where(body, 200.0, 0.0) + np.random.default_rng(7).normal(0, 20, SHAPE)).astype(np.float32)
    (found,) = Body()(volume(magnitude, modality="MR", unit="arbitrary"), NONE)
    assert dice(found.mask, body) > 0.99


def test_the_body_is_found_in_a_single_slice_too():
    data, body, _ = chest()
    (found,) = Body()(volume(data[20:21], spacing_mm=(1.0, 4.0, 4.0)), NONE)
    assert found.mask.shape == (1, *SHAPE[1:])
    assert dice(found.mask, body[20:21]) > 0.98


def test_the_body_of_a_series_is_that_of_its_mean():
    data, _, _ = chest()
    (one,) = Body()(volume(data), NONE)
    (series,) = Body()(volume(np.stack([data, data])), NONE)
    np.testing.assert_array_equal(series.mask, one.mask)


def test_lungs_are_the_large_bodies_of_air_with_their_vessels():
    data, _, lungs = chest()
    (found,) = Lungs()(volume(data), NONE)
    assert found.name == "lungs"
    assert dice(found.mask, lungs) > 0.97
    assert not found.mask[:, :25, 40:56].any()


def test_no_lungs_are_no_region():
    data, body, _ = chest()
    assert Lungs()(volume(np.where(body, 40.0, -1000.0).astype(np.float32)), NONE) == ()
    assert Lungs()(volume(data, modality="MR"), NONE) == ()
    assert Lungs()(volume(np.full(SHAPE, -1000.0, np.float32)), NONE) == ()


def test_nothing_above_the_threshold_is_no_body():
    assert Body()(volume(np.full((4, 5, 6), -1000.0, np.float32)), NONE) == ()


@pytest.mark.parametrize("source", [Body(), Lungs()])
def test_millimetres_need_a_spacing(source):
    with pytest.raises(Rejected, match="E_SPACING"):
        source(volume(np.zeros((4, 5, 6), np.float32), spacing_mm=None), NONE)


def test_without_opening_no_spacing_is_needed():
    assert len(Body(opening_mm=0.0)(volume(np.zeros((4, 5, 6), np.float32), spacing_mm=None), NONE)) == 1


@pytest.mark.parametrize("unit", ["BQML", "SUV"])
def test_the_hot_spot_is_the_largest_at_41_percent_of_the_maximum(unit):
    data = np.ones((8, 20, 20), np.float32)
    data[2:5, 3:8, 3:8] = 5.0
    data[6, 15, 15] = 10.0
    (found,) = Hot()(volume(data, modality="PT", unit=unit), NONE)
    expected = np.zeros(data.shape, bool)
    expected[2:5, 3:8, 3:8] = True
    np.testing.assert_array_equal(found.mask, expected)
    (alone,) = Hot(fraction=0.6)(volume(data, modality="PT", unit=unit), NONE)
    assert alone.mask.sum() == 1


def test_nothing_is_hot_without_activity_or_in_hu():
    assert Hot()(volume(np.zeros((2, 3, 4), np.float32), modality="PT", unit="SUV"), NONE) == ()
    assert Hot()(volume(np.full((2, 3, 4), np.nan, np.float32), modality="PT", unit="SUV"), NONE) == ()
    assert Hot()(volume(np.ones((2, 3, 4), np.float32)), NONE) == ()
