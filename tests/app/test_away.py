"""Files that are gone and archives that are away: what is published stays, and no case is spent on them."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from medpipe.app.away import Away, path_token
from medpipe.app.prepare import RunRequest, plan_run
from medpipe.app.progress import Silent
from medpipe.app.run import run_archive
from medpipe.app.run_report import RunReport
from medpipe.app.site import Site
from medpipe.errors import StoppedError
from medpipe.plan.cases import Case, Work
from medpipe.recipe.lock import LockedRecipe
from tests.app.conftest import write_key
from tests.app.runs import rows, tables_of
from tests.app.scanning import Place
from tests.plan.planning import locked

RECIPE = """
name = "small"
[[route]]
name = "ct"
image = [ { op = "window", preset = "soft_tissue" } ]
regions = [ { op = "body", opening_mm = 0.0 } ]
features = [ { name = "lbp", op = "lbp", image = "final" } ]
"""
SERIES = 5
LOST_SERIES, LOST_FILES = 3, 9
"""Of one part of the archive: more than half of all files, so that their deletion is only proposed."""


@pytest.fixture
def place(tmp_path: Path, home: Path) -> Place:
    """Return an archive of two parts, and a lake that is not there yet."""
    place = Place(archive=tmp_path / "archive", lake=tmp_path / "lake", key=write_key(home))
    for study in ("stays/s1", "stays/s2"):
        place.put_series(study, slices=4)
    for study in ("goes/s3", "goes/s4", "goes/s5"):
        place.put_series(study, slices=3)
    (tmp_path / "small.toml").write_text(RECIPE)
    (tmp_path / "changed.toml").write_text(RECIPE.replace("soft_tissue", "lung"))
    return place


def request(place: Place, recipe: str = "small", *archives: Path, accept_deletions: bool = False) -> RunRequest:
    return RunRequest(
        recipe=str(place.lake.with_name(f"{recipe}.toml")),
        archives=archives or (place.archive,),
        lake=place.lake,
        site=Site(engine="serial", workers=1, key_file=place.key),
        accept_deletions=accept_deletions,
    )


def run(place: Place, recipe: str = "small", *archives: Path, accept_deletions: bool = False) -> RunReport:
    return run_archive(request(place, recipe, *archives, accept_deletions=accept_deletions), Silent())


def away(place: Place) -> Path:
    """Take a part of the archive out of its place; return where it is."""
    return (place.archive / "goes").rename(place.archive.with_name("away"))


def content(place: Place) -> tuple[dict[str, str], list[str]]:
    return tables_of(place.lake), sorted(path.name for path in (place.lake / "runs").iterdir())


# files that are proposed for deletion -----------------------------------------------------------


def test_a_new_recipe_waits_for_files_that_are_gone_and_leaves_the_tables(place):
    assert run(place).executed == SERIES
    before, lost = content(place), away(place)
    with pytest.raises(StoppedError) as stopped:
        run(place, "changed")
    said = f"archive {place.archive}: {LOST_FILES} files are gone that {LOST_SERIES} cases would read"
    assert said in str(stopped.value)
    assert "give --accept-deletions" in str(stopped.value)
    assert content(place) == before
    assert plan_run(request(place, "changed"), Silent())["cases that wait for files that are gone"] == LOST_SERIES
    lost.rename(place.archive / "goes")
    assert run(place, "changed").executed == SERIES
    assert {row["outcome"] for row in rows(place.lake, "cases")} == {"done"}


def test_a_new_recipe_goes_on_without_files_whose_deletion_is_accepted(place):
    run(place)
    away(place)
    again = run(place, "changed", accept_deletions=True)
    left = SERIES - LOST_SERIES
    assert (again.executed, again.planned, again.exit_code()) == (left, left, 0)


def test_the_same_recipe_goes_on_with_what_is_new_and_keeps_the_rows_of_what_is_gone(place):
    run(place)
    before = rows(place.lake, "volumes")
    away(place)
    place.put_series("stays/new")
    again = run(place)
    assert (again.executed, again.planned, again.exit_code()) == (1, SERIES + 1, 0)
    assert again.proposed_deletions == LOST_FILES
    after = rows(place.lake, "volumes")
    assert len(after) == len(before) + 1
    assert [row for row in after if row in before] == before


@pytest.mark.slow
def test_a_new_recipe_goes_on_with_a_part_that_is_there(place):
    run(place)
    away(place)
    part = run_archive(replace(request(place, "changed"), only="shape[1] = 4"), Silent())
    assert (part.executed, part.exit_code()) == (SERIES - LOST_SERIES, 0)


# archives that the command does not name --------------------------------------------------------


@pytest.fixture
def two(place: Place) -> tuple[Place, Path, Path]:
    """Return the place with its parts as two archives of one lake, and these."""
    one, other = place.archive / "stays", place.archive / "goes"
    assert run(place, "small", one, other).executed == SERIES
    return place, one, other


@pytest.mark.parametrize("how", ["away", "empty", pytest.param("closed", marks=pytest.mark.slow)])
def test_an_archive_that_cases_read_must_be_there_though_the_command_does_not_name_it(two, how):
    place, one, other = two
    before = content(place)
    lost = away(place)
    if how == "empty":
        other.mkdir()
    if how == "closed":
        other.symlink_to("nowhere")
    with pytest.raises(StoppedError) as stopped:
        run(place, "changed", one)
    said = "empty" if how == "empty" else "away"
    assert f"archive {other} is {said}, but held {LOST_FILES} files before" in str(stopped.value)
    assert "medpipe forget" in str(stopped.value)
    assert content(place) == before
    assert run(place, "small", one).run == ""  # no case reads it
    if how == "empty":
        other.rmdir()
    if how == "closed":
        other.unlink()
    lost.rename(other)
    assert run(place, "changed", one).executed == SERIES


def test_an_archive_that_lost_most_of_its_files_stops_cases_though_the_command_does_not_name_it(two):
    place, one, other = two
    before = content(place)
    for study in ("s3", "s4"):
        shutil.rmtree(other / study)
    with pytest.raises(StoppedError) as stopped:
        run(place, "changed", one)
    assert f"archive {other}: 6 files are gone that 2 cases would read" in str(stopped.value)
    assert "name this archive in the command too, with --accept-deletions" in str(stopped.value)
    assert content(place) == before
    assert run(place, "changed", one, other, accept_deletions=True).executed == SERIES - 2


@pytest.mark.slow
def test_one_file_that_is_gone_from_an_archive_the_command_does_not_name_costs_its_case_alone(two):
    place, one, other = two
    (other / "s3" / "a" / "1.dcm").unlink()
    again = run(place, "changed", one)
    assert (again.executed, again.exit_code()) == (SERIES, 2)
    assert [row["code"] for row in rows(place.lake, "cases", outcome="rejected")] == ["E_VANISHED"]


# what a case reads ------------------------------------------------------------------------------


def case_of(route: str, **work: Any) -> Case:
    given = {"projected_bytes": 1, "content": None, "missing": (), "why": "new", "tries": 1, "conditions": ""}
    place = {"volume_key": "v", "series_key": "s", "source_version": "1", "numeric_class": "c"}
    return Case(key="k", route=route, work=Work(**{**given, **work}), **place)


@pytest.mark.parametrize(
    ("route", "lost", "waits"),
    [("ct", "image", True), ("ct", "mask", True), ("thick", "image", True), ("thick", "mask", False)],
)
def test_a_mask_that_is_gone_matters_to_who_looks_at_masks(route, lost, waits):
    lock: LockedRecipe = locked()
    locator = {"root": "/archive", "digests": {"image": "1", "mask": "2"}, "companions": ["mask"]}
    found = Away(None, lock, share=0.01, scanned={"/archive": {path_token(lost)}})
    found.look(case_of(route), locator)
    assert found.cases.total() == waits
