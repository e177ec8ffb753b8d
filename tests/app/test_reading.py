"""Replies of sandboxes: a header of the file that was asked for, or a code for that file alone."""

from __future__ import annotations

import json

import pytest

from medpipe.app.reading import _header_of
from medpipe.archive.header import Header
from medpipe.contracts.protocols import Item
from medpipe.engine.replies import Death

ITEM = Item(path="a", size=8, version="1")
SOUND = {"path": "a", "size": 8, "version": "1"}


def test_a_header_comes_as_it_was_sent():
    sent = Header(path="a", size=8, version="1", rows=3, padding=(1.0, 2.0), facts={"kvp": 120.0, "kernels": 2})
    assert _header_of(ITEM, sent.to_line().decode()) == sent


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
            )
        ),
    ],
    ids=lambda reply: str(reply)[-24:],
)
def test_what_is_no_header_of_the_file_costs_that_file_alone(reply):
    found = _header_of(ITEM, reply)
    assert (found.path, found.size, found.version, found.code) == ("a", 8, "1", "E_HEADER")


def test_a_death_is_told():
    assert _header_of(ITEM, Death(code="E_TIMEOUT")).code == "E_TIMEOUT"
