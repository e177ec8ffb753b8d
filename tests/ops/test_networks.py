"""Ops that ask a network: what it is given, what is made of its answers, and images it is not for."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from medpipe.errors import ConfigError, Rejected
from medpipe.kernels.tiles import windows
from medpipe.ops.networks import Deep, Learned
from medpipe.ops.registry import spec_of
from medpipe.types import Geometry, Region, Volume
from medpipe.work.measure import feature_row
from tests.models.networks import (
    PATCH,
    card,
    constant,
    convolution,
    encoder,
    identity,
    logarithm,
    node,
    onnx_file,
    opens,
    smoothing,
    sums,
)

SHAPE = (7, 19, 21)
SPACING_MM = (2.0, 1.0, 1.0)


def volume(shape=SHAPE, *, seed=5, unit="HU", modality="CT", axes="zyx", **said):
    data = np.random.default_rng(seed).normal(40, 300, shape).astype(np.float32)
    geometry = Geometry(shape=shape, spacing_mm=SPACING_MM, axes=axes, **said)
    return Volume(data=data, geometry=geometry, unit=unit, modality=modality)


def learned(data, **said):
    own = {"quantitative": said.pop("quantitative", False)}
    return Learned(model="net", network=opens(data, card(**said)), **own)


def deep(data=None, *, numbers=4, masked=False, **said):
    data = encoder(numbers, planes=said.get("layout") == "NCYX") if data is None else data
    network = opens(data, card("encoder", numbers=numbers, **said))
    return Deep(model="net", numbers=numbers, masked=masked, network=network)


def whole(given, **said):
    return Region(mask=np.ones(given.geometry.spatial_shape, bool), name="all", **said)


# images ---------------------------------------------------------------------------------------

SCALES = [
    {},
    {"limits": (-2000.0, 3000.0), "center": -2000.0, "width": 5000.0},
    {"scale": "image"},
    {"overlap": 0.0},
    {"overlap": 0.8, "pad": "constant", "fill": -1000.0},
]


@pytest.mark.parametrize("said", SCALES)
@pytest.mark.parametrize("shape", [SHAPE, PATCH, (1, 5, 30)])
def test_a_network_that_copies_gives_the_image_back(said, shape):
    given = volume(shape)
    found = learned(identity(), **said)(given)
    np.testing.assert_allclose(found.data, given.data, atol=1e-6 * np.ptp(given.data) + 1e-6 * 5000)
    assert found.geometry == given.geometry
    assert (found.unit, found.modality) == ("HU", "CT")


@pytest.mark.parametrize("shape", [SHAPE, (1, 5, 30)])
def test_a_constant_network_gives_its_constant(shape):
    np.testing.assert_allclose(learned(constant(7.5))(volume(shape)).data, 7.5, rtol=1e-6)


def test_tiles_are_put_together_as_the_definition_says():
    given = volume()
    found = learned(smoothing(), center=10.0, width=200.0)(given).data
    over, under = np.zeros(SHAPE), np.zeros(SHAPE)
    middle = [(size - 1) / 2 for size in PATCH]
    grid = np.indices(PATCH)
    power = sum(((axis - c) / (0.125 * p)) ** 2 for axis, c, p in zip(grid, middle, PATCH, strict=True))
    weight = np.exp(-power / 2)
    weight = np.maximum(weight, 1e-3 * weight.max())
    for window in windows(SHAPE, patch=PATCH, overlap=0.5):
        scaled = np.pad((given.data[window].astype(np.float64) - 10) / 200, 1)
        answer = np.mean([np.roll(scaled, shift, (0, 1, 2)) for shift in np.ndindex(3, 3, 3)], axis=0)[2:, 2:, 2:]
        over[window] += weight * (answer * 200 + 10)
        under[window] += weight
    np.testing.assert_allclose(found, over / under, atol=2e-3)


def test_a_scale_of_the_images_own_is_mean_and_deviation():
    given = volume()
    double = learned(convolution(np.full((1, 1, 1), 2.0)), scale="image")(given).data
    mean = given.data.mean(dtype=np.float64)
    np.testing.assert_allclose(double, mean + 2 * (given.data - mean), atol=2e-3)


def test_another_unit_is_what_the_card_says_and_facts_of_the_old_one_go():
    given = replace(volume(unit="arbitrary", modality="MR"), padding=(0.0, None), quantity="")
    found = learned(constant(0.25), result_unit="HU", result_center=-1000.0, result_width=4000.0)(given)
    np.testing.assert_allclose(found.data, 0.0, atol=1e-3)
    assert (found.unit, found.padding, found.modality) == ("HU", None, "MR")


def test_missing_voxels_stay_missing_and_spoil_nothing_else():
    given = volume()
    holed = given.data.copy()
    holed[3, 9, 10], holed[0, 0, 0] = np.nan, np.inf
    found = learned(smoothing(), fill=0.0)(given.with_data(holed)).data
    assert np.isnan(found[3, 9, 10])
    assert np.isnan(found[0, 0, 0])
    assert np.isfinite(found).sum() == found.size - 2
    filled = np.where(np.isfinite(holed), holed, 0)
    expected = learned(smoothing())(given.with_data(filled)).data
    np.testing.assert_array_equal(found[np.isfinite(found)], expected[np.isfinite(found)])


def test_a_network_of_planes_works_plane_by_plane():
    plane = onnx_file([node("Mul", ("x", "k"))], tensors={"k": np.float32(3)}, given=[1, 1, "y", "x"])
    found = learned(plane, layout="NCYX", patch=(1, 8, 8))(volume()).data
    np.testing.assert_allclose(found, volume().data * 3, rtol=1e-5)


def test_a_network_of_several_channels_is_given_the_same_image_in_each():
    mean = onnx_file(
        [node("ReduceSum", ("x", "axis"), keepdims=1)], tensors={"axis": np.array([1])}, given=[1, 3, "z", "y", "x"]
    )
    found = learned(mean, channels=3)(volume()).data
    np.testing.assert_allclose(found, volume().data * 3, rtol=1e-5, atol=1e-3)


def test_the_result_says_that_it_is_synthetic_and_repeats_its_bytes():
    op, given = learned(smoothing()), volume()
    found = op(given)
    assert found.synthetic
    assert not given.synthetic
    assert found.data.tobytes() == op(given).data.tobytes()


@pytest.mark.parametrize(
    ("said", "changes", "code"),
    [
        ({"modalities": ("MR",)}, {}, "E_NETWORK_INPUT"),
        ({"unit": "SUV"}, {}, "E_NETWORK_INPUT"),
        ({"spacing_mm": (2.0, 0.9, 1.0)}, {}, "E_NETWORK_INPUT"),
        ({"spacing_mm": (2.0, 0.96, 1.0)}, {}, None),
        # 1.05 - 1 is more than 0.05 in binary, and 0.1 * 3 more than 0.3
        ({"spacing_mm": (2.0, 1.0, 1.0)}, {"spacing_mm": (2.0, 1.05, 0.95)}, None),
        ({"spacing_mm": (0.0, 0.3, 0.0), "spacing_tolerance": 0.0}, {"spacing_mm": (2.0, 0.1 * 3, 1.0)}, None),
        ({"spacing_mm": (2.0, 1.0, 1.0)}, {"spacing_mm": (2.0, 1.051, 1.0)}, "E_NETWORK_INPUT"),
        ({"spacing_mm": (0.0, 1.0, 1.0)}, {"slice_positions_mm": (0, 2, 4, 6, 8, 10, 13)}, None),
        ({"spacing_mm": (2.0, 1.0, 1.0)}, {"slice_positions_mm": (0, 2, 4, 6, 8, 10, 13)}, "E_NETWORK_INPUT"),
        ({"spacing_mm": (0.0, 1.0, 1.0)}, {"spacing_mm": None}, "E_SPACING"),
        ({"spacing_mm": (0.0, 0.0, 0.0)}, {"spacing_mm": None}, None),
    ],
)
def test_an_image_that_the_network_is_not_for_is_refused_with_a_code(said, changes, code):
    given = volume()
    given = given.with_data(given.data, geometry=replace(given.geometry, **changes))
    ops = (learned(identity(), **said), lambda one: deep(**said)(one, whole(one)))
    for op in ops:
        if code is None:
            op(given)
            continue
        with pytest.raises(Rejected, match=code):
            op(given)


def test_a_map_of_a_quantity_is_refused_unless_it_is_meant():
    adc = replace(volume(unit="arbitrary", modality="MR"), quantity="ADC")
    with pytest.raises(Rejected, match="E_QUANTITATIVE"):
        learned(identity())(adc)
    assert learned(identity(), quantitative=True)(adc).synthetic


def test_an_image_without_a_scale_of_its_own_is_refused():
    for value in (3.0, np.nan):
        given = volume().with_data(np.full(SHAPE, value, np.float32))
        with pytest.raises(Rejected, match="E_CONSTANT"):
            learned(identity(), scale="image")(given)
    nothing = volume().with_data(np.full(SHAPE, np.nan, np.float32))
    assert np.isnan(learned(identity())(nothing).data).all()


def test_a_network_that_fails_on_an_image_is_a_code():
    with pytest.raises(Rejected, match="E_NETWORK"):
        learned(logarithm())(volume())
    # too large for float32 once the scale is undone
    with pytest.raises(Rejected, match="E_NETWORK"):
        learned(constant(1e38), width=1e5)(volume())


def test_without_a_network_an_op_says_that_its_name_means_one_of_a_lake():
    with pytest.raises(ConfigError, match="a network of a lake"):
        Learned(model="net")(volume())
    with pytest.raises(ConfigError, match="a network of a lake"):
        Deep(model="net", numbers=2)(volume(), whole(volume()))
    with pytest.raises(ConfigError, match="what the lock of the recipe says"):
        Learned(model="net", network=opens(encoder(), card("encoder")))(volume())
    with pytest.raises(ConfigError, match="what the lock of the recipe says"):
        replace(deep(), numbers=5)(volume(), whole(volume()))


def test_what_a_network_is_bound_by_is_no_parameter():
    one = Learned(model=f"net@{'ab' * 32}", memory_mb=128)
    assert spec_of(replace(one, network=lambda: None)) == spec_of(one)
    assert spec_of(one) == {"op": "learned", "version": 1, "model": f"@{'ab' * 32}", "memory_mb": 128}
    assert replace(one, network=lambda: None) == one


# features -------------------------------------------------------------------------------------


def expected(tiles, numbers=4):
    """Return the mean of what the encoder gives for tiles."""
    return np.mean([[tile.mean(), np.abs(tile).mean()] @ sums(numbers).astype(np.float64) for tile in tiles], axis=0)


def ball():
    z, y, x = np.indices(SHAPE)
    return ((z - 3) ** 2 * 4 + (y - 9) ** 2 + (x - 10) ** 2) < 30


def test_a_small_region_is_seen_in_the_middle_of_one_tile():
    given, mask = volume(), np.zeros(SHAPE, bool)
    mask[3, 9:11, 10] = True
    found = deep()(given, Region(mask=mask, name="r"))
    assert list(found) == ["deep_000", "deep_001", "deep_002", "deep_003"]
    np.testing.assert_allclose(list(found.values()), expected([given.data[2:6, 6:14, 7:15]]), rtol=1e-4)


def test_a_large_region_is_the_mean_of_the_tiles_that_hold_a_voxel_of_it():
    given, mask = volume(), ball()
    box = (slice(1, 6), slice(4, 15), slice(5, 16))
    assert mask[box].sum() == mask.sum()
    starts = [[0, 1], [0, 3], [0, 3]]
    tiles = [
        given.data[box][z : z + 4, y : y + 8, x : x + 8]
        for z in starts[0]
        for y in starts[1]
        for x in starts[2]
        if mask[box][z : z + 4, y : y + 8, x : x + 8].any()
    ]
    found = deep()(given, Region(mask=mask, name="r"))
    np.testing.assert_allclose(list(found.values()), expected(tiles), rtol=1e-4)


def test_slices_are_seen_one_by_one_and_their_numbers_averaged():
    given, mask = volume(), np.zeros(SHAPE, bool)
    mask[[1, 2, 5], 4, 5] = True
    found = deep(layout="NCYX", patch=(1, 6, 8))(given, Region(mask=mask, name="r"))
    planes = [given.data[z, 2:8, 2:10] for z in (1, 2, 5)]
    np.testing.assert_allclose(list(found.values()), expected(planes), rtol=1e-4)


def test_beyond_the_border_is_the_border_or_what_stands_for_missing():
    given, mask = volume(), np.zeros(SHAPE, bool)
    mask[0, 0, 0] = True
    region = Region(mask=mask, name="r")
    # a tile of 4 x 8 x 8 with the voxel at (1, 3, 3)
    edge = np.pad(given.data[:3, :5, :5], ((1, 0), (3, 0), (3, 0)), mode="edge")
    np.testing.assert_allclose(list(deep()(given, region).values()), expected([edge]), rtol=1e-4)
    filled = np.pad(given.data[:3, :5, :5], ((1, 0), (3, 0), (3, 0)), constant_values=-50)
    found = deep(pad="constant", fill=-50.0)(given, region)
    np.testing.assert_allclose(list(found.values()), expected([filled]), rtol=1e-4)


def test_masked_shows_nothing_of_what_lies_around():
    given, mask = volume(), np.zeros(SHAPE, bool)
    mask[3, 9:11, 10] = True
    tile = np.full(PATCH, -7.0)
    tile[1, 3:5, 3] = given.data[3, 9:11, 10]
    found = deep(masked=True, fill=-7.0)(given, Region(mask=mask, name="r"))
    np.testing.assert_allclose(list(found.values()), expected([tile]), rtol=1e-4)


def test_degenerate_regions_have_a_status_and_no_exception():
    given, nothing = volume(), Region(mask=np.zeros(SHAPE, bool), name="r")
    row = feature_row(deep(), given, nothing)
    assert (row["status"], row["code"], set(row["values"].values())) == ("empty", "EMPTY_ROI", {None})
    missing = given.with_data(np.full(SHAPE, np.nan, np.float32))
    with pytest.raises(Rejected, match="E_NONFINITE"):
        deep()(missing, whole(given))
    one = np.zeros(SHAPE, bool)
    one[6, 18, 20] = True
    row = feature_row(deep(), given, Region(mask=one, name="r"))
    assert (row["status"], row["code"]) == ("flagged", "SMALL_ROI")
    assert None not in row["values"].values()
    constant_image = given.with_data(np.full(SHAPE, 3.0, np.float32))
    np.testing.assert_allclose(
        list(deep()(constant_image, whole(given)).values()), expected([np.full(2, 3.0)]), rtol=1e-5
    )
    with pytest.raises(Rejected, match="E_CONSTANT"):
        deep(scale="image")(constant_image, whole(given))
    series = volume((2, *SHAPE), axes="tzyx")
    with pytest.raises(Rejected, match="E_AXES"):
        deep()(series, whole(given))
    with pytest.raises(Rejected, match="E_GRID"):
        deep()(given, Region(mask=np.ones((2, 2, 2), bool), name="r"))


def test_what_is_measured_of_a_synthetic_image_is_flagged():
    given = volume()
    row = feature_row(deep(), learned(smoothing())(given), whole(given))
    assert (row["status"], row["code"]) == ("flagged", "W_SYNTHETIC")
    assert feature_row(deep(), given, whole(given))["status"] == "ok"


def test_the_columns_are_as_many_as_the_lock_states():
    assert Deep(model="net").columns == ()
    names = Deep(model="net", numbers=2048).names
    assert (names[0], names[-1], sorted(names) == list(names)) == ("deep_0000", "deep_2047", True)
