"""Streams that fail: what was asked for goes on without a log, and stops where an answer is lost."""

from __future__ import annotations

import shlex
import subprocess
from pathlib import Path

import pytest

from tests.cli.commands import MEDPIPE, environment

FULL = Path("/dev/full")
LOST = "medpipe: the answer cannot be written to standard output (No space left on device)\n"

pytestmark = pytest.mark.skipif(not FULL.exists(), reason="needs a device that is always full")


def in_shell(streams, *words, home):
    """Run a command whose streams the shell redirects."""
    text = f"exec {shlex.join([*MEDPIPE, *map(str, words)])} {streams}"
    # buffered, as where nobody has asked otherwise
    environ = {name: value for name, value in environment(home).items() if name != "PYTHONUNBUFFERED"}
    return subprocess.run(
        ["/bin/sh", "-c", text], env=environ, capture_output=True, text=True, timeout=120, check=False
    )


@pytest.mark.parametrize("streams", ["2>/dev/full", "2>&-", "<&- 2>&-"])
def test_work_goes_on_where_its_log_cannot_be_written(streams, archive, home, tmp_path):
    done = in_shell(streams, "scan", archive, "--lake", tmp_path / "lake", "--json", home=home)
    assert done.returncode == 0
    assert done.stdout.startswith("{")


@pytest.mark.parametrize(
    "words", [["status", "{lake}"], ["query", "{lake}", "SELECT range FROM range(9999)"], ["status", "--help"]]
)
def test_an_answer_that_is_lost_is_one_line_and_exit_code_4(words, lake, home):
    done = in_shell(">/dev/full", *(word.format(lake=lake) for word in words), home=home)
    assert (done.returncode, done.stderr) == (4, LOST)


def test_the_exit_code_is_the_same_where_nothing_can_be_said(lake, home, tmp_path):
    assert in_shell(">/dev/full 2>/dev/full", "status", lake, home=home).returncode == 4
    assert in_shell("2>/dev/full", "status", tmp_path, home=home).returncode == 5
    assert in_shell(">&-", "status", lake, home=home).returncode == 0


def test_a_file_is_never_opened_in_the_place_of_a_closed_stream(home, tmp_path):
    """What a library prints would be in it."""
    code = (
        "import os; from medpipe.cli import main; "
        "main.run = lambda _: os.open('own', os.O_CREAT | os.O_WRONLY) < 3; main.main()"
    )
    words = shlex.join([MEDPIPE[0], "-P", "-c", code])
    command = ["/bin/sh", "-c", f"exec {words} <&- >&- 2>&-"]
    done = subprocess.run(command, env=environment(home), cwd=tmp_path, check=False)
    assert done.returncode == 0
