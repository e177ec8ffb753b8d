"""Region sources with ops before them and steps after them."""

from __future__ import annotations

import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
import scipy.ndimage as ndi

from medpipe.errors import ConfigError, Rejected
from medpipe.keys import digest
from medpipe.ops.objects import SegmentationObjects
from medpipe.ops.padding import FillPadding
from medpipe.ops.regions import (
    Body,
    Close,
    Composed,
    Dilate,
    DropBelow,
    Erode,
    FillHoles,
    Hot,
    KeepLargest,
    Otsu,
    Uptake,
    composed,
)
from medpipe.ops.registry import make, op_digest, spec_of
from medpipe.ops.resampling import Resample
from medpipe.ops.straighten import Straighten
from medpipe.ops.suv import Suv
from medpipe.types import Companions, Geometry, Region, Volume
from medpipe.values import SuvScales
from tests.ops.test_conformance import STEPS, op_of

NONE = Companions()
SHAPE = (12, 30, 32)
SPACING_MM = (2.0, 1.0, 1.0)
EVERY_STEP = [
    *(op_of("steps", name) for name in STEPS),
    Dilate(radius_mm=4.5),
    Close(radius_mm=4.0),
    FillHoles(of="volume"),
    KeepLargest(count=2),
]


def a_pet(scale=0.001):
    data = np.full(SHAPE, 900.0, np.float32)
    data[3:9, 5:15, 5:15] = 6000.0
    data[9:11, 24:27, 24:27] = 5000.0
    return Volume(
        data=data,
        geometry=Geometry(shape=SHAPE, spacing_mm=SPACING_MM),
        modality="PT",
        unit="BQML",
        suv=SuvScales(by_kind={"bw": (scale,)}),
    )


def smoothing(sigma_mm):
    return make("image", {"op": "gaussian", "sigma_mm": sigma_mm}, "here")


def test_a_source_sees_the_image_after_its_ops_and_gives_regions_of_the_original():
    given = a_pet()
    with pytest.raises(Rejected, match="E_UNIT"):
        Uptake()(given, NONE)
    (found,) = composed(Uptake(above=4.0), after=[Suv()])(given, NONE)
    np.testing.assert_array_equal(found.mask, given.data >= 4000.0)
    assert (found.name, found.source) == ("uptake", "uptake")
    assert given.unit == "BQML"
    # the same concentration is another uptake in a heavier patient
    assert composed(Uptake(above=7.0), after=[Suv()])(given, NONE) == ()
    assert len(composed(Uptake(above=7.0), after=[Suv()])(a_pet(0.0012), NONE)) == 1


def test_steps_are_taken_in_order_and_a_name_is_given():
    source = composed(Uptake(above=4.0), called="lesion", after=[Suv()], then=[KeepLargest(), Erode(radius_mm=1.0)])
    (found,) = source(a_pet(), NONE)
    expected = np.zeros(SHAPE, bool)
    expected[3:9, 6:14, 6:14] = True  # a millimetre is less than a slice
    np.testing.assert_array_equal(found.mask, expected)
    assert (found.name, found.source) == ("lesion", "uptake")


def test_smoothing_first_finds_what_a_threshold_alone_does_not():
    rng = np.random.default_rng(1)
    truth = np.zeros(SHAPE, bool)
    truth[3:9, 8:20, 8:20] = True
    data = (100.0 * truth + rng.normal(0, 40, SHAPE)).astype(np.float32)
    given = Volume(data=data, geometry=Geometry(shape=SHAPE, spacing_mm=SPACING_MM), modality="MR")
    plain = Otsu()(given, NONE)[0].mask
    smoothed = composed(Otsu(), after=[smoothing(1.0)], then=[KeepLargest()])(given, NONE)[0].mask
    assert (plain != truth).sum() > 4 * (smoothed != truth).sum()


@pytest.mark.parametrize("step", EVERY_STEP, ids=lambda step: step.name)
@pytest.mark.parametrize("spacing_mm", [(2.0, 1.0, 1.0), (1.0, 0.7, 3.0)])
def test_a_step_on_a_part_of_the_grid_is_what_it_is_on_the_whole(step, spacing_mm):
    rng = np.random.default_rng(11)
    geometry = Geometry(shape=SHAPE, spacing_mm=spacing_mm)
    given = Volume(data=np.zeros(SHAPE, np.float32), geometry=geometry)
    for _ in range(12):
        ends = [sorted(int(n) for n in rng.choice(size + 1, 2, replace=False)) for size in SHAPE]
        box = tuple(slice(*end) for end in ends)
        mask = np.zeros(SHAPE, bool)
        mask[box] = ndi.gaussian_filter(rng.random(mask[box].shape), 0.8) > 0.47
        drawn = Companions(regions=(Region(mask=mask, name="roi_1"),))
        (found,) = composed(SegmentationObjects(), then=[step])(given, drawn)
        np.testing.assert_array_equal(found.mask, step(mask, geometry))


def test_a_step_is_told_where_the_part_lies():
    seen = []

    class Watching(Erode):
        def __call__(self, mask, geometry):
            seen.append((mask.shape, geometry))
            return mask

    affine = (1.0, 0, 0, -7.0, 0, 1.0, 0, 3.0, 0, 0, 2.0, 40.0, 0, 0, 0, 1.0)
    positions = tuple(2.0 * n + (n > 6) for n in range(12))
    geometry = Geometry(shape=SHAPE, spacing_mm=SPACING_MM, affine_lps=affine, slice_positions_mm=positions)
    given = replace(a_pet(), geometry=geometry)
    composed(Uptake(above=6.0), after=[Suv()], then=[Watching(radius_mm=1.0)])(given, NONE)
    ((shape, part),) = seen
    assert shape == part.shape == (8, 12, 12)
    assert part.affine_lps[3::4][:3] == (-7.0 + 4, 3.0 + 4, 40.0 + 2 * 2)
    assert part.slice_positions_mm == positions[2:10]


def test_a_region_of_which_a_step_leaves_nothing_says_so():
    (found,) = composed(Uptake(), after=[Suv()], then=[DropBelow(ml=100.0)])(a_pet(), NONE)
    assert (found.code, found.bits.n_voxels) == ("EMPTY_ROI", 0)


def test_steps_work_on_drawn_regions_too_and_leave_what_was_not_drawn():
    mask = np.zeros(SHAPE, bool)
    mask[5, 10, 10] = True
    drawn = Companions(
        regions=(Region(mask=mask, name="roi_1"), Region(mask=np.zeros(SHAPE, bool), name="roi_2", code="S_NO_AREA"))
    )
    grown, empty = composed(SegmentationObjects(), then=[Dilate(radius_mm=2.0)])(a_pet(), drawn)
    assert grown.bits.n_voxels == 13 + 2
    assert empty.code == "S_NO_AREA"


def test_without_anything_around_it_a_source_is_itself():
    source = Body()
    assert composed(source) is source


def test_the_spec_holds_what_is_around_and_nothing_that_is_not():
    assert spec_of(composed(Hot(), called="tumour")) == {**spec_of(Hot()), "name": "tumour"}
    source = composed(Hot(fraction=0.5), after=[Suv(kind="lbm")], then=[Dilate(radius_mm=3.0)])
    assert spec_of(source) == {
        **spec_of(Hot(fraction=0.5)),
        "after": [spec_of(Suv(kind="lbm"))],
        "then": [spec_of(Dilate(radius_mm=3.0))],
    }
    assert op_digest(source) == digest(spec_of(source))
    others = [composed(Hot(fraction=0.5), after=[Suv()]), composed(Hot(fraction=0.5)), composed(Hot(), called="a")]
    assert len({op_digest(one) for one in [source, *others]}) == 4


def test_what_it_looks_at_is_what_its_parts_look_at():
    assert composed(Hot(), after=[Suv(kind="lbm")]).suv == Suv(kind="lbm")
    assert composed(Hot(), called="a").suv is None
    assert composed(Hot(), after=[FillPadding()]).uses_padding
    assert composed(Hot(padding="exclude"), called="a").uses_padding
    assert composed(Hot(), after=[make("image", {"op": "real_world"}, "x")]).uses_real_world
    drawn = composed(SegmentationObjects(codes=(("liver", "SCT:10200004"),)), then=[Dilate(radius_mm=1.0)])
    assert drawn.uses_companions
    assert drawn.uses_concepts


@pytest.mark.parametrize(
    ("around", "where"),
    [
        ({"called": "roi_1"}, "name: 'roi_1'"),
        ({"called": "My tumour"}, "name: 'My tumour'"),
        ({"called": "n" * 65}, "name: 'nnn"),
        ({"after": [Suv(), Resample(spacing_mm=(1.0, 1.0, 1.0))]}, "after.1: resample moves"),
        ({"after": [Straighten()]}, "after.0: straighten moves"),
    ],
)
def test_what_cannot_be_is_refused_with_its_place(around, where):
    with pytest.raises(ConfigError, match=f"^{where}"):
        composed(Hot(), **around)


def test_padding_is_known_by_values_as_they_were_read():
    with pytest.raises(ConfigError, match=r"^padding: "):
        composed(Hot(padding="exclude"), after=[Suv()])
    given = replace(a_pet(), padding=(6000.0, 6000.0))
    (found,) = composed(Uptake(), after=[FillPadding(value=0.0)])(replace(given, unit="g/mL"), NONE)
    assert not found.mask[3:9, 5:15, 5:15].any()


def test_drawn_regions_bear_names_of_their_own():
    with pytest.raises(ConfigError, match=r"^name: "):
        composed(SegmentationObjects(), called="gtv")
    with pytest.raises(ConfigError, match=r"^after: "):
        composed(SegmentationObjects(), after=[Suv()])


def test_the_projected_memory_covers_what_the_call_takes():
    source = composed(Otsu(), after=[smoothing(1.0), smoothing(2.0)], then=[KeepLargest(), Dilate(radius_mm=3.0)])
    shape = (64, 128, 128)
    data = np.random.default_rng(1).normal(0, 1, shape).astype(np.float32)
    given = Volume(data=data, geometry=Geometry(shape=shape, spacing_mm=SPACING_MM), modality="MR")
    source(given, NONE)
    tracemalloc.start()
    source(given, NONE)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    stated = source.memory(given.geometry)
    assert peak <= stated + (1 << 20)
    assert stated <= 2 * peak


def test_it_is_a_region_source_like_any_other():
    source = composed(Hot(), called="tumour")
    assert isinstance(source, Composed)
    assert (source.name, source.version, source.uses_companions) == ("tumour", 1, False)
    assert hash(source) == hash(replace(source))
