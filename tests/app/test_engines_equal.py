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


def assert_engines_agree(
    folder: Path, archive: Path, recipe: str, *options: str, engines: Sequence[str] = tuple(ENGINES)
) -> None:
    """Run an archive by every engine into lakes of their own, and hold them against each other."""
    write_key(folder)
    for name in engines:
        engine = ENGINES[name]
        medpipe(command([archive], folder / name, recipe, *engine, *options), folder, exit_code=2)
        assert_whole(folder / name)
        assert {row["numeric_class"] for row in rows(folder / name, "cases")} == {
            row["numeric_class"] for row in rows(folder / "serial", "cases")
        }
        assert_same(folder / name, folder / "serial")
    assert len({path.split("/")[0] for path in tables_of(folder / "serial")}) == 9


@pytest.mark.slow
def test_engines_agree_on_phantoms(phantoms, small_recipe, tmp_path):
    assert_engines_agree(tmp_path, phantoms, str(small_recipe))


@pytest.mark.slow
def test_engines_agree_on_phantoms_by_the_shipped_recipe(phantoms, tmp_path):
    assert_engines_agree(tmp_path, phantoms, "whole-archive", engines=("serial", "dask-1"))


@pytest.mark.slow
@pytest.mark.data
def test_engines_agree_on_the_real_archive(data_root, tmp_path):
    assert_engines_agree(
        tmp_path, data_root / "archive", "whole-archive", "--privacy", "identified", engines=("serial", "dask-2")
    )
