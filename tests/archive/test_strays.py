"""Images beside a sound stack: which of them say that a slice of it may be missing."""

from __future__ import annotations

import copy

import numpy as np
import pytest

from tests.faults.edits import as_bytes
from tests.faults.series import Series, decimals, make_series, to_bytes, uid
from tests.faults.verdicts import Found

SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"


def beside(series: Series, **elements) -> Found:
    """Return what becomes of a sound series with one image more, far from the others."""
    files = {str(number): to_bytes(one) for number, one in enumerate(series.files)}
    far = decimals(series.places[-1] + 1000 * series.turn[2])
    given = {
        "SOPInstanceUID": uid("beside", series.seed),
        "FrameOfReferenceUID": uid("elsewhere", series.seed),
        "ImagePositionPatient": far,
        **elements,
    }
    return Found({**files, "beside": as_bytes(series.files[0], **given)})


def flags_of(found: Found, series: Series) -> tuple[str, ...]:
    (stack,) = [one for one in found.stacks if one.shape[-3] == len(series)]
    return stack.flags


@pytest.mark.parametrize(
    "elements",
    [
        {},
        {"ImagePositionPatient": None},
        {"ImagePositionPatient": ["1", "2", "1e300"]},
        {"ImageOrientationPatient": ["0"] * 6},
        {"PixelData": b""},
        {"PixelData": None},
        {"Rows": None},
    ],
)
def test_an_image_like_the_slices_may_be_one_that_is_missing(elements):
    series = make_series("ct", 3)
    assert flags_of(beside(series, **elements), series) == ("W_STRAYS",)


@pytest.mark.parametrize(
    "elements",
    [
        {"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]},
        {"ImageType": ["DERIVED", "SECONDARY", "AXIAL"]},
        {"ImageType": ["DERIVED", "SECONDARY", "AXIAL"], "ImagePositionPatient": None},
        {"SOPClassUID": SECONDARY_CAPTURE, "ImageType": ["ORIGINAL", "SECONDARY"]},
        {"SOPClassUID": SECONDARY_CAPTURE, "PixelData": b""},
        {"Rows": 2, "Columns": 2, "PixelData": bytes(8)},
        {"SeriesInstanceUID": "1.2.3.4"},
        {"SeriesInstanceUID": "1.2.3.4", "PixelData": b""},
    ],
)
def test_an_image_of_another_kind_or_series_is_no_slice(elements):
    series = make_series("ct", 3)
    assert flags_of(beside(series, **elements), series) == ()


def test_colours_and_derived_images_beside_derived_slices_are_no_slices():
    series = make_series("ct", 4)
    for dataset in series.files:
        dataset.ImageType = ["DERIVED", "PRIMARY", "AXIAL"]
    assert flags_of(beside(series), series) == ()
    assert flags_of(beside(series, PixelData=b""), series) == ("W_STRAYS",)
    pixels = np.zeros((*series.stored.shape[1:], 3), np.uint8).tobytes()
    eight = {"BitsAllocated": 8, "BitsStored": 8, "HighBit": 7, "PixelRepresentation": 0}
    shown = {"SamplesPerPixel": 3, "PhotometricInterpretation": "RGB", "PlanarConfiguration": 0, **eight}
    assert flags_of(beside(series, PixelData=pixels, **shown), series) == ()


def test_a_broken_copy_of_a_slice_that_is_there_leaves_nothing_missing():
    series = make_series("mr", 5)
    copied = series.files[-1].SOPInstanceUID
    found = beside(series, SOPInstanceUID=copied, PixelData=b"")
    assert found.with_code("E_TRUNCATED") == {"beside"}
    assert flags_of(found, series) == ()


def test_of_two_planes_of_several_slices_neither_is_flagged_and_lossy_comes_last():
    series = make_series("mr", 6)
    other = copy.deepcopy(series.files)
    for number, dataset in enumerate(other):
        dataset.SOPInstanceUID = uid("other", number)
        dataset.FrameOfReferenceUID = uid("elsewhere", series.seed)
    both = [*series.files, *other]
    assert [one.flags for one in Found({str(n): to_bytes(one) for n, one in enumerate(both)}).stacks] == [(), ()]
    for dataset in series.files:
        dataset.LossyImageCompression = "01"
    assert flags_of(beside(series, PixelData=b""), series) == ("W_STRAYS", "W_LOSSY")
