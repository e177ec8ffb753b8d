"""Fixtures of whole runs: a phantom archive, benches to run it on, a home for keys."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from medpipe.app.run_report import RunReport
from medpipe.synth import make_archive
from tests.app.forks import Forks
from tests.app.runs import RECIPE, Bench
from tests.app.zygotes import lasting_zygotes

STUDIES = 2
SEED = 3


@pytest.fixture(scope="package", autouse=True)
def shared_zygotes() -> Iterator[None]:
    """Let the scans of this room's tests fork from one process."""
    with lasting_zygotes():
        yield


@pytest.fixture(scope="package")
def forks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Forks]:
    """Return the process that forks commands of the serial engine, to be killed or not."""
    with Forks(tmp_path_factory.mktemp("forks")) as forks:
        yield forks


@pytest.fixture(scope="session")
def phantoms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a phantom archive nobody changes: two studies, and files to be refused."""
    out = tmp_path_factory.mktemp("phantoms")
    make_archive(out, studies=STUDIES, seed=SEED)
    return out / "archive"


@pytest.fixture(scope="session")
def small_recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a recipe with every kind of product."""
    path = tmp_path_factory.mktemp("recipe") / "small.toml"
    path.write_text(RECIPE, encoding="utf-8")
    return path


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Return a new folder for the key of commands, so that none is made in the user's home."""
    folder = tmp_path / "home"
    folder.mkdir()
    return folder


@pytest.fixture
def bench(phantoms: Path, small_recipe: Path, tmp_path: Path, home: Path) -> Bench:
    """Return a copy of the phantom archive that may be changed, and a lake that does not exist yet."""
    return make_bench(phantoms, small_recipe, tmp_path, home)


@pytest.fixture(scope="session")
def once(phantoms: Path, small_recipe: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Bench, RunReport, Path]:
    """Return a bench whose archive was run once, the report of that run, and a copy of all its files."""
    base = tmp_path_factory.mktemp("once")
    (base / "place" / "home").mkdir(parents=True)
    bench = make_bench(phantoms, small_recipe, base / "place", base / "place" / "home")
    report = bench.run()
    shutil.copytree(base / "place", base / "copy", symlinks=True)
    return bench, report, base / "copy"


@pytest.fixture
def ran(once: tuple[Bench, RunReport, Path]) -> tuple[Bench, RunReport]:
    """Return that bench as it was, always at one path: an archive at another path is another source."""
    bench, report, copy = once
    shutil.rmtree(bench.lake.parent)
    shutil.copytree(copy, bench.lake.parent, symlinks=True)
    return bench, report


def make_bench(phantoms: Path, recipe: Path, folder: Path, home: Path) -> Bench:
    """Copy what may be changed into a folder."""
    shutil.copytree(phantoms, folder / "archive")
    own = folder / "small.toml"
    shutil.copy(recipe, own)
    return Bench(archive=folder / "archive", lake=folder / "lake", key=write_key(home), recipe=own)


def write_key(home: Path) -> Path:
    """Write the key a command with this home would use."""
    path = home / "medpipe" / "key"
    path.parent.mkdir(parents=True)
    path.touch(mode=0o600)
    path.write_text("5e" * 32 + "\n", encoding="ascii")
    return path
