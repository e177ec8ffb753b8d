from __future__ import annotations

import io
import os
import pty
import re
import select
import subprocess
import time

import pytest

from medpipe.cli import progress as module
from medpipe.cli.progress import LiveProgress, PlainProgress, make_progress
from tests.cli.commands import MEDPIPE, environment, medpipe


def test_plain_lines_tell_begin_and_end_of_a_stage():
    stream = io.StringIO()
    with PlainProgress(stream) as progress:
        progress.stage("scan", 3)
        progress.advance(2)
        progress.advance()
        progress.say("a fact")
        progress.stage("cases", None)
    first, fact, end, cases = stream.getvalue().splitlines()
    assert (first, fact, cases) == ("scan: 3 to do", "a fact", "cases")
    assert end.startswith("scan: 3 done in ")


def test_plain_lines_come_now_and_then_with_what_is_left(monkeypatch):
    monkeypatch.setattr(module, "EVERY_S", 0.0)
    stream = io.StringIO()
    with PlainProgress(stream) as progress:
        progress.stage("cases", 4)
        progress.advance()
        progress.advance()
    assert "cases: 2 of 4, about " in stream.getvalue()
    assert " s left" in stream.getvalue()


def test_what_is_left_is_not_told_by_the_time_processes_took_to_start(monkeypatch):
    monkeypatch.setattr(module, "EVERY_S", 0.0)
    stream = io.StringIO()
    with PlainProgress(stream) as progress:
        progress.stage("cases", 100)
        time.sleep(0.5)
        for _ in range(5):
            progress.advance()
    lines = stream.getvalue().splitlines()
    assert lines[1] == "cases: 1 of 100"
    assert lines[5] == "cases: 5 of 100, about 0 s left"


def test_plain_lines_are_few(monkeypatch):
    stream = io.StringIO()
    with PlainProgress(stream) as progress:
        progress.stage("cases", 10_000)
        for _ in range(10_000):
            progress.advance()
    assert len(stream.getvalue().splitlines()) == 2


def test_a_stream_that_is_no_terminal_gets_plain_lines():
    assert isinstance(make_progress(io.StringIO()), PlainProgress)


def test_work_goes_on_when_nobody_reads_its_progress(archive, home, tmp_path):
    command = [*MEDPIPE, "scan", str(archive), "--lake", str(tmp_path / "lake"), "--json"]
    with subprocess.Popen(command, env=environment(home), stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stderr.close()
        assert process.stdout.read().startswith(b"{")
        assert process.wait(60) == 0


def test_a_command_tells_its_progress_in_plain_lines_on_stderr(archive, home, tmp_path):
    ended = medpipe("scan", archive, "--lake", tmp_path / "lake", "--json", home=home)
    assert ended.code == 0
    assert ended.out.startswith("{")
    lines = ended.err.splitlines()
    assert lines[0].startswith("scan: ")
    assert lines[0].endswith(" to do")
    assert " done in " in lines[-1]
    assert "\x1b" not in ended.err


@pytest.fixture
def terminal():
    """Open a pseudo-terminal: (its program's end, a reader of all that is shown)."""
    ours, theirs = pty.openpty()

    def shown(process):
        text = b""
        limit_s = time.monotonic() + 60
        while time.monotonic() < limit_s:
            if select.select([ours], [], [], 0.1)[0]:
                text += os.read(ours, 65536)
            elif process.poll() is not None:
                break
        return text.decode()

    yield theirs, shown
    os.close(ours)
    os.close(theirs)


def test_a_terminal_gets_a_live_bar_with_count_and_eta(archive, home, tmp_path, terminal):
    theirs, shown = terminal
    command = [*MEDPIPE, "scan", str(archive), "--lake", str(tmp_path / "lake")]
    environ = {**environment(home), "TERM": "xterm", "COLUMNS": "100"}
    environ.pop("NO_COLOR")
    with subprocess.Popen(command, env=environ, stdout=subprocess.DEVNULL, stderr=theirs) as process:
        text = shown(process)
        assert process.wait(60) == 0
    assert "scan" in text
    assert "ETA" in text
    assert "\x1b[" in text
    assert re.search(r"(\d{3})/\1", text)


def test_a_live_bar_says_lines_as_they_are(terminal):
    theirs, shown = terminal
    with open(theirs, "w", closefd=False) as stream:
        progress = make_progress(stream)
        assert isinstance(progress, LiveProgress)
        with progress:
            progress.stage("scan", 2)
            progress.advance()
            progress.say("[bold]key[/bold] at /a/b")
    done = subprocess.Popen(["true"])
    text = shown(done)
    done.wait(10)
    assert "[bold]key[/bold] at /a/b" in text
