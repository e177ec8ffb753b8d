from __future__ import annotations

import os
import subprocess
import sys

import pytest

from medpipe.cli import archive, forget, lake, learn, main, reference, watch
from medpipe.cli.root import app
from tests.cli.commands import environment, medpipe

NAMES = sorted(command.callback.__name__ for command in app.registered_commands)
WORDS = {
    "scan": ("ARCHIVES", "--lake", "--site", "--privacy", "--workers", "--json"),
    "plan": ("ARCHIVES", "--lake", "--recipe", "--device", "--only", "--sample", "--limit", "--json"),
    "run": ("ARCHIVES", "--lake", "--recipe", "--only", "--sample", "--retry", "--allow-quarantined", "--json"),
    "watch": ("ARCHIVES", "--lake", "--recipe", "--every", "--settle", "--times"),
    "retry": ("LAKE", "--code", "--site", "--allow-quarantined", "--json"),
    "synth": ("OUT", "--studies", "--seed"),
    "demo": ("--out", "--studies", "--engine"),
    "forget": ("LAKE", "ARCHIVE", "--site", "--dry-run", "--json"),
    "status": ("LAKE", "--json"),
    "query": ("LAKE", "SQL", "--recipe", "--limit", "--json"),
    "export": ("LAKE", "TABLE", "--out", "--recipe"),
    "explain": ("LAKE", "KEY", "--column", "--json"),
    "gc": ("LAKE", "--site", "--grace", "--dry-run", "--json"),
    "rois": ("LAKE", "ARCHIVE", "--recipe", "--site", "--json"),
    "stability": ("LAKE", "--recipe", "--output", "--json"),
    "verify": ("LAKE", "--only", "--site", "--json"),
    "train": ("LAKE", "--labels", "--target", "--name", "--region", "--algorithm", "--key", "--json"),
    "models": ("LAKE", "--json"),
    "register": ("LAKE", "NETWORK", "--card", "--name", "--json"),
    "unregister": ("LAKE", "NAME", "--fit", "--json"),
    "fit": ("LAKE", "--recipe", "--extraction", "--name", "--kind", "--refit", "--json"),
    "fits": ("LAKE", "--json"),
    "ops": ("--json",),
    "schema": (),
    "recipe": ("NAME", "FILE", "--output", "--names", "--json"),
    "doctor": ("--json",),
}
HEAVY = (
    "numpy",
    "pydantic",
    "dask",
    "distributed",
    "prefect",
    "zarr",
    "pyarrow",
    "duckdb",
    "pydicom",
    "scipy",
    "sklearn",
    "numba",
    "cryptography",
)


def test_every_command_has_its_words_listed_here():
    assert {archive, forget, lake, learn, reference, watch}  # they register the commands
    assert sorted(WORDS) == NAMES


@pytest.mark.parametrize("name", sorted(WORDS))
def test_the_help_of_a_command_names_its_arguments(name, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    assert main.run([name, "--help"]) == 0
    shown = capsys.readouterr()
    assert all(word.lower() in shown.out.lower() for word in ("Usage", *WORDS[name]))
    assert shown.err == ""


def test_no_arguments_show_the_help_and_all_commands(tmp_path):
    ended = medpipe(home=tmp_path)
    assert (ended.code, ended.err) == (0, "")
    assert all(f" {name} " in ended.out for name in NAMES)
    assert ended.out == medpipe("--help", home=tmp_path).out


def test_the_help_tells_the_exit_codes(tmp_path):
    text = " ".join(medpipe("--help", home=tmp_path).out.split())
    assert "Exit codes: 0 all well, 2 complete with quarantined subjects, 3 integrity alarm, 4 stopped" in text


@pytest.mark.parametrize(
    ("arguments", "allowed"),
    # typer itself takes pydantic to check words, as soon as there are any
    [(["--help"], ""), (["run", "--help"], "pydantic"), (["nosuch"], "pydantic")],
)
def test_nothing_heavy_is_imported_to_show_help_or_refuse_a_word(arguments, allowed, tmp_path):
    code = (
        "import sys; from medpipe.cli.main import run; run(sys.argv[1].split()); "
        f"print('heavy:', *sorted(set({HEAVY!r}) & set(sys.modules) - {{{allowed!r}}}))"
    )
    done = subprocess.run(
        [sys.executable, "-P", "-c", code, " ".join(arguments)],
        env=environment(tmp_path),
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines()[-1] == "heavy:"


def test_the_help_is_there_in_half_a_second(tmp_path):
    def seconds():
        before = os.times()
        medpipe("--help", home=tmp_path)
        after = os.times()
        return after.children_user + after.children_system - before.children_user - before.children_system

    # processor time, so that a busy machine does not count
    assert min(seconds() for _ in range(3)) < 0.5
