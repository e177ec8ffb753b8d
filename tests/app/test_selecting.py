from __future__ import annotations

import random

import pytest

from medpipe.app.explain import explain_key
from medpipe.app.prepare import plan_run
from medpipe.app.progress import Silent
from medpipe.app.verify import verify_lake
from medpipe.errors import ConfigError
from tests.app.phantom import rows
from tests.app.reconstructions import ROUTE, SELECT, Place, write_series
from tests.cli.commands import write_key


@pytest.fixture
def place(tmp_path):
    return Place(folder=tmp_path, key=write_key(tmp_path / "home"))


@pytest.fixture
def archive(tmp_path):
    """Return a study of a thick soft, a thin sharp and a derived thin soft reconstruction."""
    folder = tmp_path / "archive"
    write_series(folder, "a", ConvolutionKernel="B30f", step_mm=5.0)
    write_series(folder, "b", ConvolutionKernel="B70f", step_mm=1.0)
    write_series(folder, "c", ConvolutionKernel="B31f", step_mm=1.5, ImageType=["DERIVED", "SECONDARY", "MPR"])
    return folder


def test_losers_have_a_row_with_the_chosen_one_and_what_decided(place, archive):
    report = place.run(archive)
    assert place.worked_on() == {"B30f 5"}
    volumes = place.volumes()
    winner = volumes["B30f 5"]
    assert (winner["code"], winner["chosen_instead"], winner["decided_by"]) == (None, None, None)
    for name, by in (("B70f 1", "soft_kernel"), ("B31f 1.5", "original")):
        row = volumes[name]
        assert (row["code"], row["flags"], row["store"]) == ("S_NOT_CHOSEN", ["S_NOT_CHOSEN"], None)
        assert (row["chosen_instead"], row["decided_by"]) == (winner["volume_key"], by)
    counts = report.published.snapshot.counts
    assert counts == {"planned": 3, "committed": 1, "quarantined": 0, "skipped": 2}
    fates = {(row["outcome"], row["code"]) for row in rows(place.lake, "instances")}
    assert fates == {("used", None), ("skipped", "S_NOT_CHOSEN")}
    assert verify_lake(place.lake)["damaged"] == []


def test_a_plan_counts_losers_and_tells_what_decided(place, archive):
    facts = plan_run(place.request(archive), Silent())
    assert facts["cases"] == {"all": 1, "to run": 1, "current": 0}
    assert facts["left out"] == {"S_NOT_CHOSEN": 2}
    assert facts["not chosen, by what decided (in the ranges looked at)"] == {"original": 1, "soft_kernel": 1}


def test_explain_holds_a_loser_against_the_chosen_one(place, archive):
    place.run(archive)
    volumes = place.volumes()
    told = explain_key(place.lake, volumes["B70f 1"]["volume_key"])["not chosen"]
    assert told["chosen instead"] == volumes["B30f 5"]["volume_key"]
    assert told["decided by"] == "soft_kernel"
    assert (told["this one"]["kernel_class"], told["the chosen one"]["kernel_class"]) == ("sharp", "soft")
    assert (told["this one"]["thickness_mm"], told["the chosen one"]["thickness_mm"]) == (1.0, 5.0)
    assert (told["this one"]["coverage_mm"], told["the chosen one"]["coverage_mm"]) == (4.0, 20.0)
    assert "not chosen" not in explain_key(place.lake, volumes["B30f 5"]["volume_key"])


def test_a_better_series_that_comes_later_takes_the_place_of_the_chosen_one(place, archive):
    place.run(archive)
    before = place.volumes()["B30f 5"]
    write_series(archive, "d", ConvolutionKernel="Br40d", step_mm=1.0)
    planned = plan_run(place.request(archive), Silent())
    assert planned["why they run"] == {"new": 1}
    assert planned["rows that leave the tables, by why"] == {"S_NOT_CHOSEN": 1}
    report = place.run(archive)
    assert report.executed == 1
    assert report.facts()["rows that left the tables, by why"] == {"S_NOT_CHOSEN": 1}
    assert place.worked_on() == {"Br40d 1"}
    after = place.volumes()
    assert (after["B30f 5"]["code"], after["B30f 5"]["decided_by"]) == ("S_NOT_CHOSEN", "thin")
    assert after["B30f 5"]["chosen_instead"] == after["Br40d 1"]["volume_key"]
    assert before["volume_key"] not in {row["volume_key"] for row in rows(place.lake, "cases")}

    again = plan_run(place.request(archive), Silent())
    assert again["cases"] == {"all": 1, "to run": 0, "current": 1}
    assert "rows that leave the tables, by why" not in again
    assert place.run(archive).run == ""

    for path in archive.glob("d-*"):
        path.unlink()
    back = place.run(archive, accept_deletions=True)
    assert back.executed == 0
    assert place.worked_on() == {"B30f 5"}


def test_a_choice_depends_on_no_order_path_or_archive(place, tmp_path):
    study = {"one": 1.0, "two": 1.0, "three": 1.0, "four": 1.0}
    chosen = set()
    for turn in range(2):
        own = Place(folder=tmp_path / str(turn), key=place.key)
        names = list(study)
        random.Random(turn).shuffle(names)
        for number, name in enumerate(names):
            # in two archives, under other names each time
            write_series(own.folder / f"archive {number % 2}" / str(number), name, ConvolutionKernel="B30f")
        own.run(own.folder / "archive 0", own.folder / "archive 1")
        (row,) = rows(own.lake, "cases")
        assert {other["decided_by"] for other in rows(own.lake, "volumes")} == {None, "key"}
        chosen.add(row["volume_key"])
    assert len(chosen) == 1


def test_selecting_over_what_ran_already_runs_nothing_and_takes_rows_out(place, archive):
    assert place.run(archive, recipe=f'name = "mine"\n{ROUTE}').executed == 3
    assert plan_run(place.request(archive), Silent())["changed in the recipe"] == ["select: new"]
    assert place.run(archive).executed == 0
    assert place.worked_on() == {"B30f 5"}


def test_one_per_patient_looks_at_all_studies_and_follows_what_comes(place, tmp_path):
    folder = tmp_path / "archive"
    for study, step_mm in (("1", 2.0), ("2", 3.0), ("3", 4.0)):
        write_series(folder, f"anna {study}", study=study, step_mm=step_mm, ConvolutionKernel="B30f")
    write_series(folder, "berta", study="4", patient="BERTA", step_mm=5.0, ConvolutionKernel="B30f")
    recipe = SELECT.replace('"study"', '"patient"')
    place.run(folder, recipe=recipe)
    assert place.worked_on() == {"B30f 2", "B30f 5"}
    best = place.volumes()["B30f 2"]["volume_key"]
    assert {place.volumes()[name]["chosen_instead"] for name in ("B30f 3", "B30f 4")} == {best}
    assert explain_key(place.lake, place.volumes()["B30f 4"]["volume_key"])["not chosen"]["decided by"] == "thin"
    assert place.run(folder, recipe=recipe).run == ""

    write_series(folder, "anna 5", study="5", step_mm=1.0, ConvolutionKernel="B30f")
    assert place.run(folder, recipe=recipe).executed == 1
    assert place.worked_on() == {"B30f 1", "B30f 5"}
    assert verify_lake(place.lake)["damaged"] == []


def test_a_part_of_a_run_is_a_part_of_its_choices(place, archive):
    with pytest.raises(ConfigError, match="no volume that the recipe takes fits --only"):
        place.run(archive, only="thickness_mm < 2")
    report = place.run(archive, sample=1)
    assert report.published.left_out == {"S_NOT_CHOSEN": 2}
    assert place.worked_on() == {"B30f 5"}
    assert place.run(archive).executed == 0
