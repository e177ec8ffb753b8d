"""Kinds of files that the quick reader takes beside ordinary slices, each equal to the whole reading of it."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from pydicom.datadict import tag_for_keyword
from pydicom.encaps import encapsulate
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
)

from medpipe.archive.quick.reader import QuickReader
from tests.archive.conftest import make_slice, to_bytes
from tests.archive.pets import pet
from tests.archive.test_quick_headers import quickly, unequal

PIXELS = np.arange(48, dtype=np.uint16).reshape(6, 8)


PET_CHANGES = (
    {"RescaleSlope": 0.5},
    {"AcquisitionTime": "112233.5", "AcquisitionDate": "20250102"},
    {"AcquisitionTime": "112233.5", "RescaleSlope": 0.25},
    {"AcquisitionTime": None},
    {"AcquisitionTime": "noon"},
    {"SeriesTime": "101112"},
    {"FrameReferenceTime": 12_500.0},
    {"FrameReferenceTime": None},
    {"AcquisitionDateTime": "20250101112233"},
    {"AcquisitionDateTime": "20250101112244"},
    {"PatientWeight": 71.5},
    {"ActualFrameDuration": 60_000},
    {"CorrectedImage": ["ATTN"]},
)


def test_slices_of_pet_that_differ_in_one_thing_are_read_alike():
    reader = QuickReader()
    for changes in ({}, *PET_CHANGES, {}, *reversed(PET_CHANGES)):
        for place in range(2):
            data = to_bytes(make_pet(place, **changes))
            header = quickly(reader, data)
            assert header is not None, changes
            assert header.pet is not None
            assert unequal(header, data) == [], changes


def make_pet(place, **changes):
    (dataset,) = pet(1, **changes)
    dataset.ImagePositionPatient = [0, 0, 3.0 * place]
    dataset.InstanceNumber = place + 1
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = f"1.2.3.{place}"
    return dataset


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian])
@pytest.mark.parametrize("has_syntax", [False, True])
def test_files_that_lack_the_preamble_or_the_syntax_are_taken(syntax, has_syntax):
    dataset = make_slice(PIXELS, SeriesDescription="x" * 60)
    dataset.file_meta.TransferSyntaxUID = syntax
    data = to_bytes(dataset)
    begin = 144 + struct.unpack_from("<I", data, 140)[0]
    element = struct.pack("<HH2sH", 2, 0x10, b"UI", len(padded(syntax))) + padded(syntax)
    assert data.count(element) == 1
    bare = data[begin:] if has_syntax else data.replace(element, b"")
    header = quickly(QuickReader(), bare)
    assert header is not None
    assert unequal(header, bare) == []
    assert (header.rows, header.transfer_syntax) == (6, str(syntax) if has_syntax else "")


def padded(uid):
    said = uid.encode()
    return said + b"\0" * (len(said) % 2)


def test_a_file_without_a_preamble_and_one_with_it_are_no_pattern_for_one_another():
    reader = QuickReader()
    data = to_bytes(make_slice(PIXELS))
    begin = 144 + struct.unpack_from("<I", data, 140)[0]
    for one in (data[begin:], data, data[begin:]):
        header = quickly(reader, one)
        assert header is not None
        assert unequal(header, one) == []


@pytest.mark.parametrize("length", [1, 40, -1])
def test_a_deflated_file_is_taken_if_its_stream_is_whole(length):
    dataset = make_slice(PIXELS)
    dataset.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    data = to_bytes(dataset)
    header = quickly(QuickReader(), data)
    assert header is not None
    assert unequal(header, data) == []
    assert (header.rows, header.pixel_offset, header.head_bytes) == (6, -1, len(data))
    assert quickly(QuickReader(), data[:-length] if length > 0 else data[:400]) is None


def test_a_deflated_file_beyond_the_bound_is_for_the_whole_reading(monkeypatch):
    monkeypatch.setattr("medpipe.archive.quick.reader.MOST_HEAD_BYTES", 600)
    dataset = make_slice(PIXELS)
    dataset.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    assert quickly(QuickReader(), to_bytes(dataset)) is None


def encapsulated(*fragments):
    dataset = make_slice(PIXELS)
    dataset.file_meta.TransferSyntaxUID = JPEG2000Lossless
    dataset.PixelData = encapsulate(list(fragments), has_bot=False)
    dataset["PixelData"].is_undefined_length = True
    return to_bytes(dataset)


@pytest.mark.parametrize("cut", [9, 30])
def test_a_stream_that_does_not_end_is_taken(cut):
    data = encapsulated(bytes(range(1, 101)))[:-cut]
    header = quickly(QuickReader(), data)
    assert header is not None
    assert header.code == "E_TRUNCATED"
    assert unequal(header, data) == []


def test_a_stream_that_does_not_end_but_holds_the_mark_of_an_end_is_for_the_whole_reading():
    data = encapsulated(b"abc\xfe\xff\xdd\xe0\0\0\0\0def" * 9)[:-12]
    assert quickly(QuickReader(), data) is None


@pytest.mark.parametrize("said", ["1A", "1.5x", "NaN(1)", "1,5", "12 cm", "inf", "Infinity", "0x10", "1A\\2", "2\\x"])
@pytest.mark.parametrize("keyword", ["RescaleSlope", "InstanceNumber", "ImagePositionPatient"])
def test_texts_that_are_no_numbers_are_read_alike(said, keyword):
    data = to_bytes(make_slice(PIXELS, InstanceNumber=7))
    tag = tag_for_keyword(keyword)
    begin = (
        data.index(struct.pack("<HH", tag >> 16, tag & 0xFFFF) + (b"IS" if keyword == "InstanceNumber" else b"DS")) + 6
    )
    (length,) = struct.unpack_from("<H", data, begin)
    text = said.encode() + b" " * (len(said) % 2)
    other = data[:begin] + struct.pack("<H", len(text)) + text + data[begin + 2 + length :]
    header = quickly(QuickReader(), other)
    assert header is not None
    assert unequal(header, other) == []
