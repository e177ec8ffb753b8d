"""Replies of sandboxes: a header of the file that was asked for, or a code for that file alone."""

from __future__ import annotations

import json
from itertools import pairwise

import numpy as np
import pytest

from medpipe.app.reading import Reader, _checked, _header_of
from medpipe.app.site import Site
from medpipe.archive.alike import Hearer, alike, common_of, own_line, own_of
from medpipe.archive.header import Header, read_header
from medpipe.archive.source import FolderSource
from medpipe.contracts.protocols import Item
from medpipe.engine.replies import Death
from medpipe.work.scan_session import ScanSession
from tests.archive.conftest import make_slice, to_bytes

ITEM = Item(path="a", size=8, version="1")
SOUND = {"path": "a", "size": 8, "version": "1"}
TILES = {
    "n_tiles": 4,
    "tile_rows": 2,
    "tile_columns": 2,
    "grid_columns": 2,
    "position": [0.0, 0.0, 0.0],
    "step_mm": [0.0, 0.0, 1.0],
}
PLANE = {"orientation": [1.0, 0.0, 0.0, 0.0, 1.0, 0.0], "spacing_mm": [1.0, 1.0]}


def test_a_header_comes_as_it_was_sent():
    sent = Header(path="a", size=8, version="1", rows=3, padding=(1.0, 2.0), facts={"kvp": 120.0, "kernels": 2})
    assert _header_of(ITEM, sent.to_line().decode(), Hearer(_checked)) == sent


@pytest.mark.parametrize(
    "reply",
    [
        "",
        "{",
        {"path": "a"},
        [],
        '{"path":"a","size":8,"version":"1","study_uid":"\ud800"}',
        json.dumps(SOUND)[:-1] + ',"facts":{"a":' + "[" * 5000 + "]" * 5000 + "}}",
        *(
            json.dumps({**SOUND, **other})
            for other in (
                {"path": "b"},
                {"size": 9},
                {"version": "2"},
                {"rows": "3"},
                {"rows": -3},
                {"n_frames": 10**30},
                {"padding": [1.0]},
                {"padding": [1.0, 2.0, 3.0]},
                {"facts": {"kernels": "y"}},
                {"facts": {"reconstruction_mm": {}}},
                {"facts": {"unheard of": "x"}},
                {"instance_number": 10**320},
                {"pet": {"series": [10**320, 0.0]}},
                {"code": "E_UNHEARD_OF"},
                {"notes": ["W_UNHEARD_OF"]},
                {"pixel_keyword": "PixelData", "rows": 0, "columns": 8, "bits_allocated": 8},
                {"is_mosaic": True, "mosaic": {**TILES, "position": [0.0, 0.0]}, "top": PLANE},
                {"is_mosaic": True, "mosaic": TILES, "top": {**PLANE, "spacing_mm": [1.0]}},
            )
        ),
    ],
    ids=lambda reply: str(reply)[-24:],
)
def test_what_is_no_header_of_the_file_costs_that_file_alone(reply):
    found = _header_of(ITEM, reply, Hearer(_checked))
    assert (found.path, found.size, found.version, found.code) == ("a", 8, "1", "E_HEADER")


def test_a_sheet_of_tiles_comes_as_it_was_sent():
    sent = json.dumps({**SOUND, "is_mosaic": True, "mosaic": TILES, "top": PLANE})
    assert _header_of(ITEM, sent, Hearer(_checked)) == Header.from_line(sent)


class Later(dict):
    """A mapping as of Python 3.12, whose keys may be slices."""

    def __getitem__(self, key):
        raise KeyError(key)


def test_a_mapping_in_the_place_of_a_text_costs_that_file_alone():
    assert _header_of(ITEM, Later(SOUND), Hearer(_checked)).code == "E_HEADER"


@pytest.mark.parametrize("place", [3, 4, 6, 7, 8, 9])
def test_a_number_of_a_slice_that_no_file_holds_costs_that_file_alone(place):
    header = header_of()
    item = Item(path=header.path, size=header.size, version=header.version)
    like, common, own = common_of(header).like, common_of(header).line.decode(), json.loads(own_line(own_of(header)))
    sound = f"{like}{common}\n{json.dumps(own)}"
    assert _header_of(item, sound, Hearer(_checked)) == alike(header)
    own[place] = 10**320
    assert _header_of(item, f"{like}{common}\n{json.dumps(own)}", Hearer(_checked)).code == "E_HEADER"


def header_of():
    data = to_bytes(make_slice(np.zeros((4, 4), np.int16), InstanceNumber=1))
    return read_header(data, path="a", size=len(data), version="1")


def test_a_death_is_told():
    assert _header_of(ITEM, Death(code="E_TIMEOUT"), Hearer(_checked)).code == "E_TIMEOUT"


class OnePlace:
    """A pool that works in this process, a batch in several calls, as after a death."""

    def __init__(self, session: ScanSession, cuts: tuple[int, ...]) -> None:
        self.session = session
        self.cuts = cuts

    def map_batches(self, kind, batches, **_):
        for batch in batches:
            places = [0, *(cut for cut in self.cuts if cut < len(batch)), len(batch)]
            parts = [self.session.call(kind, {"items": batch[at:end]}, lambda *_: None) for at, end in pairwise(places)]
            yield [one for part in parts for one in part["results"]]

    def close(self):
        pass


@pytest.mark.parametrize("cuts", [(), (7, 8, 30)])
def test_headers_asked_for_while_others_are_on_their_way_do_not_mix(tmp_path, monkeypatch, cuts):
    monkeypatch.setattr("medpipe.work.scan_session.QUICK_AFTER", 0)
    for series in range(3):
        for number in range(40):
            pixels = np.full((4, 4), number, np.int16)
            said = make_slice(pixels, position=(0, 0, number), SeriesInstanceUID=f"1.2.{series}", InstanceNumber=number)
            (tmp_path / f"{series}-{number:03d}").write_bytes(to_bytes(said))
    source = FolderSource(tmp_path)
    items = list(source.scan())
    whole = {}
    for item in items:
        data = source.open(item.path)
        whole[item.path] = alike(read_header(data, path=item.path, size=item.size, version=item.version))
    with Reader(tmp_path, Site()) as reader:
        monkeypatch.setattr(reader, "_pool", OnePlace(ScanSession(source, file_bytes=1 << 20), cuts))
        both = zip(
            reader.headers((item, None) for item in items),
            reader.headers((item, None) for item in items[::-1]),
            strict=True,
        )
        found = [one for pair in both for one in pair]
    assert found == [whole[item.path] for pair in zip(items, items[::-1], strict=True) for item in pair]
    assert len({one.like for one in found}) == 3
