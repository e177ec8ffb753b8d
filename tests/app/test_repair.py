"""What a run makes good again after somebody removed a part of the lake."""

from __future__ import annotations

import shutil
from collections import Counter
from dataclasses import replace

import pytest

from tests.app.conftest import make_bench
from tests.app.runs import assert_whole, computed, rows, tables_of, volumes_of

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def ran(phantoms, small_recipe, tmp_path_factory):
    """Return a bench whose archive was run once; nobody changes it."""
    folder = tmp_path_factory.mktemp("ran")
    (folder / "home").mkdir()
    bench = make_bench(phantoms, small_recipe, folder, folder / "home")
    bench.run()
    return bench


@pytest.fixture
def broken(ran, tmp_path):
    """Return a bench with a copy of that lake, to take something out of."""
    shutil.copytree(ran.lake, tmp_path / "lake", symlinks=True)
    return replace(ran, lake=tmp_path / "lake")


def remove(lake, pattern):
    paths = list(lake.glob(pattern))
    assert paths
    for path in paths:
        shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()


@pytest.mark.parametrize("column", ["store", "final_store"])
def test_a_volume_that_was_removed_is_stored_again_and_nothing_else_computed(broken, column):
    tables, volumes = tables_of(broken.lake), volumes_of(broken.lake)
    shutil.rmtree(broken.lake / rows(broken.lake, "volumes", modality="PT")[0][column])
    again = broken.run()
    assert again.executed == 1
    assert computed(broken.lake, again.run) == {"volume": 1}
    assert (tables_of(broken.lake), volumes_of(broken.lake)) == (tables, volumes)
    assert_whole(broken.lake)
    assert broken.run().run == ""


def test_results_whose_segments_were_removed_are_computed_again(broken):
    tables = tables_of(broken.lake)
    remove(broken.lake, "objects/segments/*")
    again = broken.run()
    assert again.executed == again.planned
    assert tables_of(broken.lake) == tables
    assert_whole(broken.lake)


def test_results_another_recipe_had_taken_over_are_computed_again(broken):
    other = broken.recipe_with({'name = "small"': 'name = "other"', "sigma_mm = 2.0": "sigma_mm = 3.0"})
    first_segments = list(broken.lake.glob("objects/segments/*"))
    broken.run(recipe=other)
    tables = tables_of(broken.lake)
    for folder in first_segments:
        shutil.rmtree(folder)
    again = broken.run(recipe=other)
    assert Counter(computed(broken.lake, again.run))["regions"] > 0
    assert tables_of(broken.lake) == tables


@pytest.mark.parametrize(
    "pattern", ["tables", "published/*/*-*", "published", "objects/snapshots/*", "objects/snapshots/ranges/*", "index"]
)
def test_what_is_derived_is_made_again_without_a_case(broken, pattern):
    tables = tables_of(broken.lake)
    remove(broken.lake, pattern)
    assert broken.run().executed == 0
    assert tables_of(broken.lake) == tables
    assert_whole(broken.lake)
    assert broken.run().run == ""
