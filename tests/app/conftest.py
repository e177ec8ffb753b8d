"""Fixtures of whole runs: a phantom archive, benches to run it on, a home for keys."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from medpipe.synth import make_archive
from tests.app.runs import RECIPE, Bench

STUDIES = 2
SEED = 3


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
