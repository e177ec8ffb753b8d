"""Headers that go in two, what is common and what is a slice's own, and come back as they were."""

from __future__ import annotations

import json

import numpy as np
import pytest
from msgspec.structs import replace

from medpipe.archive.alike import (
    Hearer,
    Lines,
    Sliced,
    Teller,
    alike,
    common_line_of,
    common_of,
    counted,
    header_of_own,
    line_of,
    own_line,
    own_of,
)
from medpipe.archive.header import Header, read_header
from medpipe.archive.quick.reader import FIRST_BYTES, QuickReader
from tests.archive.conftest import make_slice, to_bytes

PIXELS = np.arange(64, dtype=np.int16).reshape(8, 8)


def header_of(path: str = "a", **elements: object) -> Header:
    data = to_bytes(make_slice(PIXELS, AcquisitionTime="101500", **elements))
    return read_header(data, path=path, size=len(data), version=f"{len(data)}-1-2")


def as_sent(said: str) -> Header:
    return Hearer(lambda one: one).header(said)


@pytest.mark.parametrize(
    "header",
    [
        header_of(),
        header_of(InstanceNumber=None),
        header_of(ImagePositionPatient=None),
        replace(header_of(), n_fragments=3, pixel_bytes=777),
        replace(header_of(), facts={}),
    ],
    ids=["plain", "no number", "no place", "encapsulated", "no facts"],
)
def test_a_header_comes_back_out_of_its_two_parts(header):
    common = common_of(header)
    back = header_of_own(common, own_of(header))
    assert replace(back, like="") == header
    assert list(back.facts) == list(header.facts)
    assert back.like == common.like == alike(header).like


def test_what_is_common_is_equal_where_slices_differ_in_their_own_alone():
    first = header_of()
    own = {"path": "b", "version": "v", "sop_instance_uid": "1.2", "instance_number": 9, "head_digest": "0" * 64}
    other = replace(first, **own, top=replace(first.top, position=(0.0, 0.0, 9.5)))
    assert alike(first).like == alike(other).like
    for differing in (
        replace(first, rows=9),
        replace(first, pixel_bytes=130),
        replace(first, top=replace(first.top, slope=2.0)),
        replace(first, facts={**first.facts, "kernel": "B70f"}),
        replace(first, notes=("W_LOSSY",)),
    ):
        assert alike(differing).like not in {"", alike(first).like}


@pytest.mark.parametrize(
    "other",
    [
        {"code": "E_HEADER"},
        {"format": "nifti"},
        {"pixel_keyword": ""},
        {"n_groups": 2},
        {"is_mosaic": True},
        {"is_mask": True},
        {"sop_class_uid": "1.2.840.10008.5.1.4.1.1.66.4"},
        {"sop_class_uid": ""},
    ],
    ids=str,
)
def test_what_is_no_plain_image_is_like_nothing_and_goes_whole(other):
    header = replace(header_of(), **other)
    assert alike(header) == header
    assert line_of(header) == header.to_line()


def test_lines_are_read_with_what_is_common():
    headers = [alike(header_of(path)) for path in "abc"]
    commons = {headers[0].like: common_line_of(headers[0])}
    read = Lines(commons)
    assert [read.header(line_of(header)) for header in headers] == headers
    assert read.header(headers[0].to_line()) == headers[0]


def test_alike_headers_are_counted_as_one():
    headers = [alike(header_of(path)) for path in "abc"]
    lone = header_of("d")
    assert counted([*headers, lone, lone]) == [(headers[0], 3), (lone, 1), (lone, 1)]


def test_an_answer_says_what_is_common_once():
    headers = [header_of(path) for path in "abc"]
    teller, hearer = Teller(), Hearer(lambda one: one)
    said = [teller.text(Sliced(common_of(header), own_of(header))) for header in headers]
    assert len(said[0]) > 4 * len(said[1]) == 4 * len(said[2])
    assert [replace(hearer.header(text), like="") for text in said] == headers


def test_what_an_answer_says_of_likeness_is_not_believed():
    header, other = header_of(), replace(header_of(), rows=9)
    common, forged = common_of(header), common_of(other)
    assert as_sent(replace(header, like="f" * 32).to_line().decode()).like == common.like
    text = f"{forged.like}{common.line.decode()}\n{own_line(own_of(header)).decode()}"
    assert as_sent(text).like == common.like
    # a slice's own in what is common would be every slice's
    odd = json.loads(common.line) | {"sop_instance_uid": "1.2.3", "like": "f" * 32}
    assert as_sent(f"{forged.like}{json.dumps(odd)}\n{own_line(own_of(header)).decode()}") == alike(header)


@pytest.mark.parametrize(
    "text",
    [
        "f" * 32 + '["a",1,"1","",0,"",1,0,0,-1,[],""]',
        "f" * 32,
        "f" * 32 + '{"path":"","size":0,"version":""}\n["a",1,"1","",0,"",1,0,0,-1,[],""]',
        *(
            f"{'f' * 32}{{}}\n{own}"
            for own in ("[]", '["a"]', "{}", '["a","1","1","",0,"",1,0,0,-1,[],""]', "[" * 5000)
        ),
    ],
    ids=lambda text: text[-24:],
)
def test_what_is_no_answer_is_refused(text):
    common = common_of(header_of()).line.decode()
    with pytest.raises((ValueError, TypeError, RecursionError)):
        as_sent(text.replace("{}\n", f"{common}\n"))


def test_what_was_common_in_one_batch_is_not_in_the_next():
    header = header_of()
    teller, hearer = Teller(), Hearer(lambda one: one)
    sliced = Sliced(common_of(header), own_of(header))
    hearer.header(teller.text(sliced))
    second = teller.text(sliced)
    hearer.header(second)
    hearer.forget()
    with pytest.raises(ValueError, match="no header"):
        hearer.header(second)


def test_the_quick_reader_tells_slices_in_two_as_the_whole_reading_has_them():
    reader = QuickReader(splits=True)
    told = []
    for number in range(4):
        data = to_bytes(make_slice(PIXELS, position=(0, 0, number), InstanceNumber=number, AcquisitionTime="101500"))
        place = {"path": f"{number}", "size": len(data), "version": "1"}
        found = reader.told(data[:FIRST_BYTES], **place, more=lambda *_: b"")
        told.append(found)
        assert Hearer(lambda one: one).header(Teller().text(found)) == alike(read_header(data, **place))
    assert [isinstance(one, Sliced) for one in told] == [False, True, True, True]
