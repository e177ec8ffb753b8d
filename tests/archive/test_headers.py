from __future__ import annotations

import json
import struct
import zlib

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset

from medpipe.archive import gate
from medpipe.archive.assemble import assemble
from medpipe.archive.header import Header, read_header
from medpipe.reasons import REASONS

PIXELS = np.arange(48, dtype=np.uint16).reshape(6, 8)


@pytest.fixture
def whole(slice_of, bytes_of) -> bytes:
    return bytes_of(slice_of(PIXELS, position=(1, 2, 3), InstanceNumber=7))


def test_a_header_survives_json(read, whole):
    header = read(whole)
    assert header.code == ""
    assert header.top.position == (1.0, 2.0, 3.0)
    assert Header.from_line(header.to_line()) == header


def test_an_empty_file_is_said_to_be_empty(read):
    assert read(b"").code == "E_EMPTY"


@pytest.mark.parametrize("data", [b"hello", b"\xff\xd8\xff\xe0" + bytes(400), b"PK\x03\x04" * 50, bytes(4096)])
def test_other_files_are_not_dicom(read, data):
    assert read(data).code == "E_NOT_DICOM"


def test_a_preamble_alone_holds_no_data_set(read):
    assert read(bytes(128) + b"DICM").code == "E_NO_DATASET"


def test_a_file_without_preamble_and_meta_is_read(read, whole):
    start = whole.index(b"\x08\x00\x08\x00CS")
    header = read(whole[start:])
    assert header.code == ""
    assert header.transfer_syntax == gate.EXPLICIT_LITTLE


@pytest.mark.parametrize("keyword", ["RescaleSlope", "RescaleIntercept"])
@pytest.mark.parametrize("said", [b"abc ", b"nan ", b"-inf", b"1,50"])
def test_rescale_values_that_are_no_numbers_are_refused(read, slice_of, bytes_of, keyword, said):
    data = bytes_of(slice_of(PIXELS, **{keyword: "7.25"}))
    assert read(data).code == ""
    assert read(data.replace(b"7.25", said)).code == "E_NONFINITE"


def test_an_empty_rescale_value_is_as_good_as_none(read, slice_of, bytes_of):
    header = read(bytes_of(slice_of(PIXELS, RescaleSlope="7.25")).replace(b"7.25", b"    "))
    assert (header.code, header.top.slope) == ("", None)


@pytest.mark.parametrize("share", [0.75, 0.9, 0.999])
def test_cut_pixel_data_is_truncated(read, whole, share):
    assert read(whole[: int(len(whole) * share)]).code == "E_TRUNCATED"


def test_native_pixels_shorter_than_the_dimensions_are_truncated(read, slice_of, bytes_of):
    assert read(bytes_of(slice_of(PIXELS, Rows=7))).code == "E_TRUNCATED"


def test_encapsulated_pixels_without_their_end_are_truncated(read, slice_of, bytes_of):
    dataset = slice_of(PIXELS)
    dataset.compress("1.2.840.10008.1.2.5", encoding_plugin="pydicom")
    data = bytes_of(dataset)
    assert read(data).code == ""
    assert read(data[:-8]).code == "E_TRUNCATED"


def test_more_frames_than_fragments_is_a_wrong_frame_count(read, slice_of, bytes_of):
    dataset = slice_of(PIXELS)
    dataset.compress("1.2.840.10008.1.2.5", encoding_plugin="pydicom")
    dataset.NumberOfFrames = 3
    assert read(bytes_of(dataset)).code == "E_FRAME_COUNT"


def test_run_lengths_that_promise_too_much_are_refused(read, slice_of, bytes_of):
    dataset = slice_of(PIXELS)
    dataset.compress("1.2.840.10008.1.2.5", encoding_plugin="pydicom")
    dataset.Rows = dataset.Columns = 65535
    assert read(bytes_of(dataset)).code == "E_DIMENSIONS"


def test_an_object_without_sop_class_is_refused(read, slice_of, bytes_of):
    dataset = slice_of(PIXELS)
    del dataset.SOPClassUID
    assert read(bytes_of(dataset)).code == "E_NO_SOP_CLASS"


def test_deep_nesting_is_refused(read, whole):
    opened = struct.pack("<HH2sHI", 0x0040, 0xA730, b"SQ", 0, 0xFFFFFFFF) + struct.pack(
        "<HHI", 0xFFFE, 0xE000, 0xFFFFFFFF
    )
    assert read(whole + opened * 5000).code == "E_DEPTH"


@pytest.mark.parametrize(("count", "code"), [(6, ""), (40_000, "E_LENGTH")])
def test_thousands_of_character_sets_are_refused(read, slice_of, bytes_of, count, code):
    dataset = slice_of(PIXELS)
    dataset.file_meta.TransferSyntaxUID = gate.IMPLICIT_LITTLE
    data = bytes_of(dataset)
    start = data.index(struct.pack("<HHI", 0x0008, 0x0008, 22))
    sets = b"\\".join([b"ISO 2022 IR 100"] * count)
    sets += b" " * (len(sets) % 2)
    assert read(data[:start] + struct.pack("<HHI", 0x0008, 0x0005, len(sets)) + sets + data[start:]).code == code


def deflated(whole: bytes, body: bytes) -> bytes:
    start = whole.index(b"\x08\x00\x08\x00CS")
    plain, named = gate.EXPLICIT_LITTLE.encode() + b"\0", gate.DEFLATED.encode()
    head = whole[:start].replace(struct.pack("<H", len(plain)) + plain, struct.pack("<H", len(named)) + named)
    stream = zlib.compressobj(wbits=-15)
    return head + stream.compress(body) + stream.flush()


def test_a_deflated_file_equals_the_plain_one(read, whole):
    body = whole[whole.index(b"\x08\x00\x08\x00CS") :]
    header = read(deflated(whole, body))
    assert header.code == ""
    assert header.top == read(whole).top


def test_a_deflate_bomb_is_refused_unopened(read, whole, monkeypatch):
    monkeypatch.setattr(gate, "MAX_INFLATED_BYTES", 10_000)
    assert read(deflated(whole, bytes(1_000_000))).code == "E_TOO_LARGE"


def test_what_may_be_inflated_follows_from_the_size_of_the_file(read, whole, monkeypatch):
    monkeypatch.setattr(gate, "_FREE_INFLATED_BYTES", 1 << 20)
    body = whole[whole.index(b"\x08\x00\x08\x00CS") :]
    zeros = struct.pack("<HH2sHI", 0x0007, 0x1010, b"OB", 0, 2 << 20) + bytes(2 << 20)
    noise = np.random.default_rng(1).bytes(40_000)
    more = struct.pack("<HH2sHI", 0x0007, 0x1011, b"OB", 0, len(noise)) + noise
    assert read(deflated(whole, zeros + body)).code == "E_TOO_LARGE"
    assert read(deflated(whole, zeros + more + body)).code == ""


def test_more_elements_than_a_file_of_its_size_can_hold_are_refused(read, whole, monkeypatch):
    monkeypatch.setattr(gate, "_FREE_ELEMENTS", 5000)
    body = whole[whole.index(b"\x08\x00\x08\x00CS") :]
    empty = struct.pack("<HH2sH", 0x0007, 0x1010, b"LO", 0)
    assert read(deflated(whole, empty * 6000 + body)).code == "E_LENGTH"
    assert read(deflated(whole, empty * 4000 + body)).code == ""
    start = whole.index(body)
    assert read(whole[:start] + empty * 6000 + body).code == ""


def test_zeros_behind_a_file_are_neither_elements_nor_parsed(read, whole):
    layout = gate.inspect(whole + bytes(200_001))
    assert (layout.code, layout.cut, layout.data) == ("", False, whole)
    assert read(whole + bytes(200_001)).code == ""
    assert gate.inspect(whole + bytes(200_000) + b"x").cut
    assert read(bytes(128) + b"DICM" + bytes(200_000)).code == "E_NO_DATASET"


def test_tens_of_thousands_of_elements_of_one_data_set_are_refused(read, whole):
    start = whole.index(b"\x08\x00\x08\x00CS")
    element = struct.pack("<HH2sH", 0x0007, 0x1010, b"LO", 0)
    assert read(whole[:start] + element * 66_000 + whole[start:]).code == "E_LENGTH"


def test_items_of_a_deflated_file_are_held_against_the_bytes_it_has(read, whole):
    body = whole[whole.index(b"\x08\x00\x08\x00CS") :]
    item = struct.pack("<HHI", 0xFFFE, 0xE000, 24) + struct.pack("<HH2sH", 0x0010, 0x4000, b"LT", 16) + b"x" * 16
    for count, code in ((29_000, ""), (31_000, "E_LENGTH")):
        sequence = struct.pack("<HH2sHI", 0x0008, 0x1115, b"SQ", 0, count * len(item)) + count * item
        assert read(deflated(whole, sequence + body)).code == code
    start = whole.index(body)
    assert read(whole[:start] + sequence + body).code == ""


@pytest.mark.parametrize("is_defined", [True, False])
def test_items_without_content_are_refused(read, whole, is_defined):
    start = whole.index(b"\x08\x00\x08\x00CS")

    def with_items(item, count):
        length = len(item) * count if is_defined else 0xFFFFFFFF
        sequence = struct.pack("<HH2sHI", 0x0008, 0x1115, b"SQ", 0, length) + item * count
        sequence += b"" if is_defined else struct.pack("<HHI", 0xFFFE, 0xE0DD, 0)
        return whole[:start] + sequence + whole[start:]

    empty = struct.pack("<HHI", 0xFFFE, 0xE000, 0)
    filled = struct.pack("<HHI", 0xFFFE, 0xE000, 24) + struct.pack("<HH2sH", 0x0008, 0x1150, b"UI", 16) + b"1" * 16
    assert read(with_items(empty, 5000)).code == "E_LENGTH"
    assert read(with_items(empty, 1000)).code == ""
    assert read(with_items(filled, 5000)).code == ""


@pytest.mark.parametrize(
    ("tag", "plain", "code"),
    [
        (0x00280008, b"1 ", "E_FRAME_COUNT"),
        (0x00281053, b"1.0 ", "E_NONFINITE"),
        (0x00200032, b"0.0\\0.0\\0.0 ", "E_MISSING_TAG"),
        (0x00080008, b"ORIGINAL\\PRIMARY\\AXIAL", ""),
    ],
)
def test_hundreds_of_thousands_of_values_are_not_taken_apart(read, slice_of, bytes_of, tag, plain, code):
    dataset = slice_of(PIXELS, NumberOfFrames=1)
    dataset.file_meta.TransferSyntaxUID = gate.IMPLICIT_LITTLE
    begin = struct.pack("<HH", tag >> 16, tag & 0xFFFF)
    many = b"1\\" * 100_000 + b"1 "
    data = bytes_of(dataset)
    short = begin + struct.pack("<I", len(plain)) + plain
    assert short in data
    header = read(data.replace(short, begin + struct.pack("<I", len(many)) + many))
    assert header.code == code
    assert len(header.top.position) == (0 if tag == 0x00200032 else 3)
    assert len(header.top.image_type) == (0 if tag == 0x00080008 else 3)


@pytest.mark.parametrize("said", [b"9" * 40, b"1e300 ", b"-1e25 "])
def test_a_number_of_frames_beyond_all_integers_is_refused(read, slice_of, bytes_of, said):
    data = bytes_of(slice_of(PIXELS, NumberOfFrames=1))
    at = data.index(b"\x28\x00\x08\x00IS")
    damaged = data[: at + 6] + struct.pack("<H", len(said)) + said + data[at + 10 :]
    header = read(damaged)
    assert (header.code, header.n_frames) == ("E_FRAME_COUNT", 1)


@pytest.mark.parametrize(("said", "number"), [(b"1e300 ", None), (b"9" * 20, None), (b"-99999", -99_999)])
def test_an_integer_has_no_more_bits_than_a_table_holds(read, slice_of, bytes_of, said, number):
    plain = struct.pack("<HH2sH", 0x0020, 0x0013, b"IS", 2) + b"7 "
    element = struct.pack("<HH2sH", 0x0020, 0x0013, b"IS", len(said)) + said
    data = bytes_of(slice_of(PIXELS, InstanceNumber=7))
    assert plain in data
    header = read(data.replace(plain, element))
    assert (header.code, header.instance_number) == ("", number)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), max_size=20), st.integers(1, 10_000))
def test_no_damage_makes_reading_raise(whole, changes, end):
    damaged = bytearray(whole)
    for place, byte in changes:
        damaged[place % len(damaged)] = byte
    header = read_header(bytes(damaged[:end]), path="a", size=end, version="")
    assert header.code in {"", *REASONS}
    assert Header.from_line(header.to_line()) == header


@pytest.mark.parametrize(
    ("elements", "stored"),
    [
        ({}, ()),
        ({"PixelPaddingValue": 40}, (40.0, 40.0)),
        ({"PixelPaddingValue": 40, "PixelPaddingRangeLimit": 10}, (10.0, 40.0)),
        ({"PixelPaddingValue": 63536, "PixelRepresentation": 1}, (-2000.0, -2000.0)),
        ({"PixelPaddingValue": 0xF800, "PixelRepresentation": 1, "BitsStored": 12, "HighBit": 11}, (-2048.0, -2048.0)),
    ],
)
def test_padding_is_what_decoding_gives_for_it(read, slice_of, bytes_of, elements, stored):
    dataset = slice_of(PIXELS)
    for keyword, value in elements.items():
        setattr(dataset, keyword, value)
        dataset[keyword].VR = "US"
    assert read(bytes_of(dataset)).padding == stored


def test_padding_beyond_any_number_is_none(read, slice_of, bytes_of):
    dataset = slice_of(PIXELS, position=(1, 2, 3), PixelPaddingValue=4000, RescaleSlope="-1e308")
    dataset["PixelPaddingValue"].VR = "US"
    (stack,) = assemble([read(bytes_of(dataset))]).stacks
    assert stack.padding is None
    json.dumps(stack.to_json(), allow_nan=False)


def test_floating_point_padding_is_read_as_it_stands(read, slice_of, bytes_of):
    dataset = slice_of(PIXELS, FloatPixelPaddingValue=-7.5, FloatPixelPaddingRangeLimit=-9.0)
    assert read(bytes_of(dataset)).padding == (-9.0, -7.5)


def test_a_map_of_real_world_values_is_seen_at_the_top_and_in_groups(read, slice_of, bytes_of):
    item, group = Dataset(), Dataset()
    item.RealWorldValueSlope = 2.0
    group.RealWorldValueMappingSequence = [item]
    assert not read(bytes_of(slice_of(PIXELS))).has_real_world_map
    assert read(bytes_of(slice_of(PIXELS, RealWorldValueMappingSequence=[item]))).has_real_world_map
    assert read(bytes_of(slice_of(PIXELS, SharedFunctionalGroupsSequence=[group]))).has_real_world_map
