"""Features and regions of companion images: values, flags, refusals, keys."""

from __future__ import annotations

import tomllib
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import scipy.ndimage as ndi
import SimpleITK as sitk

from medpipe.contracts.protocols import ScoreInput
from medpipe.models.package import load
from medpipe.models.train import train
from medpipe.plan.products import wanted_products
from medpipe.recipe.lock import ModelPin, lock_recipe
from medpipe.recipe.recipe import parse_recipe
from medpipe.types import Companions, Region
from medpipe.work.carried import carried, flag_of
from medpipe.work.case import _Work
from medpipe.work.places import Whole
from medpipe.work.room import Steps
from tests.models.cohort import make_cohort, make_spec
from tests.work.rooms import Room, an_order
from tests.work.test_images import SHAPE, a_pet, an_image, placed, run

TEXT = """
name = "pairs"

[[route]]
name = "mr"
regions = [ { op = "body", opening_mm = 0.0 }, { op = "segmentation_objects" } ]
features = [ { name = "own", op = "ibsi", families = ["statistics"] } ]
models = ["nodule"]

[[route.companions]]
name = "pet"
where = { modality = "PT" }
image = [ { op = "suv" } ]
"""
ON_PET = '{ name = "radiomics", op = "ibsi", families = ["statistics"], image = "pet" }'
ON_OWN_GRID = '{ name = "voxels", op = "ibsi", families = ["statistics"], image = "pet", grid = "companion" }'
HOT = '{ op = "hot", name = "avid", image = "pet" }'
FACTOR = 0.5
BALL = "roi_1"


def locked(*, features=(ON_PET,), regions=(), changes=(), more=""):
    text = TEXT.replace("features = [", f"features = [ {''.join(f'{one}, ' for one in features)}")
    text = text.replace("regions = [", f"regions = [ {''.join(f'{one}, ' for one in regions)}")
    for before, after in changes:
        assert before in text
        text = text.replace(before, after)
    return lock_recipe(parse_recipe(tomllib.loads(text + more)), lambda name: ModelPin(name=name, digest="ab" * 32))


def ball(centre=(4, 12, 12), radius=7.0):
    z, y, x = (axis - middle for axis, middle in zip(np.indices(SHAPE), centre, strict=True))
    return (2 * z) ** 2 + y**2 + x**2 < radius**2


def room(lock, *masks, **images):
    masks = masks or (ball(),)
    drawn = tuple(Region(mask=mask, name=f"roi_{n}", label=n, source="seg") for n, mask in enumerate(masks, 1))
    companions = Companions(regions=drawn, original_names={one.name: one.name for one in drawn})
    return Room(lock, volume=an_image(), companions=companions, images={"pet": a_pet(factor=FACTOR), **images})


class Worked:
    """A case that was worked from the start: each product beside what is wanted."""

    def __init__(self, given):
        self.result = run(given)
        assert self.result.case.status == "done"
        wanted = wanted_products(given.lock, given.lock.recipe.routes[0], content_of(given))
        assert [one.key for one in wanted] == [record.key for record in self.result.products]
        self.products = list(zip(wanted, self.result.products, strict=True))

    def rows(self, extraction, region=BALL, kind="features"):
        return [
            row
            for one, record in self.products
            if one.kind == kind and one.extraction.name == extraction
            for row in record.rows
            if row["region"] == region
        ]

    def row(self, extraction, region=BALL):
        (found,) = self.rows(extraction, region)
        return found


def content_of(given):
    """Return what a case reads, as the case itself works it out."""
    return _Work(
        order=an_order(), room=given, step=Steps(lambda stage, subject: None, "v1"), place=Whole("cpu")
    ).content


def interpolated(pet, shape=SHAPE):
    """Return a PET with twice the step on the grid of the image, by SciPy."""
    places = np.indices(shape) / 2.0
    values = ndi.map_coordinates(pet.astype(np.float64), places, order=1, mode="nearest")
    within = np.all([place <= size - 0.5 for place, size in zip(places, pet.shape, strict=True)], axis=0)
    return np.where(within, values, np.nan)


def assert_statistics(row, values):
    told = {"stat_mean": values.mean(), "stat_max": values.max(), "stat_min": values.min(), "stat_var": values.var()}
    for name, value in told.items():
        assert row["values"][name] == pytest.approx(value, rel=2e-6), name


def test_a_region_of_the_image_has_the_uptake_of_the_pet_that_lies_on_it():
    row = Worked(room(locked())).row("radiomics")
    assert_statistics(row, interpolated(FACTOR * a_pet().data)[ball()])
    assert (row["status"], row["code"]) == ("flagged", "W_ALIGNED")


def test_the_own_voxels_of_the_pet_are_measured_where_the_recipe_wants_them():
    result = Worked(room(locked(features=[ON_PET, ON_OWN_GRID])))
    # every voxel of the PET lies on every second one of the image
    inside = np.zeros(a_pet().data.shape, bool)
    inside[:4, :12, :12] = ball()[::2, ::2, ::2]
    row = result.row("voxels")
    assert_statistics(row, FACTOR * a_pet().data[inside].astype(np.float64))
    assert (row["status"], row["code"]) == ("ok", None)
    # what lies between voxels hides the hottest one
    assert row["values"]["stat_max"] >= result.row("radiomics")["values"]["stat_max"]


def test_a_companion_on_the_grid_of_the_image_is_measured_to_the_last_bit():
    pet = placed(np.random.default_rng(4).integers(0, 999, SHAPE), modality="PT")
    result = Worked(room(locked(features=[ON_PET, ON_OWN_GRID], changes=[('image = [ { op = "suv" } ]', "")]), pet=pet))
    one, other = result.row("radiomics"), result.row("voxels")
    assert one == other
    assert (one["status"], one["code"]) == ("ok", None)
    assert one["values"]["stat_max"] == pet.data[ball()].max()


def test_a_region_is_found_on_the_companion_and_measured_on_both():
    """41 % of the greatest uptake, on the PET as it lies on the image."""
    z, y, x = np.indices(a_pet().data.shape)
    spot = 40_000 * np.exp(-((z - 2) ** 2 + (y - 5) ** 2 + (x - 6) ** 2) / 6.0)
    pet = replace(a_pet(factor=0.0005), data=spot.astype(np.float32))
    result = Worked(room(locked(regions=[HOT]), pet=pet))
    uptake = interpolated(0.0005 * spot)
    threshold = 0.41 * uptake.max()
    labels, _ = ndi.label(uptake >= threshold, np.ones((3, 3, 3)))
    inside = labels == labels[np.unravel_index(uptake.argmax(), SHAPE)]
    ((region,),) = (record.rows for one, record in result.products if one.region_source == 0 and one.kind == "regions")
    assert (region["name"], region["source"], region["n_voxels"]) == ("avid", "hot", inside.sum())
    assert_statistics(result.row("radiomics", "avid"), uptake[inside])
    assert_statistics(result.row("own", "avid"), an_image().data[inside].astype(np.float64))


def test_what_the_companion_does_not_show_is_missing_and_told():
    small = replace(a_pet(), data=a_pet().data[:, :5, :5])
    small = replace(small, geometry=replace(small.geometry, shape=small.data.shape))
    far = np.zeros(SHAPE, bool)
    far[2:5, 15:20, 15:20] = True
    for grid in ("image", "companion"):
        lock = locked(features=[ON_PET.replace('"pet"', f'"pet", grid = "{grid}"')])
        result = Worked(room(lock, ball(), far, pet=small))
        row, gone = result.row("radiomics"), result.row("radiomics", "roi_2")
        assert (row["status"], row["code"]) == ("flagged", "W_BEYOND")
        assert (gone["status"], gone["code"]) == ("empty", "W_BEYOND")
        assert set(gone["values"].values()) == {None}
        if grid == "image":
            uptake = interpolated(FACTOR * small.data)
            assert_statistics(row, uptake[ball() & np.isfinite(uptake)])
        assert result.row("own", "roi_2")["status"] == "ok"


@pytest.mark.parametrize("pet", ["S_NO_COMPANION", a_pet(frame="0" * 32), replace(a_pet(), suv=None)])
def test_a_pair_that_is_refused_has_no_rows_but_a_record_with_its_code(pet):
    given = room(locked(features=[ON_PET, ON_OWN_GRID], regions=[HOT]), pet=pet)
    result = Worked(given)
    (code,) = {record.code for _, record in result.products if record.kind == "registrations"}
    assert code in ("S_NO_COMPANION", "E_FRAME", "E_SUV_UNITS")
    found = [
        (one.extraction.name if one.extraction else one.kind, one.region_source, len(record.rows), record.code)
        for one, record in result.products
        if one.kind in ("regions", "features")
    ]
    # sources: on the PET, on the image, drawn
    assert found == [
        ("regions", 0, 0, code), ("regions", 1, 1, ""), ("regions", 2, 1, ""),
        *[(name, place, 0, code if place else "") for name in ("radiomics", "voxels") for place in range(3)],
        ("own", 0, 0, ""), ("own", 1, 1, ""), ("own", 2, 1, ""),
    ]  # fmt: skip


class Scoring(Room):
    """Gives the scorer of a package."""

    package = None

    def scorer(self, digest):
        return load(self.package)


def trained(lock):
    """Return a model for the uptake of an invented cohort: the mean tells the class."""
    route = lock.recipe.routes[0]
    digests = {entry.name: route.extraction_digest(entry) for entry in route.features}
    assert len(set(digests.values())) == 2
    rows, labels, groups = make_cohort(n_patients=16, per_patient=1)
    low, high = (np.mean([row["values"]["stat_mean"] or 0.0 for row in rows[place::2]]) for place in (0, 1))
    of_pet = {"image": "pet", "region": BALL, "extraction_digest": digests["radiomics"]}
    names = ("stat_mean", "stat_var")
    for row in rows:
        mean = 100.0 + 300.0 * ((row["values"]["stat_mean"] or 0.0) - low) / (high - low)
        row |= {**of_pet, "values": dict(zip(names, (mean, mean + 1.0), strict=True))}
    inputs = (ScoreInput(region=BALL, image="pet", extraction="radiomics", column="*"),)
    return train(rows, labels, groups, spec=make_spec(inputs=inputs, folds=2))


def test_a_model_scores_by_the_uptake_and_says_where_there_is_none():
    lock = locked()
    asking = type("Asking", (Scoring,), {"package": trained(lock)})

    def scored(**images):
        given = room(lock, **images)
        with_model = asking(lock, volume=an_image(), companions=given.companions(None), images=given.images)
        return Worked(with_model).products[-1][1].rows

    told = {row["class"]: row["value"] for row in scored()}
    hotter = {row["class"]: row["value"] for row in scored(pet=a_pet(factor=0.8))}
    assert set(told) == {"benign", "malignant"}
    assert hotter["malignant"] > told["malignant"] > 0.0
    assert [(row["status"], row["value"]) for row in scored(pet="S_NO_COMPANION")] == [("MISSING_FEATURE", None)]


def made_anew(before, given):
    result = run(given, committed=before.products)
    wanted = {one.key: one for one in wanted_products(given.lock, given.lock.recipe.routes[0], content_of(given))}
    named = (wanted[record.key] for record in result.products)
    return Counter(one.extraction.name if one.kind == "features" else one.kind for one in named)


def test_only_what_stands_on_a_companion_is_made_anew_when_it_changes():
    lock = locked(features=[ON_PET], regions=[HOT])
    before = run(room(lock))
    assert made_anew(before, room(lock)) == {}
    # the avid region, its features of both images, and those of the PET of the two others
    anew = {"registrations": 1, "regions": 1, "radiomics": 3, "own": 1, "scores": 1}
    assert made_anew(before, room(lock, pet=a_pet(seed=3))) == anew
    assert made_anew(before, room(lock, pet=a_pet(factor=0.25))) == anew
    taken = locked(regions=[HOT], changes=[('[ { op = "suv" } ]', '[ { op = "suv" }, { op = "median" } ]')])
    assert made_anew(before, room(taken)) == anew
    rigid = locked(regions=[HOT], more='align = { op = "same_frame", unnamed = "take" }\n')
    assert made_anew(before, room(rigid)) == anew


def test_what_is_stored_of_a_pair_changes_no_numbers_and_new_numbers_nothing_else():
    before = run(room(locked(features=[], changes=[('models = ["nodule"]', "")])))
    more = locked(features=[ON_PET, ON_OWN_GRID], regions=[HOT], changes=[('models = ["nodule"]', "")])
    assert made_anew(before, room(more)) == {"regions": 1, "radiomics": 3, "voxels": 3, "own": 1}
    fused = locked(features=[ON_PET, ON_OWN_GRID], regions=[HOT], more="fuse = true\n")
    assert made_anew(run(room(more)), room(fused)) == {"registrations": 1, "scores": 1}


def test_what_the_values_of_a_companion_measure_counts_where_an_extraction_asks():
    asking = locked(
        features=['{ name = "marks", op = "landmarks", image = "pet" }'], changes=[('image = [ { op = "suv" } ]', "")]
    )
    plain = locked(changes=[('image = [ { op = "suv" } ]', "")])
    for lock, differ in ((asking, True), (plain, False)):
        found = {content_of(room(lock, pet=replace(a_pet(), quantity=name))).images for name in ("", "T1")}
        assert len(found) == 1 + differ
        # and the image of the case is asked nothing
        own = {replace(content_of(room(lock)), images=()).volume}
        assert own == {content_of(room(locked())).volume}


def test_a_companion_is_measured_perturbed_as_the_image_is():
    more = '\n[[route.perturb]]\nname = "moved"\ntimes = 2\nsteps = [ { op = "shift" }, { op = "noise" } ]\n'
    lock = locked(features=[ON_PET, ON_OWN_GRID], more=more)
    result = Worked(room(lock))
    for name in ("radiomics", "voxels"):
        found = result.rows(name, kind="perturbed")
        assert [row["number"] for row in found] == [1, 2]
        means = [row["values"]["stat_mean"] for row in [result.row(name), *found]]
        assert len(set(means)) == 3
        assert np.ptp(means) < 0.1 * means[0]
    other = Worked(room(lock, pet=a_pet(seed=3)))
    kept = {one.key for one, _ in result.products} & {one.key for one, _ in other.products}
    assert {one.extraction.name for one, _ in other.products if one.kind == "perturbed" and one.key in kept} == {"own"}


def turned(angle=0.4, shift=(3.0, -2.0, 1.5)):
    matrix = np.eye(4)
    matrix[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    matrix[:3, 3] = shift
    return matrix


def test_a_region_is_carried_to_the_grid_of_a_turned_companion_as_simpleitk_resamples_it():
    own = placed(np.zeros((7, 20, 22)), step=(2.5, 1.7, 1.3), origin=(-4.0, -3.0, -1.0))
    matrix = turned()
    found = carried(Region(mask=ball(), name="a"), an_image(), own, matrix)
    mask = sitk.GetImageFromArray(ball().astype(np.float64))
    mask.SetSpacing((1.0, 1.0, 2.0))
    back = sitk.AffineTransform(3)
    inverse = np.linalg.inv(matrix)
    back.SetMatrix(inverse[:3, :3].reshape(-1).tolist())
    back.SetTranslation(inverse[:3, 3].tolist())
    grid = sitk.Image(22, 20, 7, sitk.sitkFloat64)
    grid.SetSpacing((1.3, 1.7, 2.5))
    grid.SetOrigin((-4.0, -3.0, -1.0))
    share = sitk.GetArrayFromImage(sitk.Resample(mask, grid, back, sitk.sitkLinear, 0.0))
    far = abs(share - 0.5) > 1e-5
    np.testing.assert_array_equal(found.mask[far], (share > 0.5)[far])
    assert 100 < found.bits.n_voxels < found.mask.size / 2
    assert flag_of(own, an_image(), matrix, on_own_grid=False) == "W_ALIGNED"


def test_a_region_at_the_border_of_the_image_ends_where_the_image_does():
    mask = np.zeros(SHAPE, bool)
    mask[:, :, 20:] = True
    wide = placed(np.zeros((8, 24, 60)), step=(2.0, 1.0, 0.5), origin=(0.0, 0.0, 0.0))
    found = carried(Region(mask=mask, name="a"), an_image(), wide, np.eye(4)).mask
    # from half way between 19 and 20 mm to half a voxel beyond 23 mm
    assert found.all(axis=(0, 1)).nonzero()[0].tolist() == list(range(39, 48))
    assert not found.any(axis=(0, 1))[48:].any()
    gone = carried(Region(mask=mask, name="a"), an_image(), wide, turned(0.0, (500.0, 0.0, 0.0)))
    assert (gone.bits.n_voxels, gone.bits.shape) == (0, (8, 24, 60))


def stored(*, order, signs):
    """Return an image whose file has the axes of the patient in another order, or the other way."""
    image = an_image()
    matrix = image.geometry.matrix
    matrix[:3, :3] = (matrix[:3, :3] * signs)[:, order]
    matrix[:3, 3] = [4.0, 7.0, 6.0]
    return replace(image, geometry=replace(image.geometry, affine_lps=tuple(matrix.reshape(-1).tolist())))


@pytest.mark.parametrize(
    ("companion", "matrix", "flag"),
    [
        (an_image(), np.eye(4), ""),
        (an_image(), turned(0.0, (2.0, 1.0, -4.0)), ""),
        (an_image(), turned(0.0, (0.5, 0.0, 0.0)), "W_ALIGNED"),
        (an_image(), turned(1e-3, (0.0, 0.0, 0.0)), "W_ALIGNED"),
        (a_pet(), np.eye(4), "W_ALIGNED"),
        (stored(order=[0, 1, 2], signs=[-1, 1, -1]), np.eye(4), ""),
        (stored(order=[1, 0, 2], signs=[1, 1, 1]), np.eye(4), ""),
        (stored(order=[0, 1, 2], signs=[2, 1, 1]), np.eye(4), "W_ALIGNED"),
        (replace(an_image(), verdict="straightened"), np.eye(4), "W_STRAIGHTENED"),
    ],
)
def test_values_between_voxels_are_told(companion, matrix, flag):
    assert flag_of(companion, an_image(), matrix, on_own_grid=False) == flag


def test_the_own_grid_of_a_tilted_companion_is_told_as_that_of_a_tilted_case_is():
    given = room(locked(features=[ON_OWN_GRID]), pet=replace(a_pet(factor=FACTOR), verdict="tilted"))
    row = Worked(given).row("voxels")
    assert (row["status"], row["code"]) == ("flagged", "W_TILTED")
