from __future__ import annotations

import struct
from io import BytesIO

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom import dcmread
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from medpipe.kernels import dicom_walk as walk
from medpipe.kernels.dicom_records import AT
from tests.archive.conftest import make_slice, to_bytes

WANTED = {0x00080016: walk.LEAF, 0x00100020: walk.LEAF, 0x00200013: walk.VARYING, 0x00281053: walk.SELDOM + 1}
SEQUENCES = (0x00081140,)
PIXELS = np.arange(48, dtype=np.uint16).reshape(6, 8)
UNDEFINED = 0xFFFFFFFF


@pytest.fixture
def walker() -> walk.HeadWalk:
    return walk.HeadWalk(tuple(WANTED), tuple(WANTED.values()), SEQUENCES)


def element(tag: int, kind: bytes, value: bytes, length: int | None = None) -> bytes:
    said = len(value) if length is None else length
    head = struct.pack("<HH2s", tag >> 16, tag & 0xFFFF, kind)
    return head + (struct.pack("<HI", 0, said) if kind in {b"SQ", b"OB", b"OW"} else struct.pack("<H", said)) + value


def item(content: bytes, length: int | None = None) -> bytes:
    return struct.pack("<HHI", 0xFFFE, 0xE000, len(content) if length is None else length) + content


ITEM_END, SEQUENCE_END = struct.pack("<HHI", 0xFFFE, 0xE00D, 0), struct.pack("<HHI", 0xFFFE, 0xE0DD, 0)
META = bytes(128) + b"DICM" + element(0x00020010, b"UI", b"1.2.840.10008.1.2.1\0")


def test_wanted_elements_are_found_where_they_are(walker):
    head = META + element(0x00080016, b"UI", b"1.2 ") + element(0x00080060, b"CS", b"CT")
    data = head + element(0x00200013, b"IS", b"7 ") + element(0x7FE00010, b"OW", bytes(10))
    found = walker.file(data, len(data))
    assert found[walk.STATUS] == walk.COMPLETE
    assert (found[walk.BEGIN], found[walk.IMPLICIT], found[walk.BIG]) == (len(META), 0, 0)
    assert walker.records(found[walk.RECORDS]) == [
        [0, int.from_bytes(b"UI", "little"), len(META) + 8, 4, -1],
        [2, int.from_bytes(b"IS", "little"), len(head) + 8, 2, -1],
    ]
    assert (found[walk.PIXEL_TAG], found[walk.PIXEL_AT], found[walk.PIXEL_BYTES]) == (0x7FE00010, len(data) - 10, 10)
    assert found[walk.SLOTS : walk.SLOTS + 4] == [len(head) + 8, 2, 0, -1]


def test_the_key_has_the_values_that_are_the_same_for_all_slices_and_no_other(walker):
    def key(name: bytes, number: bytes, slope: bytes) -> tuple[bytes, bytes]:
        body = element(0x00100020, b"LO", name) + element(0x00200013, b"IS", number)
        data = META + body + element(0x00281053, b"DS", slope)
        found = walker.file(data, len(data))
        return walker.key(found[walk.KEY_BYTES]), walker.seldom(found[walk.SELDOM_BYTES])

    plain = key(b"P1", b"7 ", b"1 ")
    assert key(b"P1", b"12", b"1 ") == plain
    assert key(b"P2", b"7 ", b"1 ")[0] != plain[0]
    assert key(b"P1", b"7 ", b"2 ")[0] == plain[0]
    assert key(b"P1", b"7 ", b"2 ")[1] != plain[1]


@pytest.mark.parametrize(
    "sequence",
    [
        element(0x00081140, b"SQ", item(element(0x00081155, b"UI", b"1.2 "))),
        element(0x00081140, b"SQ", item(element(0x00081155, b"UI", b"1.2 ")) + SEQUENCE_END, UNDEFINED),
        element(0x00081140, b"SQ", item(ITEM_END, UNDEFINED) + SEQUENCE_END, UNDEFINED),
        element(0x00081140, b"SQ", b""),
    ],
)
def test_what_comes_after_a_sequence_is_found(walker, sequence):
    data = META + sequence + element(0x00200013, b"IS", b"7 ")
    found = walker.file(data, len(data))
    assert found[walk.STATUS] == walk.COMPLETE
    assert walker.records(found[walk.RECORDS])[-1][AT] == len(data) - 2


@pytest.mark.parametrize(
    "body",
    [
        element(0x00081140, b"SQ", item(ITEM_END, UNDEFINED), UNDEFINED),
        element(0x00081140, b"SQ", item(b"\0" * 4) + SEQUENCE_END, UNDEFINED),
        element(0x00081140, b"SQ", SEQUENCE_END[:-1] + b"\1", UNDEFINED),
        element(0x00081140, b"OB", item(b"") + SEQUENCE_END, UNDEFINED),
        element(0x00200013, b"IS", b"7 ") + element(0x00080016, b"UI", b"1.2 "),
        element(0x00200013, b"IS", b"7 ") * 2,
        element(0x00200013, b"IS", b"7 ", 200),
        element(0x00080016, b"UI", b"1.2 ") + element(0x00200013, b"ZZ", b"7 "),
        element(0x00080016, b"UI", b"1.2 ") + bytes(3),
    ],
)
def test_what_is_not_as_it_should_be_is_not_sure(walker, body):
    assert walker.file(META + body, len(META + body))[walk.STATUS] == walk.UNSURE


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian])
def test_offsets_are_those_of_pydicom(syntax):
    slice_ = make_slice(PIXELS, InstanceNumber=7)
    slice_.file_meta.TransferSyntaxUID = syntax
    data = to_bytes(slice_)
    dataset = dcmread(BytesIO(data))
    tags = sorted(int(tag) for tag in dataset._dict if tag < 0x7FE00000)
    walker = walk.HeadWalk(tags, [walk.LEAF] * len(tags), ())
    found = walker.file(data, len(data))
    assert found[walk.STATUS] == walk.COMPLETE
    expected = [(dataset.get_item(tag).value_tell, dataset.get_item(tag).length) for tag in tags]
    assert [(at, length) for _, _, at, length, _ in walker.records(found[walk.RECORDS])] == expected


@pytest.fixture(scope="module")
def whole() -> bytes:
    return to_bytes(make_slice(PIXELS, InstanceNumber=7))


@pytest.mark.parametrize("first", [0, 1, 140, 200, 500])
def test_bytes_asked_for_are_enough_in_the_end(walker, whole, first):
    head, asked = whole[:first], 0
    while (found := walker.file(head, len(whole)))[walk.STATUS] == walk.MORE:
        assert found[walk.NEED] > len(head)
        head, asked = whole[: found[walk.NEED]], asked + 1
    assert found == walker.file(whole, len(whole))
    assert asked <= 2


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.integers(132, 10_000), st.integers(0, 255)), max_size=8), st.integers(0, 10_000))
def test_no_damage_leads_beyond_the_bytes_there_are(whole, changes, end):
    damaged = bytearray(whole)
    for place, byte in changes:
        damaged[place % len(damaged)] = byte
    head = bytes(damaged[:end])
    walker = walk.HeadWalk(tuple(WANTED), tuple(WANTED.values()), SEQUENCES)
    found = walker.file(head, len(whole))
    assert found[walk.STATUS] in {walk.COMPLETE, walk.MORE, walk.UNSURE}
    if found[walk.STATUS] == walk.COMPLETE:
        assert all(at + length <= len(head) for _, _, at, length, _ in walker.records(found[walk.RECORDS]))
