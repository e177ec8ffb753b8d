from __future__ import annotations

import numpy as np
import pytest

from medpipe.archive.series import body_part, kernel, manufacturer, series_facts
from medpipe.contracts.tables import SERIES

PIXELS = np.zeros((6, 8), np.uint16)


def facts_of(archive_of, *datasets):
    return series_facts(list(archive_of(datasets).headers.values()))


def test_public_columns_are_columns_of_the_series_table(slice_of, archive_of):
    facts = facts_of(archive_of, slice_of(PIXELS, Manufacturer="SIEMENS", KVP=120, ConvolutionKernel="B30f"))
    columns = facts["columns"]
    assert set(columns) <= {field.name for field in SERIES.fields}
    assert (columns["manufacturer"], columns["kvp"], columns["kernel"]) == ("SIEMENS", 120.0, "B30f")


def test_no_free_text_reaches_a_public_column(slice_of, archive_of):
    planted = "DOE^JANE"
    dataset = slice_of(
        PIXELS,
        Manufacturer=planted,
        ConvolutionKernel=planted,
        BodyPartExamined=planted,
        PatientSex=planted,
        PatientAge="999",
        Modality=planted,
        ContrastBolusAgent=planted,
    )
    columns = facts_of(archive_of, dataset)["columns"]
    assert planted not in repr(columns)
    assert (columns["manufacturer"], columns["body_part"], columns["kernel"]) == ("OTHER", "OTHER", "OTHER")


@pytest.mark.parametrize(
    ("said", "name"),
    [("GE MEDICAL SYSTEMS", "GE"), ("Philips Medical Systems", "PHILIPS"), ("TOSHIBA_MEC", "CANON"), ("", None)],
)
def test_manufacturers_are_a_closed_list(said, name):
    assert manufacturer(said) == name


@pytest.mark.parametrize(
    ("said", "name"),
    [("CHEST", "CHEST"), ("ABDOMENPELVIS", "ABDOMEN"), ("Brain", "HEAD"), ("LSPINE", "SPINE"), ("thing", "OTHER")],
)
def test_body_parts_are_a_closed_list(said, name):
    assert body_part(said) == name


@pytest.mark.parametrize(
    ("said", "name"), [("I31f.3", "I31f.3"), ("soft tissue", "OTHER"), ("SMITH", "OTHER"), ("BONE", "BONE"), ("", None)]
)
def test_kernels_are_codes_or_words_of_a_closed_list(said, name):
    assert kernel(said) == name


@pytest.mark.parametrize(
    ("elements", "band"),
    [
        ({"PatientAge": "065Y"}, "60-69"),
        ({"PatientAge": "018M"}, "0-9"),
        ({"PatientAge": "093Y"}, "90+"),
        ({"PatientBirthDate": "19500615", "StudyDate": "20200614"}, "60-69"),
        ({"PatientBirthDate": "19500615", "StudyDate": "20200615"}, "70-79"),
        ({}, None),
    ],
)
def test_ages_are_decades(slice_of, archive_of, elements, band):
    assert facts_of(archive_of, slice_of(PIXELS, **elements))["columns"]["age_band"] == band


def test_contrast_is_null_unless_said(slice_of, archive_of):
    assert facts_of(archive_of, slice_of(PIXELS))["columns"]["contrast"] is None
    assert facts_of(archive_of, slice_of(PIXELS, ContrastBolusAgent=""))["columns"]["contrast"] is False
    assert facts_of(archive_of, slice_of(PIXELS, ContrastBolusAgent="x"))["columns"]["contrast"] is True
