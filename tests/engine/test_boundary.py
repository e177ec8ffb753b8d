import errno
import os

import pytest

from medpipe.engine.boundary import refusal


@pytest.mark.parametrize(
    ("number", "remedy"),
    [(errno.ENOSPC, "make room"), (errno.EDQUOT, "make room"), (errno.EROFS, "have it mounted for writing")],
)
def test_what_cannot_be_written_to_stops_the_run_and_says_what_helps(number, remedy):
    found = refusal(OSError(number, os.strerror(number)))
    assert (found["code"], found["error"]) == ("", "StoppedError")
    assert f"{remedy}, then give the same command again" in found["message"]
