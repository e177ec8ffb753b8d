import errno
import os

import pytest

from medpipe.engine import boundary
from medpipe.engine.boundary import answer, refusal
from medpipe.engine.frames import decode


@pytest.mark.parametrize(
    ("number", "remedy"),
    [(errno.ENOSPC, "make room"), (errno.EDQUOT, "make room"), (errno.EROFS, "have it mounted for writing")],
)
def test_what_cannot_be_written_to_stops_the_run_and_says_what_helps(number, remedy):
    found = refusal(OSError(number, os.strerror(number)))
    assert (found["code"], found["error"]) == ("", "StoppedError")
    assert f"{remedy}, then give the same command again" in found["message"]


class _Keeping:
    def __init__(self):
        self.done = []

    def make_room(self, kind, payload):
        self.done.append(("room", kind, payload["n"]))

    def call(self, kind, payload, mark):
        self.done.append(("call", kind, payload["n"]))
        return {}


def test_a_session_that_keeps_memory_makes_room_before_what_a_call_takes_is_measured(monkeypatch):
    session = _Keeping()
    monkeypatch.setattr(boundary, "_reset_peak", lambda: session.done.append("measure"))
    assert decode(answer(session, "case", {"n": 3}, lambda *_: None))["value"] == {}
    assert session.done == [("room", "case", 3), "measure", ("call", "case", 3)]


def test_what_making_room_raises_is_an_answer():
    assert decode(answer(_Keeping(), "case", {}, lambda *_: None))["code"] == "E_INTERNAL"
