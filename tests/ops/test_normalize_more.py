"""Normalizing ops beyond windows and statistics: bias, standards, what headers ask for, and maps that are left alone."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk
from skimage.exposure import adjust_gamma, rescale_intensity

from medpipe.errors import ConfigError, Rejected
from medpipe.kernels.foreground import foreground
from medpipe.kernels.intensity import WINDOWS_HU
from medpipe.kernels.voi import linear, sigmoid
from medpipe.ops.extents import Foreground, Whole
from medpipe.ops.extract_landmarks import Landmarks
from medpipe.ops.normalize import (
    N4,
    Clahe,
    Equalize,
    Match,
    Nyul,
    Percentile,
    Polarity,
    Stretch,
    Unsharp,
    Voi,
    WhiteStripe,
    Window,
    ZScore,
)
from medpipe.ops.parameters import build, json_schema
from medpipe.types import Companions, Geometry, Region, Volume
from medpipe.values import Display

SCALING = [ZScore(), Percentile(), WhiteStripe(), Stretch(), Equalize(), Clahe(), N4(), Nyul(values=tuple(range(11)))]
"""Ops that change the scale of an image by what it holds."""


def volume(data, *, modality="MR", unit="arbitrary", **more):
    geometry = Geometry(shape=data.shape, spacing_mm=(2.0, 1.0, 1.0))
    return Volume(data=data.astype(np.float32), geometry=geometry, unit=unit, modality=modality, **more)


def head(shape=(12, 40, 40), seed=2):
    """Return a bright ball with a brighter core in a dark noisy background, and the masks of both."""
    rng = np.random.default_rng(seed)
    z, y, x = (axis - (size - 1) / 2 for axis, size in zip(np.indices(shape), shape, strict=True))
    radius = np.sqrt((2 * z) ** 2 + y**2 + x**2)
    ball, core = radius < 16, radius < 8
    data = np.where(core, 400.0, np.where(ball, 250.0, 4.0)) + rng.normal(0, 4, shape)
    return np.abs(data), ball & ~core, core


# windows ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("preset", sorted(WINDOWS_HU))
def test_every_preset_can_be_named_and_takes_every_function(preset):
    x = np.linspace(-1200, 3000, 60).reshape(3, 4, 5)
    center, width = WINDOWS_HU[preset]
    assert preset in json_schema(Window)["properties"]["preset"]["enum"]
    for function, kernel in (("linear", linear), ("sigmoid", sigmoid)):
        found = build(Window, {"preset": preset, "function": function}, "here")(volume(x, modality="CT", unit="HU"))
        np.testing.assert_array_equal(found.data, kernel(x.astype(np.float32), center=center, width=width))
        assert found.unit == "normalized"


def test_the_linear_function_is_for_whole_numbers():
    with pytest.raises(ConfigError, match="below 1"):
        Window(center=0.0, width=0.5, function="linear")
    assert Window(center=0.0, width=0.5).width == 0.5


# contrast -----------------------------------------------------------------------------------------


def test_a_stretch_equals_scikit_image():
    x = np.random.default_rng(4).normal(300, 90, (4, 9, 8)).astype(np.float32)
    whole = rescale_intensity(x, out_range=(0.0, 1.0))
    np.testing.assert_allclose(Stretch()(volume(x)).data, whole, atol=1e-5)
    np.testing.assert_allclose(Stretch(gamma=0.6)(volume(x)).data, adjust_gamma(whole, 0.6), atol=1e-5)
    part = rescale_intensity(x, in_range=(200, 400), out_range=(0.0, 1.0))
    np.testing.assert_allclose(Stretch(low=200.0, high=400.0)(volume(x)).data, part, atol=1e-5)
    assert Stretch(low=200.0, high=400.0).halo(volume(x).geometry) == (0, 0, 0)
    assert Stretch(low=200.0).halo(volume(x).geometry) is None


def test_a_range_that_is_none_is_refused():
    with pytest.raises(ConfigError, match="not below"):
        Stretch(low=5.0, high=5.0)
    with pytest.raises(Rejected, match="E_CONSTANT"):
        Stretch(low=1e6)(volume(np.arange(24.0).reshape(2, 3, 4)))


def test_sharpening_needs_a_spacing():
    x = volume(np.zeros((3, 4, 5)))
    bare = x.with_data(x.data, geometry=Geometry(shape=x.data.shape))
    with pytest.raises(Rejected, match="E_SPACING"):
        Unsharp(sigma_mm=1.0)(bare)
    assert Unsharp(sigma_mm=1.0).halo(bare.geometry) is None


# bias ---------------------------------------------------------------------------------------------


def test_n4_takes_most_of_a_smooth_field_away():
    clean, shell, core = head((16, 48, 48))
    z, y, x = np.indices(clean.shape)
    field = 1 + 0.3 * np.sin(y / 48 * np.pi * 1.2) * np.cos(x / 48 * np.pi) + 0.1 * (z / 16 - 0.5)
    spoiled = volume(clean * field)
    found = N4(shrink=2)(spoiled)
    assert found.unit == "arbitrary"

    def spread(data, mask):
        return data[mask].std() / data[mask].mean() - clean[mask].std() / clean[mask].mean()

    for mask in (shell, core):
        assert spread(found.data, mask) < 0.4 * spread(spoiled.data, mask)


def test_n4_is_simpleitks_with_the_same_settings():
    clean, _, _ = head()
    x = (clean * np.linspace(0.8, 1.2, 40)).astype(np.float32)
    image, mask = sitk.GetImageFromArray(x), sitk.GetImageFromArray(foreground(x).astype(np.uint8))
    for one in (image, mask):
        one.SetSpacing((1.0, 1.0, 2.0))
    n4 = sitk.N4BiasFieldCorrectionImageFilter()
    n4.SetMaximumNumberOfIterations([5, 5])
    n4.Execute(sitk.Shrink(image, [4, 4, 3]), sitk.Shrink(mask, [4, 4, 3]))
    field = np.exp(sitk.GetArrayFromImage(n4.GetLogBiasFieldAsImage(image)))
    found = N4(levels=2, iterations=5)(volume(x)).data
    np.testing.assert_allclose(found, x / field, rtol=1e-4)


def test_n4_gives_the_same_bytes_whatever_threads_there_are():
    given = volume(head()[0])
    before = sitk.ProcessObject.GetGlobalDefaultNumberOfThreads()
    found = set()
    try:
        for threads in (1, 3):
            sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(threads)
            found.add(N4(levels=2, iterations=5)(given).data.tobytes())
            assert sitk.ProcessObject.GetGlobalDefaultNumberOfThreads() == threads
    finally:
        sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(before)
    assert len(found) == 1


def test_n4_takes_a_single_slice_and_leaves_missing_voxels_missing():
    clean, _, _ = head((1, 60, 60))
    clean[0, 30, 30] = np.nan
    found = N4(levels=2, iterations=5)(volume(clean)).data
    assert found.shape == (1, 60, 60)
    assert np.flatnonzero(np.isnan(found)).tolist() == [30 * 60 + 30]


def test_n4_of_a_constant_foreground_is_rejected():
    x = np.zeros((8, 24, 24))
    x[1:7, 4:20, 4:20] = 300.0
    for data, modality in ((x, "MR"), (x[1:7, 4:20, 4:20], "CT"), (x, "CT")):
        with pytest.raises(Rejected, match="E_CONSTANT"):
            N4(levels=2, iterations=5)(volume(data, modality=modality))


def test_n4_looks_at_the_whole_image_where_the_smaller_one_is_constant():
    x = np.full((8, 24, 24), 300.0)
    x[0, 0, :12] = 290.0
    given = volume(x, modality="CT")
    found = N4(levels=2, iterations=5)(given).data
    np.testing.assert_array_equal(found, N4(levels=2, iterations=5, shrink=1)(given).data)
    np.testing.assert_allclose(found, x, rtol=0.05)


def test_n4_states_what_the_library_takes_for_the_image_it_looks_at():
    geometry = Geometry(shape=(100, 100, 100), spacing_mm=(1.0, 1.0, 1.0))
    needs = {shrink: N4(shrink=shrink).memory(geometry) for shrink in (1, 2, 4)}
    # of 10^6 voxels, with 24 bytes a voxel for image, mask, field and result
    assert needs == {1: 69_000_000, 2: 24_000_000 + 45_000_000 // 8, 4: 24_000_000 + 45_000_000 // 64}


def test_n4_of_nothing_above_0_is_rejected():
    with pytest.raises(Rejected, match="EMPTY_ROI"):
        N4()(volume(-np.abs(np.random.default_rng(2).normal(size=(4, 9, 9))), modality="CT"))


# standards ----------------------------------------------------------------------------------------


def test_two_scans_of_one_head_get_one_scale():
    clean, shell, core = head()
    op = Nyul(percentiles=(1.0, 50.0, 99.0), values=(1.0, 40.0, 100.0))
    first, second = op(volume(clean)), op(volume(3.0 * clean + 20.0))
    np.testing.assert_allclose(first.data, second.data, atol=0.01)
    assert first.unit == "normalized"
    assert first.data[core].mean() > first.data[shell].mean()


def test_the_landmarks_of_the_whole_image_are_those_the_op_goes_by():
    clean, _, _ = head()
    given = volume(clean)
    (whole,) = Whole()(given, Companions())
    shares = (1.0, 50.0, 99.0)
    seen = list(Landmarks(percentiles=shares)(given, whole).values())
    # a standard that is the image's own landmarks leaves it as it is
    same = Nyul(percentiles=shares, values=tuple(seen))(given)
    np.testing.assert_allclose(same.data, given.data, rtol=1e-4, atol=1e-2)
    (found,) = Foreground()(given, Companions())
    inside = given.data[found.mask]
    np.testing.assert_allclose(seen, np.percentile(inside, shares), rtol=1e-6)


def test_landmarks_outside_of_the_foreground_are_none():
    clean, _, _ = head()
    corner = np.zeros(clean.shape, bool)
    corner[0, :3, :3] = True
    values = Landmarks()(volume(clean), Region(mask=corner, name="corner"))
    assert list(values) == [f"landmark_{share}" for share in (1, 10, 20, 30, 40, 50, 60, 70, 80, 90, 99)]
    assert np.isnan(list(values.values())).all()
    assert Landmarks(percentiles=(0.5, 99.5)).names == ("landmark_0_5", "landmark_99_5")


def test_a_match_has_the_quantiles_of_its_reference():
    clean, _, _ = head()
    inside = foreground(clean.astype(np.float32))
    values = tuple(float(value) for value in np.linspace(50, 90, 101))
    found = Match(values=values)(volume(clean)).data[inside]
    np.testing.assert_allclose(np.percentile(found, [10, 50, 90]), [54, 70, 86], atol=0.1)


@pytest.mark.parametrize(
    ("op", "given", "message"),
    [
        (Nyul, {}, "give standard"),
        (Nyul, {"values": [1.0, 2.0]}, "2 of them for 11"),
        (Nyul, {"percentiles": [1.0, 99.0], "values": [2.0, 2.0]}, "greater than the one before"),
        (Nyul, {"percentiles": [50.0, 50.0], "values": [1.0, 2.0]}, "greater than the one before"),
        (Match, {"percentiles": [1.0, 99.0], "values": [2.0, 1.0]}, "less than the one before"),
        (Match, {"percentiles": [1.0, 101.0], "values": [2.0, 3.0]}, "above 100"),
        (Landmarks, {"percentiles": [1.0]}, "at least two"),
        (WhiteStripe, {"half_width": 0.6}, "above 0.5"),
        (Clahe, {"tiles": [0, 8, 8]}, "below 1"),
        (N4, {"shrink": 0}, "below 1"),
        (Unsharp, {"sigma_mm": -1.0}, "not above 0"),
    ],
)
def test_a_wrong_parameter_is_one_clear_error(op, given, message):
    with pytest.raises(ConfigError, match=rf"^here.*{message}"):
        build(op, given, "here")


def test_a_name_alone_cannot_be_worked_with():
    with pytest.raises(ConfigError, match="once a run is planned"):
        Nyul(standard="t1")(volume(head()[0]))


# what headers ask for -----------------------------------------------------------------------------


def test_each_slice_is_shown_by_its_own_window_then_turned_round():
    x = np.arange(24.0).reshape(2, 3, 4)
    shown = (
        Display(function="linear_exact", center=5.0, width=10.0),
        Display(function="table", first=12.0, table=tuple(k / 12 for k in range(12)), inverted=True),
    )
    found = Voi()(volume(x, modality="DX", display=shown))
    np.testing.assert_allclose(found.data[0].ravel(), np.clip(np.arange(12) / 10, 0, 1), atol=1e-6)
    np.testing.assert_allclose(found.data[1].ravel(), 1 - np.arange(12) / 12, atol=1e-6)
    assert (found.unit, found.display) == ("normalized", None)


def test_polarity_changes_only_what_is_shown_the_other_way():
    x = np.arange(24.0).reshape(2, 3, 4)
    shown = (Display(), Display(inverted=True, ends=(0.0, 255.0)))
    found = Polarity()(volume(x, modality="CR", display=shown))
    np.testing.assert_array_equal(found.data[0], x[0])
    np.testing.assert_array_equal(found.data[1], 255 - x[1])


@pytest.mark.parametrize("op", [Voi(), Polarity()])
def test_what_no_header_tells_is_rejected(op):
    for shown in (None, (Display(inverted=True),)):
        with pytest.raises(Rejected, match="E_VOI"):
            op(volume(np.zeros((2, 3, 4)), modality="CR", display=shown))


def test_physical_values_are_not_turned_round():
    inverted = (Display(inverted=True, ends=(0.0, 255.0)),)
    with pytest.raises(Rejected, match="E_QUANTITATIVE"):
        Polarity()(volume(np.zeros((2, 3, 4)), modality="CT", display=inverted))
    upright = Polarity()(volume(np.ones((2, 3, 4)), modality="CT", display=(Display(),)))
    assert (upright.data == 1).all()


# maps ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("op", SCALING, ids=lambda op: op.name)
def test_a_map_is_left_alone_unless_the_recipe_means_it(op):
    clean, _, _ = head()
    for given in (
        volume(clean, quantity="ADC"),
        volume(clean, unit="mm2/s"),
        volume(clean, modality="PT", unit="g/mL"),
    ):
        with pytest.raises(Rejected, match="E_QUANTITATIVE"):
            op(given)
    meant = build(
        type(op), {"quantitative": True, **({"values": list(range(11))} if op.name == "nyul" else {})}, "here"
    )
    plain, mapped = op(volume(clean)), meant(volume(clean, quantity="ADC"))
    np.testing.assert_array_equal(plain.data, mapped.data)


def test_a_window_that_is_given_says_what_it_means():
    clean, _, _ = head()
    assert Window(center=100.0, width=50.0)(volume(clean, quantity="ADC")).unit == "normalized"
    assert Stretch(low=0.0, high=50.0)(volume(clean, quantity="ADC")).unit == "normalized"
    with pytest.raises(Rejected, match="E_QUANTITATIVE"):
        Landmarks()(volume(clean, quantity="T1"), Region(mask=np.ones(clean.shape, bool), name="whole"))


# bad data -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("op", [*SCALING, Match(values=tuple(range(101)))], ids=lambda op: op.name)
def test_bad_data_has_its_code(op):
    clean, _, _ = head()
    for data, code in ((np.full(clean.shape, 7.0), "E_CONSTANT"), (np.full(clean.shape, np.nan), "EMPTY_ROI")):
        with pytest.raises(Rejected, match=code):
            op(volume(data))
    if op.name not in ("stretch", "clahe"):
        with pytest.raises(Rejected, match="EMPTY_ROI"):
            op(volume(clean), np.zeros(clean.shape, bool))
    single = op(volume(clean[5:6]))
    assert single.data.shape == (1, *clean.shape[1:])
    assert np.isfinite(single.data).all()


@pytest.mark.parametrize("shape", [(2, 30, 30), (5, 1, 30), (1, 30, 30), (2, 2, 2)])
def test_n4_takes_thin_images(shape):
    x = np.random.default_rng(1).uniform(1, 100, shape)
    found = N4(levels=2, iterations=3)(volume(x)).data
    assert np.isfinite(found).all()
    with pytest.raises(Rejected, match="E_DIMENSIONS"):
        N4()(volume(x[:1, :1], modality="CT"))


@pytest.mark.parametrize("op", SCALING, ids=lambda op: op.name)
def test_values_near_the_ends_of_float32_stay_numbers(op):
    x = np.random.default_rng(1).uniform(1e30, 3e38, (6, 20, 20))
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        if op.name == "n4":
            with pytest.raises(Rejected, match="E_NONFINITE"):
                op(volume(x))
        else:
            assert np.isfinite(op(volume(x)).data).all()
        if op.name == "nyul":
            with pytest.raises(Rejected, match="E_CONSTANT"):
                op(volume(np.random.default_rng(1).uniform(1e-40, 1e-38, (6, 20, 20))))
