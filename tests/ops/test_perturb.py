"""Perturbations: what they move, that they repeat, and what they do with images they cannot use."""

from __future__ import annotations

import dataclasses
import json
import math
import tracemalloc

import numpy as np
import pytest
from scipy import ndimage

from medpipe.contracts.protocols import Perturbation
from medpipe.errors import ConfigError, Rejected
from medpipe.kernels.noise import detail_noise
from medpipe.ops.parameters import json_schema
from medpipe.ops.perturb import AddNoise, Contour, Grow, Rotate, Shift
from medpipe.ops.registry import make, registered, spec_of
from medpipe.types import Geometry, Region, Volume

SHAPE = (7, 36, 40)
SPACING_MM = (3.0, 1.0, 1.5)
NAMES = sorted(registered("perturb"))


def volume(data=None, spacing_mm=SPACING_MM):
    if data is None:
        noise = np.random.default_rng(1).normal(0.0, 40.0, SHAPE)
        data = ndimage.gaussian_filter(noise, 1.5).astype(np.float32) * 10 + 100.0 * ball()
        data = data.astype(np.float32)
    data.flags.writeable = False
    return Volume(data=data, geometry=Geometry(shape=data.shape, spacing_mm=spacing_mm))


def ball(shape=SHAPE):
    z, y, x = (np.indices(shape).T - (np.array(shape) - 1) / 2).T
    return (3 * z) ** 2 + y**2 + (1.5 * x) ** 2 < 8.5**2


def region(mask=None, name="gtv", label=1):
    return Region(mask=ball() if mask is None else mask, name=name, label=label)


def made(name, **given):
    return make("perturb", {"op": name, **given}, "route.0.perturb.0.steps.0")


@pytest.mark.parametrize("name", NAMES)
def test_every_perturbation_is_a_frozen_documented_record_that_its_spec_makes_again(name):
    op = made(name)
    assert isinstance(op, Perturbation)
    assert dataclasses.is_dataclass(op)
    assert not hasattr(op, "__dict__")
    spec = json.loads(json.dumps(spec_of(op)))
    assert spec.pop("version") == op.version
    assert made(spec.pop("op"), **spec) == op
    assert all(entry["description"].strip() for entry in json_schema(type(op))["properties"].values())


@pytest.mark.parametrize("name", NAMES)
def test_a_seed_makes_the_same_again_and_another_one_something_else(name):
    # where nothing shows the outline, chance draws it
    noise = np.random.default_rng(9).normal(0.0, 1.0, SHAPE)
    given = volume(ndimage.gaussian_filter(noise, 1.0).astype(np.float32))
    before = given.data.copy()
    found = [made(name)(given, (region(),), seed=seed) for seed in ("a", "a", "b")]
    bytes_of = [(image.data.tobytes(), drawn.mask.tobytes()) for image, (drawn,) in found]
    assert bytes_of[0] == bytes_of[1] != bytes_of[2]
    np.testing.assert_array_equal(given.data, before)
    for image, (drawn,) in found:
        assert image.geometry == given.geometry
        assert image.data.shape == drawn.mask.shape == SHAPE
        assert (drawn.name, drawn.label, drawn.source) == ("gtv", 1, "op")


@pytest.mark.parametrize("name", NAMES)
def test_a_region_does_not_depend_on_what_others_there_are(name):
    one, other = region(), region(np.roll(ball(), 5, axis=2), name="node", label=2)
    alone = made(name)(volume(), (other,), seed="s")[1]
    among = made(name)(volume(), (one, other), seed="s")[1]
    assert alone[0].bits == among[1].bits


@pytest.mark.parametrize("name", NAMES)
def test_degenerate_regions_and_images_are_borne(name):
    empty, lone, whole = np.zeros(SHAPE, bool), np.zeros(SHAPE, bool), np.ones(SHAPE, bool)
    lone[3, 0, 0] = True
    constant, gone = np.full(SHAPE, 5.0, np.float32), np.full(SHAPE, np.nan, np.float32)
    slice_ = volume(np.zeros((1, 12, 13), np.float32), spacing_mm=None)
    for given in (volume(), volume(constant), volume(gone)):
        regions = tuple(region(mask, label=place) for place, mask in enumerate((empty, lone, whole)))
        image, drawn = made(name)(given, regions, seed="s")
        assert not np.isinf(image.data).any()
        assert not drawn[0].mask.any()
    image, (drawn,) = made(name)(slice_, (region(np.ones((1, 12, 13), bool)),), seed="s")
    assert drawn.mask.shape == (1, 12, 13)


@pytest.mark.parametrize("name", NAMES)
def test_the_stated_memory_covers_what_is_taken(name):
    large = (24, 60, 64)
    given = volume(np.random.default_rng(2).normal(size=large).astype(np.float32))
    masks = (region(np.ones(large, bool)),) * 2
    made(name)(given, masks, seed="s")
    tracemalloc.start()
    made(name)(given, masks, seed="t")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak <= made(name).memory(given.geometry) + 2**16
    needs = [made(name).memory(Geometry(shape=(z, 20, 20))) for z in (1, 5, 50)]
    assert needs == sorted(needs)


@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("rotate", {"degrees": [5, -5]}),
        ("rotate", {"degrees": [0, 200]}),
        ("shift", {"voxels": [0, 0, 0]}),
        ("shift", {"voxels": [-1, 0, 0]}),
        ("noise", {"sd": 0.0}),
        ("grow", {"share": [0.2, 0.1]}),
        ("grow", {"share": [-1.0, 0.0]}),
        ("contour", {"size_mm": 0.0}),
        ("warp", {}),
    ],
)
def test_parameters_that_make_no_sense_are_refused_by_their_path(name, given):
    with pytest.raises(ConfigError, match=r"route\.0\.perturb\.0\.steps\.0"):
        made(name, **given)


@pytest.mark.parametrize("name", ["rotate", "shift", "noise", "contour"])
def test_a_fourth_axis_is_refused(name):
    series = Volume(data=np.zeros((2, 3, 4, 5), np.float32), geometry=Geometry(shape=(2, 3, 4, 5), axes="tzyx"))
    with pytest.raises(Rejected, match="E_AXES"):
        made(name)(series, (region(np.ones((3, 4, 5), bool)),), seed="s")


# what each does


def test_a_quarter_turn_of_a_square_grid_is_exact():
    data = np.random.default_rng(3).normal(size=(2, 9, 9)).astype(np.float32)
    mask = data > 0.4
    image, (drawn,) = Rotate(degrees=(90.0, 90.0))(volume(data, (1.0, 1.0, 1.0)), (region(mask),), seed="s")
    # x goes to y: what was right of the middle is below it
    np.testing.assert_allclose(image.data, np.rot90(data, -1, axes=(1, 2)), atol=1e-6)
    np.testing.assert_array_equal(drawn.mask, np.rot90(mask, -1, axes=(1, 2)))


def test_a_turn_is_one_in_mm_on_oblong_pixels():
    _, y, x = np.indices((1, 61, 41)) - np.array([0, 30, 20]).reshape(3, 1, 1, 1)
    bar = (np.abs(y * 1.0) < 3) & (np.abs(x * 1.5) < 20)
    geometry = (1.0, 1.0, 1.5)
    _, (drawn,) = Rotate(degrees=(30.0, 30.0))(volume(bar.astype(np.float32), geometry), (region(bar),), seed="s")
    places = np.argwhere(drawn.mask[0]) * np.array([1.0, 1.5])
    (direction,) = np.linalg.svd(places - places.mean(axis=0), full_matrices=False)[2][:1]
    assert math.degrees(math.atan2(direction[0], direction[1])) % 180 == pytest.approx(30.0, abs=1.0)
    assert drawn.mask.sum() == pytest.approx(bar.sum(), rel=0.05)


def test_angles_are_drawn_from_their_range():
    ramp = np.broadcast_to(np.arange(41.0, dtype=np.float32), (1, 41, 41)).copy()
    turned = [Rotate(degrees=(2.0, 8.0))(volume(ramp, (1.0, 1.0, 1.0)), (), seed=str(n))[0].data for n in range(20)]
    # a ramp turned by an angle rises by its cosine along x and its sine along y
    angles = [
        math.degrees(math.atan2(one[0, 24, 20] - one[0, 16, 20], one[0, 20, 24] - one[0, 20, 16])) for one in turned
    ]
    assert 2.0 <= min(angles) < 4.0
    assert 6.0 < max(angles) <= 8.0


def test_a_shift_is_linear_interpolation():
    data = np.random.default_rng(5).normal(size=(6, 12, 14))
    given = volume(data.astype(np.float32))
    image, (drawn,) = Shift(voxels=(0.4, 2.0, 0.0))(given, (region(data > 0),), seed="s")
    inner = (slice(2, -2), slice(4, -4), slice(None))
    best = min(
        (np.abs(ndimage.shift(data, (z, y, 0.0), order=1)[inner] - image.data[inner]).max(), z, y)
        for z in np.linspace(-0.4, 0.4, 21)
        for y in np.linspace(-2.0, 2.0, 81)
    )
    assert best[0] < 0.15
    weight = ndimage.shift((data > 0).astype(float), (*best[1:], 0.0), order=1)[inner]
    clear = np.abs(weight - 0.5) > 0.1
    np.testing.assert_array_equal(drawn.mask[inner][clear], (weight >= 0.5)[clear])


def test_what_was_outside_is_missing_and_a_slice_stays():
    image, _ = Shift(voxels=(0.0, 0.0, 5.0))(volume(), (), seed="s")
    assert np.isnan(image.data).any()
    one = np.random.default_rng(1).normal(size=(1, 9, 9)).astype(np.float32)
    image, _ = Shift(voxels=(0.5, 0.0, 0.0))(volume(one), (), seed="s")
    np.testing.assert_array_equal(image.data, one)


def test_noise_is_as_much_as_asked_for_or_as_there_is():
    given = volume(np.random.default_rng(1).normal(50.0, 6.0, (20, 64, 64)).astype(np.float32))
    added = AddNoise(sd=3.0)(given, (), seed="s")[0].data - given.data
    assert added.std() == pytest.approx(3.0, rel=0.01)
    assert added.mean() == pytest.approx(0.0, abs=0.05)
    same = AddNoise()(given, (), seed="s")[0].data - given.data
    assert same.std() == pytest.approx(detail_noise(given.data), rel=0.01)


def test_regions_grow_and_shrink_within_the_range():
    counts = []
    for number in range(30):
        image, (drawn,) = Grow(share=(-0.2, 0.3))(volume(), (region(),), seed=str(number))
        assert image.data is not None
        counts.append(drawn.mask.sum() / ball().sum())
        assert not (drawn.mask & ~ball()).any() or not (ball() & ~drawn.mask).any()
    assert -0.2 <= min(counts) - 1 < -0.1
    assert 0.2 < max(counts) - 1 <= 0.301


def test_growing_far_is_the_same_in_a_window_as_in_the_whole():
    mask = np.zeros(SHAPE, bool)
    mask[3, 5, 5] = mask[3, 5, 30] = True
    _, (drawn,) = Grow(share=(4.0, 4.0))(volume(), (region(mask),), seed="s")
    assert drawn.mask.sum() == 10
    far = ndimage.distance_transform_edt(~mask, sampling=SPACING_MM)
    assert far[drawn.mask].max() <= far[~drawn.mask].min() + 1e-6


def test_a_contour_follows_the_image():
    _, (drawn,) = Contour(size_mm=3.0)(volume(), (region(),), seed="s")
    overlap = 2 * (drawn.mask & ball()).sum() / (drawn.mask.sum() + ball().sum())
    assert 0.8 < overlap < 1.0
