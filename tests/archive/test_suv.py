"""The factors from a PET's values to uptake, against formulas written out here and published values."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from medpipe.archive.assemble import assemble
from medpipe.archive.header import Header, read_header
from medpipe.archive.instants import Instant
from medpipe.archive.stacks import Stack
from medpipe.archive.suv import suv_scales
from medpipe.reasons import REASONS
from tests.archive.conftest import Archive, to_bytes
from tests.archive.pets import (
    CORRECTED,
    DOSE_BQ,
    FRAME_S,
    GE,
    GIVEN,
    HALF_LIFE_S,
    PHILIPS,
    SCAN,
    SIEMENS,
    WEIGHT_KG,
    clock,
    date,
    enhanced,
    injection,
    mean_activity,
    mean_s,
    pet,
    private,
    shifted,
    stack_of,
    suv_of,
)

KINDS = ("bw", "lbm", "lbmjames128", "lbmjanma", "ibw", "bsa")
LATER = SCAN + timedelta(minutes=47)
NOT_START = [word for word in CORRECTED if word != "DECY"]
PLAIN = WEIGHT_KG * 1000 / (DOSE_BQ * 0.5 ** (3600 / HALF_LIFE_S))
"""g/mL for 1 Bq/mL: grams over what is left of the dose after the hour between injection and scan."""

AT_INJECTION = WEIGHT_KG * 1000 / DOSE_BQ


@pytest.fixture(scope="module")
def sound():
    """Return the stack and the header of a PET of one slice."""
    stack, archive = stack_of(pet(1))
    return stack, archive.headers["0"]


def bw_of(slices):
    found = suv_of(slices).by_kind["bw"]
    assert isinstance(found, tuple), found
    return found


def code_of(slices, kind="bw"):
    found = suv_of(slices).by_kind[kind]
    assert isinstance(found, str), found
    assert REASONS[found].severity == "error"
    return found


def approx(*expected):
    return pytest.approx(expected, rel=1e-6)


# to which time decay is corrected ------------------------------------------------------------------


def test_activity_at_the_start_of_the_series():
    found = suv_of(pet())
    assert found.by_kind["bw"] == approx(PLAIN)
    assert found.flags == ()


def test_activity_at_the_injection_needs_no_times():
    slices = pet(
        DecayCorrection="ADMIN",
        SeriesTime=None,
        AcquisitionTime=None,
        RadiopharmaceuticalInformationSequence=injection(
            RadiopharmaceuticalStartTime=None, RadiopharmaceuticalStartDateTime=None, RadionuclideHalfLife=None
        ),
    )
    assert bw_of(slices) == approx(AT_INJECTION)


def test_activity_that_is_not_corrected_for_decay_has_a_factor_for_each_plane():
    begins = [SCAN, SCAN, SCAN + timedelta(seconds=300)]
    found = suv_of(pet(begins=begins, DecayCorrection="NONE", CorrectedImage=NOT_START))
    waits_s = [(began - GIVEN).total_seconds() for began in begins]
    assert found.by_kind["bw"] == approx(*(WEIGHT_KG * 1000 / (DOSE_BQ * mean_activity(wait)) for wait in waits_s))
    assert found.flags == ()


def test_a_frame_that_is_not_corrected_needs_its_duration():
    bare = {"DecayCorrection": "NONE", "CorrectedImage": NOT_START}
    assert code_of(pet(**bare, ActualFrameDuration=None)) == "E_SUV_BAD_TIMES"
    assert code_of(pet(**bare, AcquisitionTime=None)) == "E_SUV_BAD_TIMES"


def test_beds_one_after_the_other_share_the_start_of_the_series():
    begins = [SCAN + timedelta(seconds=180 * place) for place in range(5)]
    found = suv_of(pet(5, begins=begins))
    assert found.by_kind["bw"] == approx(PLAIN)
    assert found.flags == ()


def test_a_series_time_after_the_acquisition_is_that_of_a_later_reconstruction():
    begins = [SCAN + timedelta(seconds=180 * place) for place in range(3)]
    found = suv_of(pet(begins=begins, SeriesTime=clock(LATER)))
    assert found.by_kind["bw"] == approx(PLAIN)
    assert found.flags == ()


@pytest.mark.parametrize(("creator", "group", "offset"), [(GE, 0x0009, "x0D"), (SIEMENS, 0x0071, "x22")])
@pytest.mark.parametrize("block_in_use", [False, True])
def test_the_instant_of_the_vendor_stands_above_the_one_computed(creator, group, offset, block_in_use):
    # frame reference times that were not brought up to date, twenty minutes off
    slices = pet(SeriesTime=clock(LATER), FrameReferenceTime=1000 * (mean_s() + 1200))
    private(slices, creator, group, block_in_use=block_in_use, **{offset: ("DT", date(SCAN) + clock(SCAN))})
    found = suv_of(slices)
    assert found.by_kind["bw"] == approx(PLAIN)
    assert found.flags == ("W_SUV_TIMES",)


def test_a_private_element_of_another_creator_is_nothing():
    slices = private(pet(), "SOMEBODY ELSE", 0x0009, x0D=("DT", date(SCAN) + "103000.00"))
    assert suv_of(slices) == suv_of(pet())


def test_the_first_acquisition_is_the_last_resort_and_is_told():
    found = suv_of(pet(SeriesTime=clock(LATER), FrameReferenceTime=None))
    assert found.by_kind["bw"] == approx(PLAIN)
    assert found.flags == ("W_SUV_START",)


def test_a_frame_reference_time_that_disagrees_is_told():
    by_a_minute_more = suv_of(pet(FrameReferenceTime=1000 * (mean_s() + 61)))
    by_less = suv_of(pet(FrameReferenceTime=1000 * (mean_s() + 59)))
    assert by_a_minute_more.by_kind["bw"] == by_less.by_kind["bw"] == approx(PLAIN)
    assert (by_a_minute_more.flags, by_less.flags) == (("W_SUV_TIMES",), ())


def test_the_first_acquisition_is_that_of_the_series_and_not_of_the_stack():
    # another stack of the series, of another matrix, was acquired first, and before what the series' time says
    said = {"SeriesTime": clock(SCAN - timedelta(minutes=5)), "FrameReferenceTime": 1000 * (600 + mean_s())}
    early = pet(1, begins=[SCAN - timedelta(minutes=10)], **said)
    early[0].Rows, early[0].Columns, early[0].SOPInstanceUID = 8, 6, "1.2.3"
    slices = pet(**said)
    archive = Archive({str(place): to_bytes(one) for place, one in enumerate([*slices, *early])})
    large = next(stack for stack in archive.assembly.stacks if stack.shape[0] == 3)
    alone = suv_of(slices)
    assert alone.by_kind["bw"] == approx(AT_INJECTION / 0.5 ** (3300 / HALF_LIFE_S))
    assert alone.flags == ("W_SUV_TIMES",)
    assert large.suv.by_kind["bw"] == approx(AT_INJECTION / 0.5 ** (3000 / HALF_LIFE_S))
    assert large.suv.flags == ()


@pytest.mark.parametrize(
    ("said", "corrected", "code"), [("START", NOT_START, ""), ("NONE", CORRECTED, ""), ("", CORRECTED, "E_SUV_DECAY")]
)
def test_what_is_corrected_is_what_decay_correction_says(said, corrected, code):
    found = suv_of(pet(DecayCorrection=said, CorrectedImage=corrected))
    if code:
        assert found.by_kind["bw"] == code
    else:
        assert isinstance(found.by_kind["bw"], tuple)
        assert found.flags == ("W_SUV_DECAY",)


# when the activity was given -----------------------------------------------------------------------


def test_the_time_of_day_is_enough_and_may_be_before_midnight():
    alone = {"RadiopharmaceuticalStartDateTime": None}
    assert bw_of(pet(RadiopharmaceuticalInformationSequence=injection(**alone))) == approx(PLAIN)
    night = timedelta(hours=13, minutes=30)  # injected at 23:30, scanned at 00:30
    slices = shifted(pet(), night)
    for one in slices:
        del one.RadiopharmaceuticalInformationSequence[0].RadiopharmaceuticalStartDateTime
    found = suv_of(slices)
    assert found.by_kind["bw"] == approx(PLAIN)
    assert found.flags == ()


def test_a_series_over_midnight_counts_its_dates():
    begins = [SCAN + timedelta(seconds=240 * place) for place in range(4)]
    slices = shifted(pet(4, begins=begins), timedelta(hours=12, minutes=56))
    assert {one.AcquisitionDate for one in slices} == {"20250101", "20250102"}
    found = suv_of(slices)
    assert found.by_kind["bw"] == approx(PLAIN)
    assert found.flags == ()


@pytest.mark.parametrize("days", [-400, -2, -1, 1, 30, 36525])
@pytest.mark.parametrize("midnight", [False, True])
def test_dates_shifted_apart_are_set_by_the_time_of_day_and_told(days, midnight):
    slices = shifted(pet(), timedelta(hours=13, minutes=30) if midnight else timedelta())
    for one in slices:
        (item,) = one.RadiopharmaceuticalInformationSequence
        day = datetime.strptime(item.RadiopharmaceuticalStartDateTime[:8], "%Y%m%d").replace(tzinfo=UTC) + timedelta(
            days=days
        )
        item.RadiopharmaceuticalStartDateTime = date(day) + item.RadiopharmaceuticalStartDateTime[8:]
    found = suv_of(slices)
    if midnight and days == 1:
        # the day of the scan, at an hour that has not come yet
        assert found.by_kind["bw"] == "E_SUV_BAD_TIMES"
        return
    assert found.by_kind["bw"] == approx(PLAIN)
    assert found.flags == ("W_SUV_DATES",)


def test_without_dates_the_times_of_day_count():
    found = suv_of(pet(SeriesDate=None, AcquisitionDate=None))
    assert found.by_kind["bw"] == approx(PLAIN)
    assert found.flags == ("W_SUV_DATES",)
    begins = [SCAN + timedelta(seconds=240 * place) for place in range(4)]
    slices = shifted(pet(4, begins=begins), timedelta(hours=12, minutes=56))
    for one in slices:
        del one.AcquisitionDate
    assert code_of(slices) == "E_SUV_BAD_TIMES"


def test_the_injection_of_the_vendor_is_taken_where_there_is_no_other():
    nothing = injection(RadiopharmaceuticalStartTime=None, RadiopharmaceuticalStartDateTime=None)
    slices = pet(RadiopharmaceuticalInformationSequence=nothing)
    assert code_of(slices) == "E_SUV_BAD_TIMES"
    private(slices, GE, 0x0009, x3B=("DT", date(GIVEN) + clock(GIVEN)))
    assert bw_of(slices) == approx(PLAIN)


@pytest.mark.parametrize("wait_h", [-1.0, -0.01, 6.5, 20.0])
def test_a_scan_before_the_injection_or_long_after_it_is_impossible(wait_h):
    given = SCAN - timedelta(hours=wait_h)
    said = injection(
        RadiopharmaceuticalStartTime=clock(given), RadiopharmaceuticalStartDateTime=date(given) + clock(given)
    )
    assert code_of(pet(RadiopharmaceuticalInformationSequence=said)) == "E_SUV_BAD_TIMES"


def zirconium(given):
    return injection(
        nuclide="C-168A4",
        RadionuclideHalfLife=282240.0,
        RadiopharmaceuticalStartTime=clock(given),
        RadiopharmaceuticalStartDateTime=date(given) + clock(given),
    )


def test_an_uptake_over_days_counts_all_its_seconds():
    given = SCAN - timedelta(days=5, hours=3)
    waited_s = 5 * 86400 + 3 * 3600
    times = {"FrameReferenceTime": None}
    found = suv_of(pet(**times, RadiopharmaceuticalInformationSequence=zirconium(given)))
    assert found.by_kind["bw"] == approx(WEIGHT_KG * 1000 / (DOSE_BQ * 0.5 ** (waited_s / 282240.0)))
    assert found.flags == ()


def test_days_of_uptake_cannot_be_told_from_the_time_of_day():
    given = SCAN - timedelta(days=5, hours=3)
    for said in ({"RadiopharmaceuticalStartDateTime": None}, {"RadiopharmaceuticalStartDateTime": "19000101080000"}):
        sequence = zirconium(given)
        for keyword, value in said.items():
            setattr(sequence[0], keyword, value)
        assert code_of(pet(RadiopharmaceuticalInformationSequence=sequence)) == "E_SUV_BAD_TIMES"


def test_an_offset_from_utc_counts_where_both_say_theirs():
    east = injection(RadiopharmaceuticalStartDateTime="20250101090000.00+0000")
    assert bw_of(pet(RadiopharmaceuticalInformationSequence=east, TimezoneOffsetFromUTC="+0100")) == approx(PLAIN)
    same = injection(RadiopharmaceuticalStartDateTime="20250101100000.00+0100")
    assert bw_of(pet(RadiopharmaceuticalInformationSequence=same)) == approx(PLAIN)


# the tracer ----------------------------------------------------------------------------------------


def test_the_half_life_is_the_headers_and_else_the_nuclides():
    stated = pet(RadiopharmaceuticalInformationSequence=injection(RadionuclideHalfLife=6588.0), FrameReferenceTime=None)
    assert bw_of(stated) == approx(WEIGHT_KG * 1000 / (DOSE_BQ * 0.5 ** (3600 / 6588.0)))
    found = suv_of(pet(RadiopharmaceuticalInformationSequence=injection(RadionuclideHalfLife=None)))
    assert found.by_kind["bw"] == approx(PLAIN)
    assert found.flags == ("W_SUV_HALF_LIFE",)


@pytest.mark.parametrize(
    ("nuclide", "half_life_s"),
    [("C-131A3", 4057.7), ("35337001", 4057.7), ("C-127A2", 45721.0), ("C-114A5", 360806.0), ("77004003", 6586.2)],
)
def test_nuclides_are_known_by_their_codes(nuclide, half_life_s):
    said = injection(nuclide=nuclide, RadionuclideHalfLife=None)
    found = bw_of(pet(RadiopharmaceuticalInformationSequence=said, FrameReferenceTime=None))
    assert found == approx(WEIGHT_KG * 1000 / (DOSE_BQ * 0.5 ** (3600 / half_life_s)))


@pytest.mark.parametrize("meaning", ["^68^Gallium", "68Ga", "Ga-68", "Gallium-68"])
def test_nuclides_are_known_by_their_names(meaning):
    said = injection(nuclide="unknown", RadionuclideHalfLife=None)
    said[0].RadionuclideCodeSequence[0].CodeMeaning = meaning
    found = bw_of(pet(RadiopharmaceuticalInformationSequence=said, FrameReferenceTime=None))
    assert found == approx(WEIGHT_KG * 1000 / (DOSE_BQ * 0.5 ** (3600 / 4057.7)))


@pytest.mark.parametrize(
    "said", [{"RadionuclideHalfLife": None, "nuclide": None}, {"RadionuclideHalfLife": 109.77}, {"nuclide": "C-131A3"}]
)
def test_a_half_life_that_is_none_or_another_nuclides_is_refused(said):
    assert code_of(pet(RadiopharmaceuticalInformationSequence=injection(**said))) == "E_SUV_HALF_LIFE"


@pytest.mark.parametrize("dose", [None, 0.0, -370e6])
def test_an_activity_that_is_missing_or_not_above_zero_is_refused(dose):
    said = injection(RadionuclideTotalDose=dose)
    assert code_of(pet(RadiopharmaceuticalInformationSequence=said)) == "E_SUV_NO_DOSE"


def test_two_injections_are_not_added_and_not_chosen_from():
    both = Sequence([*injection(), *injection()])
    assert code_of(pet(RadiopharmaceuticalInformationSequence=both)) == "E_SUV_NO_DOSE"
    assert code_of(pet(RadiopharmaceuticalInformationSequence=None)) == "E_SUV_NO_DOSE"


# the patient ---------------------------------------------------------------------------------------


def by_hand(kind, sex, weight_kg, height_m):
    """Return what 1 Bq/mL is normalised to: g, or cm2 for the surface."""
    cm, bmi = height_m * 100, weight_kg / height_m**2
    man = {
        "lbm": 1.10 * weight_kg - 120 * (weight_kg / cm) ** 2,
        "lbmjames128": 1.10 * weight_kg - 128 * (weight_kg / cm) ** 2,
        "lbmjanma": 9270 * weight_kg / (6680 + 216 * bmi),
        "ibw": 48.0 + 1.06 * (cm - 152),
    }
    woman = {
        "lbm": 1.07 * weight_kg - 148 * (weight_kg / cm) ** 2,
        "lbmjames128": 1.07 * weight_kg - 148 * (weight_kg / cm) ** 2,
        "lbmjanma": 9270 * weight_kg / (8780 + 244 * bmi),
        "ibw": 45.5 + 0.91 * (cm - 152),
    }
    if kind == "bw":
        return 1000 * weight_kg
    if kind == "bsa":
        return 10_000 * 0.007184 * weight_kg**0.425 * cm**0.725
    both = {"M": [man], "F": [woman], "O": [man, woman]}[sex]
    return 1000 * sum(one[kind] for one in both) / len(both)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("sex", ["M", "F", "O"])
def test_every_kind_from_activity_and_back_from_every_unit(kind, sex):
    weight_kg, height_m = 83.5, 1.68
    who = {"PatientSex": sex, "PatientWeight": weight_kg, "PatientSize": height_m}
    left_bq = DOSE_BQ * 0.5 ** (3600 / HALF_LIFE_S)
    found = suv_of(pet(**who))
    assert found.by_kind[kind] == approx(by_hand(kind, sex, weight_kg, height_m) / left_bq)
    assert found.flags == (("W_SUV_SEX",) if sex == "O" else ())
    # an image that holds this kind already
    units = {"Units": "CM2ML"} if kind == "bsa" else {"Units": "GML", "SUVType": kind.upper()}
    held = suv_of(pet(**who, **units)).by_kind
    assert held[kind] == (1.0,)
    for other in KINDS:
        ratio = by_hand(other, sex, weight_kg, height_m) / by_hand(kind, sex, weight_kg, height_m)
        assert held[other] == approx(ratio)


def test_an_uptake_is_taken_as_it_is_whatever_dose_and_times_say():
    nothing = {"RadiopharmaceuticalInformationSequence": None, "SeriesTime": None, "AcquisitionTime": None}
    for said in ({"SUVType": "BW"}, {}):
        assert bw_of(pet(Units="GML", PatientWeight=None, **nothing, **said)) == (1.0,)
    lean = suv_of(pet(Units="GML", SUVType="LBM", PatientWeight=None, **nothing)).by_kind
    assert (lean["lbm"], lean["bw"]) == ((1.0,), "E_SUV_NO_WEIGHT")


@pytest.mark.parametrize(
    ("said", "code"),
    [
        ({"PatientSex": None}, "E_SUV_NO_SEX"),
        ({"PatientSex": "X"}, "E_SUV_NO_SEX"),
        ({"PatientSize": None}, "E_SUV_NO_HEIGHT"),
        ({"PatientSize": 0.0}, "E_SUV_NO_HEIGHT"),
    ],
)
def test_an_uptake_by_ideal_weight_passes_to_no_other_kind_without_what_made_it(said, code):
    found = suv_of(pet(Units="GML", SUVType="IBW", **said)).by_kind
    assert found["ibw"] == (1.0,)
    assert (found["bw"], found["lbm"]) == (code, code)


@pytest.mark.parametrize("weight", [None, 0.0, -70.0])
def test_without_a_weight_only_the_ideal_one_is_left(weight):
    found = suv_of(pet(PatientWeight=weight)).by_kind
    assert {found[kind] for kind in KINDS if kind != "ibw"} == {"E_SUV_NO_WEIGHT"}
    assert isinstance(found["ibw"], tuple)


@pytest.mark.parametrize("height", [None, 0.0])
def test_without_a_height_only_the_weight_is_left(height):
    found = suv_of(pet(PatientSize=height))
    assert found.by_kind["bw"] == approx(PLAIN)
    assert {found.by_kind[kind] for kind in KINDS[1:]} == {"E_SUV_NO_HEIGHT"}
    assert suv_of(pet(PatientSize=height, PatientSex="O")).flags == ()


@pytest.mark.parametrize("sex", [None, "X"])
def test_without_a_sex_weight_and_surface_are_left(sex):
    found = suv_of(pet(PatientSex=sex)).by_kind
    assert {found[kind] for kind in ("lbm", "lbmjames128", "lbmjanma", "ibw")} == {"E_SUV_NO_SEX"}
    assert isinstance(found["bsa"], tuple)


def test_a_body_beyond_the_formula_has_no_lean_mass():
    # the parabola of James falls below zero; Janmahasatian's does not
    found = suv_of(pet(PatientWeight=260.0, PatientSize=1.5)).by_kind
    assert (found["lbm"], isinstance(found["lbmjanma"], tuple)) == ("E_SUV_NO_HEIGHT", True)
    assert suv_of(pet(PatientSize=0.6)).by_kind["ibw"] == "E_SUV_NO_HEIGHT"


# units ---------------------------------------------------------------------------------------------


def test_counts_of_philips_by_the_factor_to_uptake():
    slices = pet(Units="CNTS", RadiopharmaceuticalInformationSequence=None)
    for place, one in enumerate(slices):
        private([one], PHILIPS, 0x7053, x00=("DS", 0.001 * (place + 1)), x09=("DS", 9.9))
    assert bw_of(slices) == approx(0.001, 0.002, 0.003)


@pytest.mark.parametrize("factor", [None, 0.0])
def test_counts_of_philips_by_the_factor_to_activity(factor):
    elements = {"x09": ("DS", 1.25)} if factor is None else {"x00": ("DS", factor), "x09": ("DS", 1.25)}
    slices = private(pet(Units="CNTS"), PHILIPS, 0x7053, **elements)
    assert bw_of(slices) == approx(1.25 * PLAIN)


def test_counts_not_corrected_for_decay_take_both_factors():
    begins = [SCAN, SCAN + timedelta(seconds=300), SCAN + timedelta(seconds=600)]
    slices = pet(begins=begins, Units="CNTS", DecayCorrection="NONE", CorrectedImage=NOT_START)
    for place, one in enumerate(slices):
        private([one], PHILIPS, 0x7053, x09=("DS", 1.0 + place))
    waits_s = [(began - GIVEN).total_seconds() for began in begins]
    expected = [(1 + k) * WEIGHT_KG * 1000 / (DOSE_BQ * mean_activity(wait)) for k, wait in enumerate(waits_s)]
    assert bw_of(slices) == approx(*expected)


@pytest.mark.parametrize(
    "said",
    [
        {"Units": "CNTS"},
        {"Units": "PROPCNTS"},
        {"Units": "PROPCPS"},
        {"Units": "1CM"},
        {"Units": "CPS"},
        {"Units": None},
        {"Units": "GML", "SUVType": "BSA"},
        {"Units": "GML", "SUVType": "OTHER"},
        {"Units": "CM2ML", "SUVType": "BW"},
    ],
)
def test_a_unit_that_no_factor_is_known_for_is_refused(said):
    assert code_of(pet(**said)) == "E_SUV_UNITS"


def test_counts_that_only_some_slices_have_factors_for_are_refused():
    slices = pet(Units="CNTS")
    private(slices[:2], PHILIPS, 0x7053, x00=("DS", 0.001))
    assert code_of(slices) == "E_SUV_UNITS"


# what is no activity concentration -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "code"),
    [
        ({"CorrectedImage": ["NORM", "DECY"]}, "E_SUV_NOT_ATTN_CORRECTED"),
        ({"CorrectedImage": None}, "E_SUV_NOT_ATTN_CORRECTED"),
        ({"CorrectedImage": ["NORM"], "Units": "GML"}, "E_SUV_NOT_ATTN_CORRECTED"),
        ({"RescaleIntercept": -3.0}, "E_SUV_INTERCEPT"),
        ({"RescaleSlope": None, "RescaleIntercept": None}, "E_SUV_INTERCEPT"),
        ({"SeriesType": ["WHOLE BODY", "REPROJECTION"]}, "E_SUV_PROJECTION"),
        ({"ImageType": ["DERIVED", "SECONDARY", "MIP"]}, "E_SUV_PROJECTION"),
    ],
)
def test_what_cannot_be_an_uptake_is_refused_for_every_kind(said, code):
    assert set(suv_of(pet(**said)).by_kind.values()) == {code}


@pytest.mark.parametrize(
    "said",
    [
        {"PatientWeight": 71.0},
        {"PatientSex": "F"},
        {"DecayCorrection": "ADMIN"},
        {"CorrectedImage": ["ATTN"]},
        {"RadiopharmaceuticalInformationSequence": injection(RadionuclideTotalDose=371e6)},
    ],
)
def test_slices_that_disagree_are_refused(said):
    slices = pet()
    for keyword, value in said.items():
        setattr(slices[1], keyword, value)
    assert code_of(slices) == "E_SUV_MIXED"


def test_a_multi_frame_pet_is_refused():
    frames = np.zeros((4, 6, 8), np.uint16)
    (one,) = pet(1, Rows=6, Columns=8, NumberOfFrames=4, PixelData=frames.tobytes())
    assert code_of([one]) == "E_SUV_MULTIFRAME"


def test_only_pet_has_factors(stack_of, archive_of):
    (stack,) = archive_of(stack_of(3)).assembly.stacks
    assert stack.suv is None


# multi-frame images --------------------------------------------------------------------------------


def test_an_enhanced_pet_says_to_which_instant_it_is_corrected():
    found = suv_of([enhanced()])
    assert found.by_kind["bw"] == approx(PLAIN)
    assert found.flags == ()
    later = SCAN + timedelta(minutes=20)
    moved = suv_of([enhanced(DecayCorrectionDateTime=date(later) + clock(later))])
    assert moved.by_kind["bw"] == approx(AT_INJECTION / 0.5 ** (4800 / HALF_LIFE_S))


def test_an_enhanced_pet_has_its_unit_by_the_slope_of_its_map():
    # values of the array are stored numbers times the rescale slope; the map is of stored numbers
    found = bw_of([enhanced(slopes=[(1.0, 2.0), (0.5, 2.0), (0.25, 2.0)])])
    assert found == approx(2 * PLAIN, 4 * PLAIN, 8 * PLAIN)
    assert bw_of([enhanced(unit="g/ml{SUVbw}", slopes=[(1.0, 0.01)] * 3)]) == approx(0.01)
    lean = suv_of([enhanced(unit="g/ml{SUVlbm(Janma)}")]).by_kind
    assert lean["lbmjanma"] == (1.0,)
    assert lean["bw"] == approx(WEIGHT_KG * 1000 / by_hand("lbmjanma", "M", WEIGHT_KG, 1.75))


def test_frames_of_an_enhanced_pet_that_is_not_corrected_for_decay():
    begins = [SCAN + timedelta(seconds=300 * place) for place in range(3)]
    frames = [
        {"FrameAcquisitionDateTime": date(one) + clock(one), "FrameAcquisitionDuration": 1000 * FRAME_S}
        for one in begins
    ]
    bare = {"DecayCorrected": "NO", "DecayCorrectionDateTime": None}
    waits_s = [(one - GIVEN).total_seconds() for one in begins]
    found = bw_of([enhanced(frames=frames, **bare)])
    assert found == approx(*(WEIGHT_KG * 1000 / (DOSE_BQ * mean_activity(wait)) for wait in waits_s))
    means = [one + timedelta(seconds=mean_s()) for one in begins]
    frames = [{"FrameReferenceDateTime": date(one) + clock(one)} for one in means]
    assert bw_of([enhanced(frames=frames, **bare)]) == pytest.approx(found, rel=1e-6)


@pytest.mark.parametrize(
    ("said", "code"),
    [
        ({"unit": "{counts}"}, "E_SUV_UNITS"),
        ({"groups": {"RealWorldValueMappingSequence": None}}, "E_SUV_UNITS"),
        ({"slopes": [(1.0, 1.0), (1.0, -1.0), (1.0, 1.0)]}, "E_SUV_MIXED"),
        ({"AttenuationCorrected": "NO"}, "E_SUV_NOT_ATTN_CORRECTED"),
        ({"DecayCorrectionDateTime": None}, "E_SUV_DECAY"),
        ({"DecayCorrected": None}, "E_SUV_DECAY"),
        ({"frames": [{}] * 3}, "E_SUV_BAD_TIMES"),
        ({"groups": {"PixelValueTransformationSequence": None}}, "E_SUV_INTERCEPT"),
    ],
)
def test_what_an_enhanced_pet_does_not_say_is_not_guessed(said, code):
    assert code_of([enhanced(**said)]) == code


def test_an_enhanced_pet_survives_its_way_through_json():
    _, archive = stack_of([enhanced()])
    (header,) = archive.headers.values()
    assert len(header.pet.frames) == 3
    assert Header.from_line(header.to_line()) == header


# what must hold whatever the numbers ---------------------------------------------------------------


@settings(max_examples=25, deadline=None)
@given(hours=st.integers(-30, 30), days=st.integers(-9000, 9000))
def test_moving_all_clocks_changes_nothing(hours, days):
    slices = shifted(pet(2), timedelta(days=days, hours=hours))
    assert suv_of(slices) == suv_of(pet(2))


@settings(max_examples=25, deadline=None)
@given(weight_kg=st.floats(2, 400), factor=st.floats(1.1, 2.4))
def test_the_factor_grows_with_the_weight(weight_kg, factor):
    once, more = (
        bw_of(pet(1, PatientWeight=round(weight_kg, 3))),
        bw_of(pet(1, PatientWeight=round(weight_kg * factor, 3))),
    )
    assert more[0] / once[0] == pytest.approx(round(weight_kg * factor, 3) / round(weight_kg, 3), rel=1e-9)


@settings(max_examples=25, deadline=None)
@given(mbq=st.integers(1, 9000), weight_kg=st.integers(2, 300), height_cm=st.integers(60, 230))
def test_other_units_are_told_by_their_size_and_give_the_same(mbq, weight_kg, height_cm):
    plain = {"PatientWeight": weight_kg, "PatientSize": height_cm / 100}
    usual = suv_of(pet(1, **plain, RadiopharmaceuticalInformationSequence=injection(RadionuclideTotalDose=mbq * 1e6)))
    other = {"PatientWeight": weight_kg * 1000, "PatientSize": height_cm}
    given_so = suv_of(pet(1, **other, RadiopharmaceuticalInformationSequence=injection(RadionuclideTotalDose=mbq)))
    assert usual.flags == ()
    assert given_so.flags == ("W_SUV_UNIT_GUESSED",)
    for kind in KINDS:
        assert given_so.by_kind[kind] == (
            pytest.approx(usual.by_kind[kind], rel=1e-9)
            if isinstance(usual.by_kind[kind], tuple)
            else usual.by_kind[kind]
        )


@settings(max_examples=60, deadline=None)
@given(
    keyword=st.sampled_from(
        [
            "SeriesTime",
            "AcquisitionTime",
            "SeriesDate",
            "AcquisitionDate",
            "Units",
            "DecayCorrection",
            "SUVType",
            "PatientWeight",
            "PatientSize",
            "ActualFrameDuration",
            "FrameReferenceTime",
            "CorrectedImage",
        ]
    ),
    said=st.sampled_from(["", "0", "-1", "1e400", "99999999", "250061", "nan", "1\\2", "x" * 70]),
)
def test_whatever_a_header_says_there_are_factors_or_codes(keyword, said):
    (one,) = pet(1, SUVType="BW")
    data = to_bytes(one)
    element = one[keyword]
    # as text in the file: pydicom would not write most of it
    texts = [str(item) for item in (element.value if element.VM > 1 else [element.value])]
    old = "\\".join(texts).encode()
    old += b" " * (len(old) % 2)
    new = said.encode()[: len(old)].ljust(len(old))
    where = data.index(element.tag.group.to_bytes(2, "little") + element.tag.element.to_bytes(2, "little"))
    assert data[where + 8 : where + 8 + len(old)] == old
    data = data[: where + 8] + new + data[where + 8 + len(old) :]
    header = read_header(data, path="a", size=len(data), version="1")
    for stack in assemble([header]).stacks:
        if stack.suv is None:
            continue
        assert set(stack.suv.by_kind) == set(KINDS)
        for found in stack.suv.by_kind.values():
            assert found in REASONS if isinstance(found, str) else all(math.isfinite(f) and f > 0 for f in found)


_ODD = st.sampled_from([None, 0.0, -1.0, 5e-324, 1e-300, 1e-9, 1.0, 300.0, 1e5, 1e9, 1e154, 1e300, 1.7e308])
_WHEN = st.none() | st.builds(Instant, st.none() | st.integers(1, 3_000_000), st.floats(0, 86_401, allow_nan=False))


@settings(max_examples=300, deadline=None)
@given(
    numbers=st.fixed_dictionaries(
        {},
        optional=dict.fromkeys(
            [
                *["weight_kg", "height_m", "dose_bq", "half_life_s", "given_clock_s", "frame_reference_s", "frame_s"],
                *["suv_per_count", "bqml_per_count"],
            ],
            _ODD,
        ),
    ),
    times=st.fixed_dictionaries({}, optional=dict.fromkeys(["given", "series", "acquired", "scan_start"], _WHEN)),
    words=st.fixed_dictionaries(
        {},
        optional={
            "units": st.sampled_from(["BQML", "CNTS", "GML", "CM2ML"]),
            "decay": st.sampled_from(["START", "NONE", "ADMIN"]),
            "sex": st.sampled_from(["M", "F", "O", ""]),
            "nuclide": st.sampled_from(["", "Rb-82"]),
        },
    ),
)
def test_no_number_however_odd_ends_in_anything_but_a_factor_or_a_code(sound, numbers, times, words):
    stack, header = sound
    odd = structs.replace(header, pet=replace(header.pet, **numbers, **times, **words))
    found = suv_scales(stack.members, [(odd, odd.top)], [odd])
    for one in found.by_kind.values():
        assert one in REASONS if isinstance(one, str) else all(0 < factor < math.inf for factor in one)
    assert set(found.flags) <= set(REASONS)


# on its way ----------------------------------------------------------------------------------------


def test_header_and_stack_survive_their_way_through_json():
    slices = private(pet(), GE, 0x0009, x0D=("DT", date(SCAN) + clock(SCAN)))
    stack, archive = stack_of(slices)
    assert Stack.from_json(json.loads(json.dumps(stack.to_json()))) == stack
    for header in archive.headers.values():
        assert Header.from_line(header.to_line()) == header


def test_a_loaded_volume_brings_the_factors_of_its_planes():
    begins = [SCAN, SCAN + timedelta(seconds=FRAME_S)]
    stack, archive = stack_of(pet(2, begins=begins, DecayCorrection="NONE", CorrectedImage=NOT_START))
    volume, _ = archive.load()
    assert volume.suv == stack.suv
    assert len(volume.suv.by_kind["bw"]) == 2


def test_private_values_of_a_header_are_in_its_record_of_pet_alone(slice_of, read, bytes_of):
    ct = slice_of(np.zeros((6, 8), np.uint16), PatientWeight=70.0)
    ct.RadiopharmaceuticalInformationSequence = Sequence([Dataset()])
    assert read(bytes_of(ct)).pet is None
