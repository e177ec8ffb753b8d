"""What is sealed of a range: headers that are alike share a line, and older forms are still read."""

from __future__ import annotations

import json

import numpy as np
from msgspec.structs import replace

from medpipe.app.content import PUT, PUT_ALIKE, REMOVE, Content, Edit, unit_of
from medpipe.app.putting import Putting
from medpipe.app.rows import Naming
from medpipe.archive.alike import alike
from medpipe.archive.header import Header, read_header
from medpipe.lake.lake import Lake
from medpipe.lake.records import Records
from medpipe.lake.sealed_spool import SealedSpool
from medpipe.privacy.pseudonyms import Pseudonyms
from medpipe.privacy.secret import Secret
from tests.archive.conftest import make_slice, to_bytes

SECRET = Secret(bytes(32))
NAMING = Naming(source="s", pseudonyms=Pseudonyms(SECRET), identified=True)


def slices(count: int) -> list[Header]:
    found = []
    for number in range(count):
        data = to_bytes(make_slice(np.full((8, 8), number, np.int16), position=(0, 0, number)))
        found.append(alike(read_header(data, path=f"{number:03d}", size=len(data), version="1-2-3")))
    return found


def lone(path: str) -> Header:
    return Header(path=path, size=1, version="1-1-1", code="E_NOT_DICOM", head_digest="0" * 64)


def spool_of(lake: Lake, tmp_path: object, name: str) -> SealedSpool:
    return SealedSpool(lake.private, tmp_path / name, limit_bytes=100)


def put(lake: Lake, tmp_path: object, headers: list[Header]) -> list[Edit]:
    spool = spool_of(lake, tmp_path, "edits")
    putting = Putting(spool)
    for header in headers:
        putting.put(3, header)
    putting.close()
    return [Edit.from_line(line) for line in spool.read(3)]


def test_alike_headers_go_together_and_all_come_back(tmp_path):
    lake = Lake.create(tmp_path / "lake", secret=SECRET, privacy="identified")
    headers = slices(5)
    mixed = [*headers[:3], lone("a"), *headers[3:], replace(headers[0], path="z", rows=9, like="")]
    mixed[-1] = alike(mixed[-1])
    edits = put(lake, tmp_path, mixed)
    assert [edit.kind for edit in edits] == [PUT_ALIKE, PUT, PUT_ALIKE, PUT_ALIKE]
    content = Content()
    assert content.touched(edits) == {unit_of(header) for header in mixed}
    content.apply(edits, NAMING, scan=1)
    assert content.headers() == sorted(mixed, key=lambda header: header.path)
    kept = Content.from_bytes(content.to_bytes())
    assert kept.headers() == content.headers()
    assert kept.units == content.units
    # each common line once
    assert content.to_bytes().count(b"1.2.840.10008.1.2.1") == 2


def test_what_nothing_goes_with_any_more_is_not_kept(tmp_path):
    lake = Lake.create(tmp_path / "lake", secret=SECRET, privacy="identified")
    content = Content()
    content.apply(put(lake, tmp_path, [*slices(2), lone("a")]), NAMING, scan=1)
    content.apply([Edit(REMOVE, "000"), Edit(REMOVE, "001")], NAMING, scan=2)
    only = Content()
    only.take(lone("a"))
    assert content.to_bytes() == only.to_bytes()


def test_headers_that_changed_are_put_over_what_was_there(tmp_path):
    lake = Lake.create(tmp_path / "lake", secret=SECRET, privacy="identified")
    content = Content()
    content.apply(put(lake, tmp_path, slices(2)), NAMING, scan=1)
    moved = alike(replace(slices(1)[0], series_uid="1.2.3", like=""))
    edits = put(lake, tmp_path / "again", [moved])
    assert content.touched(edits) == {unit_of(moved), content.units["000"]}
    content.apply(edits, NAMING, scan=2)
    assert content.header("000") == moved
    assert content.header("001") == slices(2)[1]


def test_the_form_without_common_lines_is_read_as_it_was_written():
    headers = sorted([*slices(3), lone("a")], key=lambda header: header.path)
    head = {
        "content_version": 2,
        "paths": [header.path for header in headers],
        "units": [unit_of(header) for header in headers],
        "hosts": {"u": ["t"]},
        "wholes": {"a": ["1-1-1", "d", ""]},
        "pixels": {},
        "tombstones": {"k": [None, 4]},
    }
    lines = [replace(header, like="").to_line() for header in headers]
    found = Content.from_bytes(b"\n".join([json.dumps(head).encode(), *lines]))
    assert found.headers() == headers
    assert (found.hosts, found.wholes, found.tombstones) == (head["hosts"], head["wholes"], head["tombstones"])
    assert found.units == dict(zip(head["paths"], head["units"], strict=True))
    now = Content.from_bytes(found.to_bytes())
    assert now.headers() == headers
    assert (now.hosts, now.wholes, now.tombstones, now.units) == (
        found.hosts,
        found.wholes,
        found.tombstones,
        found.units,
    )


def test_records_come_back_in_order_as_often_as_wanted(tmp_path):
    lake = Lake.create(tmp_path / "lake", secret=SECRET, privacy="identified")
    records: Records[tuple[int, str]] = Records(spool_of(lake, tmp_path, "records"), tuple[int, str])
    said = [(number, "x" * (number % 5)) for number in range(600)]
    for one in said:
        records.add(one)
    assert list(zip(records.read(), records.read(), strict=True)) == [(one, one) for one in said]
