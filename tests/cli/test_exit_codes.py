from __future__ import annotations

import signal
import subprocess

import pytest

from medpipe.app.run_report import Published, RunReport
from medpipe.cli import main
from medpipe.cli.options import share
from medpipe.errors import ConfigError
from medpipe.lake.snapshot import Snapshot
from tests.cli.commands import MEDPIPE, environment


@pytest.mark.parametrize(
    "words",
    [
        ["nosuch"],
        ["run"],
        ["run", "x", "--lake", "y"],
        ["run", "x", "--lake", "y", "-r", "z", "--workers", "0"],
        ["run", "x", "--lake", "y", "-r", "z", "--workers", "two"],
        ["run", "x", "--lake", "y", "-r", "z", "--nosuch"],
        ["query", "x"],
        ["status", "x", "y"],
        ["status"],
        ["--nosuch"],
        ["synth", "x", "--studies", "0"],
        *(["gc", "x", "--grace", hours] for hours in ("inf", "nan", "1e300", "-1")),
        *(["watch", "x", "--lake", "y", "-r", "z", "--every", seconds] for seconds in ("inf", "nan", "1e300")),
        *(["watch", "x", "--lake", "y", "-r", "z", "--settle", seconds] for seconds in ("inf", "nan", "1e300")),
        *(["run", "x", "--lake", "y", "-r", "z", word, f"{10**30}"] for word in ("--limit", "--sample")),
        *(
            ["train", "x", "--labels", "l", "--target", "t", "--name", "n", "--region", "r", "--seed", seed]
            for seed in ("-1", f"{2**32}")
        ),
    ],
)
def test_wrong_usage_is_one_line_and_exit_code_5(words, capsys):
    assert main.run(words) == 5
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith("medpipe: ")
    assert shown.err.endswith("(medpipe --help)\n")
    assert shown.err.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["status", "{tmp}/nowhere"], "there is no lake at"),
        (["query", "{lake}", "SELEC"], "cannot be answered"),
        (["query", "{lake}", "SELECT * FROM nosuch"], "nosuch"),
        (["query", "{lake}", "DROP TABLE volumes"], "one query that reads"),
        (["query", "{lake}", "SELECT 1", "--recipe", "nosuch"], "no tables are published for recipe nosuch"),
        (["export", "{lake}", "nosuch", "-o", "{tmp}/x.csv"], "there is no table"),
        (["export", "{lake}", "series", "-o", "{tmp}/x.doc"], "must end in .csv, .xlsx, .parquet"),
        (["export", "{lake}", "series", "-o", "{tmp}/no/x.csv"], "make it first"),
        (["explain", "{lake}", "zz"], "is no key"),
        (["explain", "{lake}", "0" * 32], "has this key"),
        (["recipe", "nosuch"], "not shipped"),
        (["recipe", "import"], "import FILE"),
        (["recipe", "import", "{tmp}/no.yaml"], "no.yaml: cannot be read"),
        (["recipe", "whole-archive", "{tmp}/no.yaml"], "named alone"),
        (["run", "{tmp}", "--lake", "{tmp}/l", "-r", "whole-archive", "--engine", "ray"], "engine"),
        (["run", "{tmp}", "--lake", "{tmp}/l", "-r", "whole-archive", "--allow-quarantined", "few"], "no share"),
        (["run", "{tmp}", "--lake", "{tmp}/l", "-r", "whole-archive", "--workers", f"{10**30}"], "workers"),
        (["train", "{lake}", "--labels", "{tmp}/l.csv", "--target", "t", "--name", "n", "--region", "r"], "labels"),
    ],
)
def test_a_refusal_is_one_line_and_exit_code_5(words, said, lake, home, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(home))
    before = sorted(tmp_path.rglob("*"))
    assert main.run([word.format(tmp=tmp_path, lake=lake) for word in words]) == 5
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith("medpipe: ")
    assert said in shown.err
    assert shown.err.count("\n") == 1
    assert sorted(tmp_path.rglob("*")) == before


def test_a_bug_names_its_type_and_place_and_not_its_text(monkeypatch, capsys):
    def break_down(_root):
        raise ValueError("DOE^JANE")

    monkeypatch.setattr("medpipe.app.status.lake_status", break_down)
    assert main.run(["status", "x"]) == 1
    shown = capsys.readouterr()
    assert shown.err.startswith("medpipe: a bug: ValueError at test_exit_codes.py:")
    assert "DOE" not in shown.err
    monkeypatch.setenv("MEDPIPE_TRACEBACK", "1")
    assert main.run(["status", "x"]) == 1
    assert "DOE^JANE" in capsys.readouterr().err


def test_an_interrupt_is_one_line_and_exit_code_4(monkeypatch, capsys):
    def interrupt(_root):
        raise KeyboardInterrupt

    monkeypatch.setattr("medpipe.app.status.lake_status", interrupt)
    assert main.run(["status", "x"]) == 4
    assert capsys.readouterr().err == "medpipe: interrupted; the same command resumes\n"


@pytest.mark.parametrize(
    ("bad", "allowed", "code"), [(0, 0.0, 0), (1, 0.0, 2), (2, 0.02, 0), (3, 0.02, 2), (100, 1.0, 0)]
)
def test_quarantined_subjects_beyond_the_allowed_share_are_exit_code_2(bad, allowed, code, tmp_path):
    snapshot = Snapshot.__new__(Snapshot)
    published = Published(
        snapshot=snapshot, tables=tmp_path, outcomes={}, modalities={}, codes={}, subjects=100, bad_subjects=bad
    )
    report = RunReport(run="", recipe="", lake=tmp_path, executed=0, seconds=0.0, published=published)
    assert report.exit_code(allowed) == code


@pytest.mark.parametrize(("text", "value"), [("2%", 0.02), ("0.02", 0.02), ("0", 0.0), ("100%", 1.0)])
def test_a_share_is_written_as_percent_or_fraction(text, value):
    assert share(text) == value


@pytest.mark.parametrize("text", ["", "%", "few", "-1%", "101%", "1.5", "nan"])
def test_what_is_no_share_is_refused(text):
    with pytest.raises(ConfigError, match="--allow-quarantined"):
        share(text)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_scan_that_is_stopped_from_outside_exits_with_4_and_one_line(number, archive, home, tmp_path):
    command = [*MEDPIPE, "scan", str(archive), "--lake", str(tmp_path / "lake")]
    with subprocess.Popen(command, env=environment(home), stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        while not process.stderr.readline().startswith("scan: "):
            assert process.poll() is None
        process.send_signal(number)
        said = process.stderr.read()
    assert process.returncode == 4
    assert said == "medpipe: interrupted; the same command resumes\n"
