from __future__ import annotations

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian, RLELossless

from medpipe.ops.padding import padding_mask
from tests.archive.conftest import make_slice

PADDED = (slice(None), slice(0, 2))


def padded(cells: np.ndarray, value: int, vr: str, *, bits: int, syntax: str, limit: int | None = None) -> Dataset:
    """Return a slice whose first two columns are padding; 2096 is what -2000 leaves in twelve bits."""
    dataset = make_slice(cells, BitsStored=bits, HighBit=bits - 1)
    dataset.add_new("PixelPaddingValue", vr, value)
    if limit is not None:
        dataset.add_new("PixelPaddingRangeLimit", vr, limit)
    if syntax == RLELossless:
        dataset.compress(RLELossless, generate_instance_uid=False)
    elif syntax == ExplicitVRBigEndian:
        dataset.PixelData = cells.astype(cells.dtype.newbyteorder(">")).tobytes()
        dataset["PixelData"].VR = "OW"
    dataset.file_meta.TransferSyntaxUID = syntax
    return dataset


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian, RLELossless])
@pytest.mark.parametrize(
    ("kind", "bits", "value", "vr", "cell", "stored"),
    [
        # beyond the stored bits: all bits of the pixel say so
        (np.uint16, 12, -2000, "SS", 63536, 63536),
        (np.uint16, 12, 63536, "US", 63536, 63536),
        (np.int16, 12, -32768, "SS", -32768, -32768),
        (np.int16, 14, 40000, "US", -25536, -25536),
        # within them: under another type, or without a sign in the bits above
        (np.int16, 16, 63536, "US", -2000, -2000),
        (np.int16, 12, 63536, "US", -2000, -2000),
        (np.int16, 12, 2096, "US", 2096, -2000),
        (np.uint16, 16, -2000, "SS", 63536, 63536),
        (np.uint16, 12, 4095, "US", 4095, 4095),
    ],
)
def test_padding_is_never_a_value_that_was_measured(archive_of, kind, bits, value, vr, cell, stored, syntax):
    vr = vr if syntax != ImplicitVRLittleEndian else ("SS" if kind is np.int16 else "US")
    value = value if vr == "US" or value < 32768 else value - 65536
    value = value if vr == "SS" else value % 65536
    cells = np.arange(48, dtype=kind).reshape(6, 8) + kind(2080 if kind is np.uint16 else 1000)
    measured = cells.astype(np.int64)
    cells[PADDED] = np.array(cell).astype(kind)
    archive = archive_of([padded(cells, value, vr, bits=bits, syntax=syntax)])
    (stack,) = archive.assembly.stacks
    volume, _ = archive.load()
    measured[PADDED] = stored
    assert volume.data[0].tolist() == (measured - 1024).tolist()
    assert stack.padding == (stored - 1024, stored - 1024)
    expected = np.zeros((6, 8), bool)
    expected[PADDED] = True
    assert np.array_equal(padding_mask(volume)[0], expected)


def test_a_padding_value_that_no_pixel_has_is_none_of_them(archive_of):
    cells = np.arange(48, dtype=np.uint16).reshape(6, 8) + np.uint16(2080)
    archive = archive_of([padded(cells, -2000, "SS", bits=12, syntax=ExplicitVRLittleEndian)])
    volume, _ = archive.load()
    assert volume.data[0].tolist() == (cells.astype(np.int64) - 1024).tolist()
    assert not padding_mask(volume).any()


def test_a_range_of_padding_may_begin_beyond_the_stored_bits(archive_of):
    cells = np.arange(48, dtype=np.int16).reshape(6, 8) - np.int16(20)
    cells[PADDED] = np.array([-32768, -2048])
    archive = archive_of([padded(cells, -32768, "SS", bits=12, syntax=ExplicitVRLittleEndian, limit=-2048)])
    volume, _ = archive.load()
    assert volume.data[0].tolist() == (cells.astype(np.int64) - 1024).tolist()
    assert padding_mask(volume)[0].sum() == 12


def test_other_bits_above_the_stored_ones_are_cleared_as_ever(archive_of):
    cells = np.arange(48, dtype=np.uint16).reshape(6, 8)
    overlaid = cells | np.uint16(0x3000)
    archive = archive_of([padded(overlaid, -2000, "SS", bits=12, syntax=ExplicitVRLittleEndian)])
    assert archive.load()[0].data[0].tolist() == (cells.astype(np.int64) - 1024).tolist()


def test_a_range_that_begins_within_the_stored_bits_keeps_no_pixel_for_what_is_above_them(archive_of):
    cells = np.array([[100, 4050, 0x8000 | 100, 0xFFFF]] * 4, dtype=np.uint16)
    archive = archive_of([padded(cells, 4000, "US", bits=12, syntax=ExplicitVRLittleEndian, limit=0xFFFF)])
    volume, _ = archive.load()
    assert volume.data[0, 0].tolist() == [100 - 1024, 4050 - 1024, 100 - 1024, 0xFFFF - 1024]
