"""Tissues, uptake, thresholds, growing and borders on bodies whose truth is known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage as ndi
from skimage.filters import threshold_multiotsu

from medpipe.errors import ConfigError, Rejected
from medpipe.kernels.canny import canny
from medpipe.ops import regions
from medpipe.ops.regions import (
    Bone,
    Brain,
    Canny,
    ChanVese,
    Edges,
    Fat,
    FillHoles,
    Grown,
    KeepLargest,
    Muscle,
    Otsu,
    Threshold,
    Uptake,
    Watershed,
    composed,
)
from medpipe.ops.registry import make
from medpipe.synth.head import draw_head, head_image
from medpipe.synth.noise import rician
from medpipe.synth.shapes import centred_grid
from medpipe.types import Companions, Geometry, Volume

NONE = Companions()
SPACING_MM = (3.0, 2.0, 2.0)
SHAPE = (28, 44, 48)
AFFINE = (2.0, 0, 0, -10.0, 0, 2.0, 0, 20.0, 0, 0, 3.0, 5.0, 0, 0, 0, 1.0)


def grid():
    return [
        (axis - (size - 1) / 2) * step for axis, size, step in zip(np.indices(SHAPE), SHAPE, SPACING_MM, strict=True)
    ]


def ball(radius_mm, centre=(0.0, 0.0, 0.0)):
    return sum((axis - at) ** 2 for axis, at in zip(grid(), centre, strict=True)) < radius_mm**2


def volume(data, *, modality="MR", unit="arbitrary", **geometry):
    facts = {"spacing_mm": SPACING_MM, "affine_lps": AFFINE} | geometry
    data = np.asarray(data, np.float32)
    return Volume(data=data, geometry=Geometry(shape=data.shape, **facts), modality=modality, unit=unit)


def noisy(inside, *, contrast=100.0, snr=5.0, level=50.0, seed=4):
    noise = np.random.default_rng(seed).normal(0, contrast / snr, SHAPE)
    return (level + contrast * inside + noise).astype(np.float32)


def dice(a, b):
    return 2 * (a & b).sum() / (a.sum() + b.sum())


def smoothing(sigma_mm):
    return make("image", {"op": "gaussian", "sigma_mm": sigma_mm}, "here")


def abdomen():
    """A body of fat with muscle and bone in it, a spot of chalk, and a table, in air."""
    body, muscle, bone = ball(38.0), ball(28.0), ball(10.0, (0.0, 8.0, 0.0))
    data = np.full(SHAPE, -1000.0)
    data[body] = -100.0
    data[muscle] = 50.0
    data[bone] = 700.0
    data[14, 10, 24] = 900.0
    data[:, 42:44] = 400.0
    truth = {"fat": body & ~muscle, "muscle": muscle & ~bone, "bone": bone}
    for found in truth.values():
        found[14, 10, 24] = False
    noise = np.random.default_rng(2).normal(0, 5, SHAPE)
    return volume(data + noise, modality="CT", unit="HU"), truth


@pytest.mark.parametrize("source", [Fat(), Muscle(), Bone()])
def test_tissues_of_a_ct_are_found_within_the_body(source):
    given, truth = abdomen()
    (found,) = source(given, NONE)
    assert (found.name, found.source) == (source.name, source.name)
    assert dice(found.mask, truth[source.name]) > 0.98
    assert not found.mask[:, 42:].any()


def test_a_small_part_is_bone_only_if_the_recipe_says_so():
    given, _ = abdomen()
    assert not Bone()(given, NONE)[0].mask[14, 10, 24]
    assert Bone(least_ml=0.001)(given, NONE)[0].mask[14, 10, 24]


@pytest.mark.parametrize("source", [Fat(), Muscle(), Bone()])
def test_tissues_need_hu(source):
    given, _ = abdomen()
    with pytest.raises(Rejected, match="E_UNIT"):
        source(replace(given, unit="arbitrary"), NONE)
    with pytest.raises(Rejected, match="E_SPACING"):
        source(replace(given, geometry=replace(given.geometry, spacing_mm=None)), NONE)


def test_a_fixed_uptake_is_that_of_an_image_in_uptake():
    data = np.full(SHAPE, 1.0)
    data[3:6, 4:9, 4:9] = 5.0
    data[20, 30, 30] = 4.0
    given = volume(data, modality="PT", unit="g/mL")
    (found,) = Uptake()(given, NONE)
    np.testing.assert_array_equal(found.mask, data >= 4.0)
    assert Uptake(above=6.0)(given, NONE) == ()
    with pytest.raises(Rejected, match="E_UNIT"):
        Uptake()(replace(given, unit="BQML"), NONE)


def test_a_threshold_has_limits_that_belong_to_it_and_a_unit():
    data = np.arange(np.prod(SHAPE), dtype=np.float32).reshape(SHAPE) % 100
    data[0, 0, 0] = np.nan
    given = volume(data, modality="CT", unit="HU")
    (between,) = Threshold(low=20.0, high=30.0, unit="HU")(given, NONE)
    np.testing.assert_array_equal(between.mask, (data >= 20) & (data <= 30))
    assert Threshold(high=1e9)(given, NONE)[0].mask.sum() == data.size - 1
    assert Threshold(low=1000.0)(given, NONE) == ()
    with pytest.raises(Rejected, match="E_UNIT"):
        Threshold(low=2.5, unit="g/mL")(given, NONE)


def test_otsu_finds_a_ball_in_noise():
    truth = ball(20.0)
    (found,) = Otsu()(volume(noisy(truth, snr=8.0)), NONE)
    assert dice(found.mask, truth) > 0.99


@pytest.mark.parametrize("classes", [3, 4])
def test_classes_of_otsu_are_numbered_from_dark_to_bright(classes):
    layers = sum(ball(radius).astype(float) for radius in (36.0, 24.0, 12.0)[: classes - 1])
    data = noisy(layers, snr=12.0)
    found = Otsu(classes=classes)(volume(data), NONE)
    assert [(one.name, one.label) for one in found] == [("otsu", n) for n in range(1, classes)]
    low, high = np.percentile(data, [1, 99])
    limits = threshold_multiotsu(np.clip(data, low, high), classes=classes)
    of_class = np.digitize(data, limits)
    for one in found:
        # scikit-image sums in float32: a limit may be one bin of 256 away, with the voxels in it
        assert (one.mask != (of_class == one.label)).mean() < 0.005


def test_the_brain_of_a_head_is_found_roughly_and_what_is_measured_of_it_says_so():
    head, skull, brain = ball(40.0), ball(36.0), ball(30.0)
    data = np.zeros(SHAPE)
    data[head] = 900.0
    data[skull] = 70.0
    data[brain] = 600.0
    data[brain & ball(5.0, (0.0, 10.0, 0.0))] = 150.0
    data = np.hypot(data + np.random.default_rng(3).normal(0, 25, SHAPE), np.random.default_rng(4).normal(0, 25, SHAPE))
    # a bridge through the skull
    data[14, 22:24, 30:46] = 600.0
    (found,) = Brain(wear_mm=6.0)(volume(data), NONE)
    assert dice(found.mask, brain) > 0.95
    assert found.flag == "W_APPROXIMATE"
    assert found.code == ""
    assert Brain()(volume(data, modality="CT"), NONE) == ()


def test_the_brain_of_the_phantom_with_its_bias_and_noise():
    rng = np.random.default_rng(1)
    where = centred_grid((34, 112, 104), (5.0, 2.0, 2.0), (0.0, 0.0, 0.0))
    head = draw_head(rng)
    signal = head_image(head, where, bias_strength=0.3, rng=rng).signal
    (found,) = Brain()(volume(rician(rng, signal, sigma=25.0), spacing_mm=where.spacing_mm), NONE)
    # what is within the skull: 2 mm of dark fluid around the brain are missed
    assert dice(found.mask, head.surface.shrunk(12).inside(where.coordinates(), where.shape)) > 0.94


@pytest.mark.parametrize("radius_mm", [10.0, 15.0, 20.0])
def test_a_sphere_in_noise_has_its_volume_by_otsu(radius_mm):
    shape = (56, 56, 56)
    away = sum((axis - 27.7) ** 2 for axis in np.indices(shape))
    truth = away < radius_mm**2
    data = 100.0 * truth + np.random.default_rng(8).normal(0, 20, shape)
    given = volume(data, spacing_mm=(1.0, 1.0, 1.0))
    source = composed(
        Otsu(low=0.0, high=100.0),
        after=[smoothing(0.7)],
        then=[KeepLargest(neighbours=6), FillHoles(of="volume")],
    )
    (found,) = source(given, NONE)
    assert dice(found.mask, truth) >= 0.97
    assert abs(found.mask.sum() / truth.sum() - 1) < 0.02


def test_growing_stays_with_what_is_connected():
    data = np.zeros(SHAPE)
    one, other = ball(12.0, (0.0, -20.0, 0.0)), ball(12.0, (0.0, 20.0, 0.0))
    data[one | other] = 100.0
    data[14, 12, 24] = 130.0
    (found,) = Grown(low=50.0)(volume(data), NONE)
    np.testing.assert_array_equal(found.mask, one)
    (learnt,) = Grown(multiplier=3.0)(volume(data + np.random.default_rng(1).normal(0, 2, SHAPE)), NONE)
    assert dice(learnt.mask, one) > 0.97


def test_a_seed_is_named_in_patient_coordinates():
    data = np.zeros(SHAPE)
    data[5:9, 30:40, 3:9] = 10.0
    # column 4, row 33, slice 6 by the affine
    (found,) = Grown(seed="point", at_mm=(-10.0 + 4 * 2, 20.0 + 33 * 2, 5.0 + 6 * 3), low=5.0)(volume(data), NONE)
    np.testing.assert_array_equal(found.mask, data > 5)
    centre = Grown(seed="centre", high=5.0)(volume(data), NONE)[0]
    np.testing.assert_array_equal(centre.mask, data < 5)
    (outside,) = Grown(seed="point", at_mm=(900.0, 0.0, 0.0), low=5.0)(volume(data), NONE)
    assert (outside.code, outside.bits.n_voxels) == ("W_OUTSIDE", 0)
    with pytest.raises(Rejected, match="W_UNPLACED"):
        Grown(seed="point", at_mm=(0.0, 0.0, 0.0), low=5.0)(volume(data, affine_lps=None), NONE)


@pytest.mark.parametrize(
    ("source", "least"),
    [
        (Watershed(), 0.97),
        (Watershed(inside=110.0, outside=70.0), 0.97),
        (Edges(), 0.97),
        (ChanVese(), 0.96),
    ],
)
def test_borders_are_found_where_they_are(source, least):
    truth = ball(18.0)
    (found,) = source(volume(noisy(truth, snr=8.0)), NONE)
    assert found.name == source.name
    assert dice(found.mask, truth) > least
    assert abs(found.mask.sum() / truth.sum() - 1) < 0.08


@pytest.mark.parametrize("slices", [slice(None), slice(14, 15)])
def test_what_cannys_edges_enclose_ends_within_a_voxel_of_where_it_does(slices):
    truth, data = ball(18.0)[slices], noisy(ball(18.0), snr=8.0)[slices]
    (found,), (lines,) = (Canny(shown=shown)(volume(data), NONE) for shown in ("enclosed", "lines"))
    around = np.ones((1, 3, 3), bool)
    sure = ndi.binary_erosion(truth, around)
    outer = ndi.binary_dilation(truth, around)
    large = outer.sum(axis=(1, 2)) > 120  # not the caps of the ball, whose slopes lie across slices
    assert (found.mask >= sure)[large].all()
    assert (found.mask <= outer)[large].all()
    assert not (found.mask & ~lines.mask & ~truth)[large].any()


def test_cannys_lines_are_those_of_the_slopes_a_recipe_gives():
    data = noisy(ball(18.0), snr=8.0).astype(np.float32)
    (found,) = Canny(sigma_mm=2.0, least_slope=12.0, weak=0.25, shown="lines")(volume(data), NONE)
    expected = canny(data, sigma_mm=2.0, spacing_mm=volume(data).geometry.spacing_mm, low=3.0, high=12.0)
    assert expected.any()
    np.testing.assert_array_equal(found.mask, expected)
    assert Canny(least_slope=1e6)(volume(data), NONE) == ()


def test_the_level_of_an_image_moves_no_border():
    truth = ball(18.0)
    for source in (Watershed(), Edges(), Canny(), ChanVese()):
        low, high = (source(volume(noisy(truth, snr=8.0, level=level)), NONE)[0].mask for level in (-1000.0, 50.0))
        assert dice(low, high) > 0.995


def test_what_is_flat_or_missing_is_refused():
    flat = volume(np.full(SHAPE, 3.0))
    nothing = volume(np.full(SHAPE, np.nan))
    for source in (Otsu(), Watershed(), Edges(), Canny(), ChanVese()):
        with pytest.raises(Rejected, match="E_CONSTANT"):
            source(flat, NONE)
        with pytest.raises(Rejected, match="EMPTY_ROI"):
            source(nothing, NONE)
    with pytest.raises(Rejected, match="EMPTY_ROI"):
        Grown()(nothing, NONE)


@pytest.mark.parametrize(
    "source", [Otsu(), Watershed(), Edges(), Canny(), ChanVese(), Grown(low=100.0), Threshold(low=100.0)]
)
def test_a_missing_voxel_is_in_no_region_and_spoils_no_other(source):
    truth = ball(18.0)
    whole, holed = noisy(truth, snr=8.0), noisy(truth, snr=8.0)
    holed[14, 20:23, 22:25] = np.nan
    (found,), (expected,) = source(volume(holed), NONE), source(volume(whole), NONE)
    assert not found.mask[14, 20:23, 22:25].any()
    assert (found.mask != expected.mask).sum() < 80


@pytest.mark.parametrize("source", [Otsu(), Edges(), ChanVese(), Watershed(), Brain(wear_mm=4.0), Grown(low=100.0)])
def test_a_single_slice_is_a_volume_too(source):
    truth = ball(18.0)[14:15]
    (found,) = source(volume(noisy(ball(18.0), snr=8.0)[14:15]), NONE)
    assert dice(found.mask, truth) > 0.95


@pytest.mark.parametrize(
    "source", [Otsu(padding="exclude"), ChanVese(padding="exclude"), Grown(low=0.0, padding="exclude")]
)
def test_padding_counts_for_nothing_if_the_recipe_says_so(source):
    truth = ball(18.0)
    data = noisy(truth, snr=8.0)
    data[:, :3] = 4000.0
    given = replace(volume(data), padding=(4000.0, 4000.0))
    (found,) = source(given, NONE)
    assert not found.mask[:, :3].any()
    if source.name != "grown":
        assert dice(found.mask, truth) > 0.96


def test_a_point_is_in_the_slice_it_lies_in_also_where_slices_lie_unevenly():
    data = np.zeros((5, 6, 6))
    for place in range(5):
        data[place] = place
    positions = (0.0, 1.0, 2.0, 3.0, 20.0)
    uneven = np.diag([2.0, 2.0, 5.0, 1.0])
    uneven[2, 3] = 7.0
    given = volume(data, spacing_mm=(5.0, 2.0, 2.0), affine_lps=tuple(uneven.reshape(-1)), slice_positions_mm=positions)
    for z_mm, slices in ((7.0, [0]), (9.9, [3]), (15.0, [3]), (20.0, [4]), (27.0, [4])):
        seeded = Grown(seed="point", at_mm=(4.0, 4.0, z_mm), low=slices[0] - 0.1, high=slices[0] + 0.1)
        (found,) = seeded(given, NONE)
        assert np.flatnonzero(found.mask.any(axis=(1, 2))).tolist() == slices
    for z_mm in (6.0, 36.0):
        (found,) = Grown(seed="point", at_mm=(4.0, 4.0, z_mm), low=0.0)(given, NONE)
        assert found.code == "W_OUTSIDE"


@pytest.mark.parametrize(
    ("make", "where"),
    [
        (Threshold, "low"),
        (lambda: Threshold(low=2.0, high=1.0), "high"),
        (lambda: Otsu(low=50.0, high=50.0), "high"),
        (lambda: Fat(low_hu=0.0, high_hu=-10.0), "high_hu"),
        (lambda: Grown(seed="point"), "at_mm"),
        (lambda: Grown(at_mm=(0.0, 0.0, 0.0)), "at_mm"),
        (lambda: Grown(low=2.0, high=1.0), "high"),
        (lambda: Watershed(inside=5.0), "inside"),
        (lambda: Watershed(inside=5.0, outside=5.0), "inside"),
    ],
)
def test_parameters_that_contradict_each_other_are_refused(make, where):
    with pytest.raises(ConfigError, match=f"^{where}: "):
        make()


def test_the_package_names_what_it_offers():
    assert all(hasattr(regions, name) for name in regions.__all__)
