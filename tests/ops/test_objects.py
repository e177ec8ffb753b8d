from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from medpipe.errors import ConfigError, Rejected
from medpipe.ops.objects import SegmentationObjects
from medpipe.types import Companions, Geometry, Region, Shares, Structure, Volume

SHAPE = (2, 3, 4)
NONE = Companions()


def volume(shape=SHAPE):
    return Volume(data=np.zeros(shape, np.float32), geometry=Geometry(shape=shape), modality="CT")


def drawn(*names, **facts):
    """Return regions of these names; of each fact a value by place."""
    regions, structures = [], {}
    for place, _ in enumerate(names, start=1):
        mask = np.zeros(SHAPE, bool)
        mask.reshape(-1)[place : place + 2] = True
        regions.append(Region(mask=mask, name=f"roi_{place}", label=place, source="rtstruct"))
        given = {fact: values[place - 1] for fact, values in facts.items()}
        structures[f"roi_{place}"] = Structure(**({"number": place} | given))
    originals = {f"roi_{place}": name for place, name in enumerate(names, start=1)}
    return Companions(regions=tuple(regions), original_names=originals, structures=structures)


def names_of(source, companions):
    return [(region.name, region.label) for region in source(volume(), companions)]


def test_the_first_rule_that_fits_renames_a_region():
    source = SegmentationObjects(map=(("gtv", "(?i)^gtv"), ("lesion", "(?i)mass|gtv")))
    found = source(volume(), drawn("GTV_Mass", "Left mass", "Spinal cord"))
    assert [(r.name, r.label, r.source) for r in found] == [
        ("gtv", 1, "rtstruct"),
        ("lesion", 2, "rtstruct"),
        ("roi_3", 3, "rtstruct"),
    ]
    assert SegmentationObjects()(volume(), drawn("a"))[0].name == "roi_1"
    assert SegmentationObjects()(volume(), NONE) == ()


def test_codes_and_numbers_name_what_no_name_does():
    companions = drawn("GTV", "x", "x", "x", codes=[("SCT:1",), ("SCT:2", "SRT:T-1"), (), ()])
    source = SegmentationObjects(
        map=(("gtv", "GTV"),), codes=(("other", "SCT:1"), ("liver", "SRT:T-1")), numbers=(("third", "3"), ("no", "2"))
    )
    assert names_of(source, companions) == [("gtv", 1), ("liver", 2), ("third", 3), ("roi_4", 4)]
    assert source.uses_concepts
    assert not SegmentationObjects(map=(("gtv", "GTV"),)).uses_concepts


def test_unmapped_names_leave_no_trace_and_change_no_number():
    one, other = drawn("zebra", "apple"), drawn("apple", "zebra")
    assert names_of(SegmentationObjects(), one) == names_of(SegmentationObjects(), other)


def test_regions_of_one_label_stay_apart_unless_they_are_to_be_joined():
    companions = drawn("gtv 1", "cord", "gtv 2")
    rules = (("gtv", "gtv"),)
    apart = SegmentationObjects(map=rules)(volume(), companions)
    assert [(r.name, r.label) for r in apart] == [("gtv", 1), ("roi_2", 2), ("gtv", 3)]
    joined = SegmentationObjects(map=rules, same_label="joined")(volume(), companions)
    assert [(r.name, r.label) for r in joined] == [("gtv", 1), ("roi_2", 2)]
    assert np.array_equal(joined[0].mask, apart[0].mask | apart[2].mask)


def test_what_says_why_it_is_empty_is_joined_with_nothing():
    companions = drawn("gtv 1", "gtv 2", "gtv 3")
    empty = replace(Region(mask=np.zeros(SHAPE, bool), name="roi_2", label=2), code="W_OUTSIDE")
    companions = replace(companions, regions=(companions.regions[0], empty, companions.regions[2]))
    found = SegmentationObjects(map=(("gtv", "gtv"),), same_label="joined")(volume(), companions)
    assert [(r.name, r.label, r.code) for r in found] == [("gtv", 1, ""), ("gtv", 2, "W_OUTSIDE")]


def test_what_lies_on_another_grid_is_taken_where_it_is_asked_for():
    companions = drawn("a", "b", resampled=[False, True])
    (own, other) = SegmentationObjects()(volume(), companions)
    assert (own.code, other.code, other.bits.n_voxels) == ("", "E_GRID", 0)
    asked = SegmentationObjects(resample=True)(volume(), companions)
    assert [region.bits for region in asked] == [region.bits for region in companions.regions]


@pytest.mark.parametrize(("threshold", "expected"), [(0.5, [0, 0, 1, 1]), (0.2, [0, 1, 1, 1]), (1.0, [0, 0, 0, 1])])
def test_the_recipe_says_from_which_share_a_voxel_is_inside(threshold, expected):
    shares = Shares(values=np.array([[[0, 50, 125, 250]]], np.uint8), start=(1, 2, 0), maximum=250)
    half = Region(bits=shares.at_least(0.5, SHAPE), name="roi_1", threshold=0.5)
    companions = Companions(
        regions=(half,), original_names={"roi_1": "x"}, structures={"roi_1": Structure(number=1, shares=shares)}
    )
    (found,) = SegmentationObjects(threshold=threshold)(volume(), companions)
    assert found.threshold == threshold
    assert found.mask[1, 2].tolist() == [bool(one) for one in expected]
    assert found.bits.n_voxels == sum(expected)


def test_the_newest_objects_alone_count_where_the_recipe_says_so():
    companions = drawn("a", "b", is_newest=[False, True])
    assert names_of(SegmentationObjects(), companions) == [("roi_1", 1), ("roi_2", 2)]
    newest = SegmentationObjects(objects="newest")
    assert names_of(newest, companions) == [("roi_2", 2)]
    assert newest.uses_concepts


def test_a_region_off_the_grid_is_rejected():
    with pytest.raises(Rejected, match="E_GRID"):
        SegmentationObjects()(volume((2, 3, 5)), drawn("a"))


def test_a_rule_that_takes_too_long_on_a_name_is_a_reason():
    slow = SegmentationObjects(map=(("gtv", r"(?=(?=(?=.*x).*x).*x)q"),))
    with pytest.raises(Rejected, match="E_NAME_RULE"):
        slow(volume(), drawn("x" * 256))


@pytest.mark.parametrize("rule", [("GTV", "x"), ("", "x"), ("gtv", "("), ("roi_1", "x"), ("gtv", r"(x)\1")])
def test_labels_and_patterns_are_checked_at_once(rule):
    with pytest.raises(ConfigError, match="map"):
        SegmentationObjects(map=(rule,))


@pytest.mark.parametrize(
    "given",
    [
        {"codes": (("a", "27925004"),)},
        {"codes": (("a b", "SCT:1"),)},
        {"numbers": (("a", "0"),)},
        {"numbers": (("a", "x"),)},
    ],
)
def test_codes_and_numbers_are_checked_at_once(given):
    with pytest.raises(ConfigError, match=next(iter(given))):
        SegmentationObjects(**given)
