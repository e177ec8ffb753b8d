"""Whichever engine runs the cases, and with however many workers: the same bytes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.app.conftest import write_key
from tests.app.runs import assert_same, assert_whole, command, medpipe, rows, tables_of

ENGINES = {
    "serial": ("--engine", "serial"),
    "dask-1": ("--engine", "dask", "--workers", "1"),
    "dask-2": ("--engine", "dask", "--workers", "2"),
}
"""The real archive is run by these too, in ``test_real_archive.py``."""


def assert_engines_agree(folder: Path, archive: Path, recipe: str, *, engines: Sequence[str]) -> None:
    """Run an archive by engines into lakes of their own, and hold them against each other."""
    write_key(folder)
    for name in engines:
        medpipe(command([archive], folder / name, recipe, *ENGINES[name]), folder, exit_code=2)
        assert_whole(folder / name)
        assert_same_computed(folder / name, folder / engines[0])
    assert len({path.split("/")[0] for path in tables_of(folder / engines[0])}) == 12


def assert_same_computed(lake: Path, other: Path) -> None:
    """Hold two lakes against each other, and the classes their numbers were computed in."""
    one, two = ({row["numeric_class"] for row in rows(place, "cases")} for place in (lake, other))
    assert one == two
    assert_same(lake, other)


@pytest.mark.slow
def test_engines_agree_on_phantoms(phantoms, small_recipe, tmp_path):
    assert_engines_agree(tmp_path, phantoms, str(small_recipe), engines=("serial", "dask-2"))


@pytest.mark.slow
def test_engines_agree_on_phantoms_by_the_shipped_recipe(phantoms, tmp_path):
    assert_engines_agree(tmp_path, phantoms, "whole-archive", engines=("serial", "dask-1"))
