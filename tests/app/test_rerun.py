"""What a second run computes: only what has changed, and what stands on it."""

from __future__ import annotations

import os
import shutil
import signal
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pydicom
import pytest
from pydicom.uid import DeflatedExplicitVRLittleEndian, RLELossless

from medpipe.app.models import put_package
from medpipe.app.progress import Silent
from medpipe.app.reading import Reader
from medpipe.app.run import begin_run
from medpipe.archive.header import Header
from medpipe.errors import StoppedError
from medpipe.lake.lake import Lake
from medpipe.models.package import Package
from medpipe.models.resolve import read_shipped, shipped
from tests.app.conftest import write_key
from tests.app.forks import Job, run_jobs
from tests.app.runs import (
    assert_same,
    assert_whole,
    command,
    computed,
    medpipe,
    rows,
    tables_of,
    volumes_of,
)

CASES = 12


@pytest.fixture
def first(ran):
    """Return a bench whose archive was run once."""
    bench, report = ran
    assert report.executed == report.planned == CASES
    assert computed(bench.lake, report.run) == {"volume": 12, "regions": 10, "features": 18, "scores": 2}
    return bench


def series(archive: Path, modality: str) -> list[Path]:
    """Return the files of one series of a modality, in the order of its slices."""
    found: dict[str, list[tuple[float, Path]]] = {}
    for path in archive.rglob("*"):
        if path.is_file() and path.parent.name != "incoming":
            header = pydicom.dcmread(path, stop_before_pixels=True)
            if header.Modality == modality:
                place = float(header.get("SliceLocation", header.get("ImagePositionPatient", [0, 0, 0])[2]))
                found.setdefault(header.SeriesInstanceUID, []).append((place, path))
    return [path for _, path in sorted(found[min(found)])]


def unchanged(lake: Path, before: dict[str, str], *but: str) -> bool:
    """Tell whether all tables but those named are the bytes they were."""
    after = tables_of(lake)
    return {name for name in before | after if before.get(name) != after.get(name)} <= {
        name for name in before | after if name.split("/")[0] in but
    }


# nothing new ------------------------------------------------------------------------------------


def test_a_second_run_executes_nothing_and_says_so(phantoms, small_recipe, home, tmp_path):
    write_key(home)
    arguments = command([phantoms], tmp_path / "lake", small_recipe, "--engine", "serial")
    assert "nothing to do" not in medpipe(arguments, home, exit_code=2)
    before = sorted((tmp_path / "lake").rglob("*"))
    told = " ".join(medpipe(arguments, home, exit_code=2).split())
    assert "run none was needed" in told
    assert "executed 0 committed 12" in told
    assert "note nothing to do: everything was committed and published before" in told
    assert sorted((tmp_path / "lake").rglob("*")) == before


def test_a_touched_file_is_decoded_and_changes_nothing(first):
    before, volumes = tables_of(first.lake), volumes_of(first.lake)
    for path in series(first.archive, "PT")[0].parent.iterdir():
        os.utime(path, (1_000_000_000, 1_000_000_000))
    again = first.run()
    assert again.executed == 1
    assert volumes_of(first.lake) == volumes
    assert unchanged(first.lake, before, *before.keys() - {"cases", "runs"})
    assert first.run().executed == 0


@pytest.mark.slow
def test_a_moved_series_changes_where_its_files_are_and_nothing_else(first):
    before, volumes = tables_of(first.lake), volumes_of(first.lake)
    series(first.archive, "PT")[0].parent.rename(first.archive / "moved")
    again = first.run()
    assert again.executed == 0
    assert again.run  # the keys of files hold their paths, so there is something to publish
    assert unchanged(first.lake, before, "instances", "members")
    assert tables_of(first.lake) != before
    assert volumes_of(first.lake) == volumes


# changed files ----------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("syntax", [RLELossless, DeflatedExplicitVRLittleEndian])
def test_a_reencoded_series_is_decoded_and_nothing_computed(first, syntax):
    before, volumes = tables_of(first.lake), volumes_of(first.lake)
    for path in series(first.archive, "PT"):
        image = pydicom.dcmread(path)
        if syntax is RLELossless:
            image.compress(syntax)
        image.file_meta.TransferSyntaxUID = syntax
        image.save_as(path, implicit_vr=False, little_endian=True)
    again = first.run()
    assert again.executed == 1
    assert computed(first.lake, again.run) == {}
    assert unchanged(first.lake, before, "instances")
    assert {row["transfer_syntax"] for row in rows(first.lake, "instances", modality="PT")} >= {syntax}
    assert volumes_of(first.lake) == volumes


def test_one_changed_voxel_costs_its_volume_and_what_stands_on_it(first):
    before = {row["volume_key"]: row["content_digest"] for row in rows(first.lake, "volumes")}
    change_voxel(series(first.archive, "PT")[12])
    again = first.run()
    assert again.executed == 1
    assert computed(first.lake, again.run) == {"volume": 1, "regions": 1, "features": 1, "scores": 1}
    after = {row["volume_key"]: row["content_digest"] for row in rows(first.lake, "volumes")}
    (changed,) = {key for key in before | after if before.get(key) != after.get(key)}
    assert [row["modality"] for row in rows(first.lake, "volumes", volume_key=changed)] == ["PT"]
    assert_whole(first.lake)


@pytest.mark.slow
def test_a_change_that_is_taken_back_costs_nothing(first):
    before = tables_of(first.lake)
    path = series(first.archive, "PT")[12]
    original, when = path.read_bytes(), path.stat().st_mtime_ns
    change_voxel(path)
    assert first.run().executed == 1
    path.write_bytes(original)
    os.utime(path, ns=(when, when))
    assert first.run().executed == 0
    assert tables_of(first.lake) == before


def change_voxel(path: Path) -> None:
    image = pydicom.dcmread(path)
    pixels = image.pixel_array.copy()
    pixels[10, 10] += 1
    image.PixelData = pixels.tobytes()
    image.save_as(path)


@pytest.mark.slow
def test_a_deleted_image_leaves_the_tables_and_nothing_is_computed(first):
    (path,) = series(first.archive, "DX")
    path.unlink()
    again = first.run()
    assert (again.executed, again.planned) == (0, CASES - 1)
    assert rows(first.lake, "volumes", modality="DX") == rows(first.lake, "series", modality="DX") == []


@pytest.mark.slow
def test_a_deleted_slice_costs_its_stack(first):
    series(first.archive, "PT")[12].unlink()
    again = first.run()
    assert (again.executed, again.planned) == (1, CASES)
    assert computed(first.lake, again.run) == {"volume": 1, "regions": 1, "features": 1, "scores": 1}
    assert Counter(row["verdict"] for row in rows(first.lake, "volumes", modality="PT")) == {
        "regular": 1,
        "missing_slices": 1,
    }


@pytest.mark.slow
def test_a_mask_that_comes_later_is_used_whatever_recipe_sees_it_first(bench, tmp_path):
    (mask,) = series(bench.archive, "SEG")
    shutil.move(mask, tmp_path / "mask")
    bench.run()
    shutil.move(tmp_path / "mask", mask)
    looks_at_masks = ', { op = "segmentation_objects", map = { nodule = "(?i)nodule" } }'
    blind = bench.recipe_with({'name = "small"': 'name = "blind"', looks_at_masks: ""})
    bench.run(recipe=blind)
    # the blind recipe has read the same files: what it did not look for must not count as not there
    assert bench.run().executed == 1
    fresh = replace(bench, lake=tmp_path / "fresh")
    fresh.run()
    assert_same(bench.lake, fresh.lake)


# changed recipes and models ---------------------------------------------------------------------


@pytest.mark.slow
def test_a_new_extraction_computes_only_itself(first):
    lbp = '{ name = "first", op = "ibsi", families = ["statistics"] },'
    recipe = first.recipe_with({lbp: lbp + '\n    { name = "shape", op = "ibsi", families = ["morphology"] },'})
    before = Counter(row["extraction"] for row in rows(first.lake, "features"))
    again = first.run(recipe=recipe)
    assert again.executed == 4
    assert computed(first.lake, again.run) == {"features": 8}  # for two sources of regions each
    after = Counter(row["extraction"] for row in rows(first.lake, "features"))
    assert after - before == {"shape": before["first"]}


@pytest.mark.slow
def test_a_new_extraction_that_a_model_does_not_name_changes_no_score(first):
    scores = rows(first.lake, "scores")
    radiomics = '{ name = "radiomics", op = "ibsi", resample_mm = [4, 4, 4], bins = 32 }'
    recipe = first.recipe_with({radiomics: radiomics + ', { name = "lbp", op = "lbp" }'})
    again = first.run(recipe=recipe)
    assert again.executed == 2
    assert computed(first.lake, again.run) == {"features": 2}
    assert rows(first.lake, "scores") == scores


def test_a_changed_model_scores_again_and_opens_no_file(first):
    lake = Lake.open(first.lake)
    (known,) = (read_shipped(found) for found in shipped() if found.name == "phantom-pet-noise")
    card = known.files["card.json"].replace(b'"description":"', b'"description":"Changed. ')
    changed = Package({**known.files, "card.json": card})
    assert changed.digest != known.digest
    put_package(lake, changed)
    away = first.archive.with_name("away")
    with begin_run(first.request(), Silent()) as active:
        assert active.totals.pending == 2
        first.archive.rename(away)
        assert active.run_shard(0) == {"done": 2}
        run = active.finish().run
    assert computed(first.lake, run) == {"scores": 2}
    assert {row["model_digest"] for row in rows(first.lake, "scores")} == {changed.digest}


@pytest.mark.slow
def test_two_recipes_in_one_lake_do_not_wipe_each_other(first):
    small = tables_of(first.lake, "small")
    other = first.recipe_with(
        {'name = "small"': 'name = "other"', 'families = ["statistics"]': 'families = ["morphology"]'}
    )
    report = first.run(recipe=other)
    assert computed(first.lake, report.run) == {"features": 8}  # all else is what the first recipe made
    assert tables_of(first.lake, "small") == small
    assert tables_of(first.lake) == tables_of(first.lake, "other") != small
    for recipe, name in ((first.recipe, "small"), (other, "other"), (first.recipe, "small")):
        assert first.run(recipe=recipe).executed == 0
        assert tables_of(first.lake) == tables_of(first.lake, name)  # readers see whose run was last
    assert tables_of(first.lake, "small") == small
    assert_whole(first.lake)


@pytest.mark.slow
def test_a_kill_before_readers_were_shown_the_new_tables_is_mended_by_the_same_command(first, forks):
    home = first.key.parent.parent
    recipe = first.recipe_with({'families = ["statistics"]': 'families = ["morphology"]'})
    arguments = command([first.archive], first.lake, recipe, "--engine", "serial", "--workers", "1")
    shown = (first.lake / "tables").resolve()
    assert run_jobs(forks, [Job(arguments=arguments, failpoint="tables.before_swap:1")], home) == [-signal.SIGKILL]
    assert (first.lake / "tables").resolve() == shown
    assert run_jobs(forks, [Job(arguments=arguments)], home) == [2]
    assert (first.lake / "tables").resolve() != shown
    assert tables_of(first.lake) == tables_of(first.lake, "small")


# archives that go -------------------------------------------------------------------------------


@pytest.mark.slow
def test_an_emptied_archive_stops_the_run_and_changes_nothing(first):
    before, volumes = tables_of(first.lake), volumes_of(first.lake)
    away = first.archive.with_name("away")
    first.archive.rename(away)
    first.archive.mkdir()
    with pytest.raises(StoppedError) as stopped:
        first.run()
    assert stopped.value.exit_code == 4
    assert "is it mounted?" in str(stopped.value)
    assert (tables_of(first.lake), volumes_of(first.lake)) == (before, volumes)
    first.archive.rmdir()
    away.rename(first.archive)
    assert first.run().run == ""
    assert tables_of(first.lake) == before


@pytest.mark.slow
def test_an_archive_that_goes_during_the_run_costs_no_case(bench):
    away = bench.archive.with_name("away")
    with begin_run(bench.request(), Silent()) as active:
        bench.archive.rename(away)
        with pytest.raises(StoppedError) as stopped:
            active.run_shard(0)
    assert stopped.value.exit_code == 4
    away.rename(bench.archive)
    again = bench.run()
    assert again.executed == CASES
    assert {row["outcome"] for row in rows(bench.lake, "cases")} == {"done"}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fault", "code"), [("vanished", "E_VANISHED"), ("changed", "E_CHANGED"), ("linked", "E_CHANGED")]
)
def test_a_file_that_was_away_for_one_run_is_read_by_the_next(bench, fault, code):
    path = series(bench.archive, "PT")[12]
    original = path.read_bytes()
    with begin_run(bench.request(), Silent()) as active:
        path.unlink()
        if fault == "changed":
            path.write_bytes(original[:-2] + b"\1\1")
        if fault == "linked":
            path.symlink_to("elsewhere")
        assert active.run_shard(0) == {"done": CASES - 1, "rejected": 1}
        assert active.finish().exit_code() == 2
    assert [row["code"] for row in rows(bench.lake, "cases", outcome="rejected")] == [code]
    assert code in {row["code"] for row in rows(bench.lake, "quarantine", severity="error")}
    path.unlink(missing_ok=True)
    path.write_bytes(original)
    assert bench.run().executed == 1
    assert {row["outcome"] for row in rows(bench.lake, "cases")} == {"done"}
    assert bench.run().run == ""


@pytest.mark.slow
def test_a_mask_that_was_away_for_one_run_is_read_by_the_next(bench, tmp_path):
    (mask,) = series(bench.archive, "SEG")
    with begin_run(bench.request(), Silent()) as active:
        mask.rename(tmp_path / "mask")
        active.run_shard(0)
        (tmp_path / "mask").rename(mask)
        active.finish()
    away = rows(bench.lake, "cases", outcome="rejected")
    assert {row["code"] for row in away} == {"E_VANISHED"}
    assert bench.run().executed == len(away) > 0
    fresh = replace(bench, lake=tmp_path / "fresh")
    fresh.run()
    assert_same(bench.lake, fresh.lake)


# several archives -------------------------------------------------------------------------------


@pytest.fixture
def halves(bench):
    """Return the bench's archive cut in two, by its studies."""
    studies = sorted(path.parent for path in bench.archive.glob("pacs/*/ST*"))
    assert len(studies) == 2
    halves = [bench.archive.with_name(name) for name in ("one", "two")]
    for half, study in zip(halves, studies, strict=True):
        half.mkdir()
        study.rename(half / study.name)
    return halves


@pytest.mark.slow
def test_two_archives_in_one_lake_do_not_wipe_each_other(bench, halves):
    one, two = halves
    first = bench.run(archives=[one])
    second = bench.run(archives=[two])
    assert first.executed + second.executed == second.planned == CASES
    both = tables_of(bench.lake)
    assert {row["source"] for row in rows(bench.lake, "instances")} == {
        row["source"] for row in rows(bench.lake, "series")
    }
    assert len({row["source"] for row in rows(bench.lake, "series")}) == 2
    for archives in ([one], [two], [one, two], [two, one]):
        again = bench.run(archives=archives)
        assert (again.run, again.executed) == ("", 0)
    assert tables_of(bench.lake) == both


@pytest.mark.slow
def test_a_killed_scan_of_one_archive_does_not_stop_another(bench, halves, home, forks):
    one, two = halves
    lakes = {f"pointer.after_replace:{number}": bench.lake.with_name(f"lake-{number}") for number in (2, 3, 4)}
    jobs = [
        Job(
            arguments=command([archive], lake, bench.recipe, "--engine", "serial", "--workers", "1"),
            failpoint=failpoint,
        )
        for point, lake in lakes.items()
        for archive, failpoint in ((one, point), (two, ""), (one, ""))
    ]
    assert run_jobs(forks, jobs, home) == [-signal.SIGKILL, 0, 0] * len(lakes)
    for lake in lakes.values():
        assert len(rows(lake, "cases")) == CASES


# what is not lasting ----------------------------------------------------------------------------


@pytest.mark.slow
def test_a_file_that_could_not_be_opened_once_is_opened_again(bench, monkeypatch, tmp_path):
    path = series(bench.archive, "DX")[0].relative_to(bench.archive).as_posix()
    read = Reader.headers

    def refused(self, items):
        # as a scan finds it to which the storage says no
        for told in read(self, items):
            one = Header(path=path, size=told.size, version=told.version, code="E_UNREADABLE")
            yield one if told.path == path else told

    with monkeypatch.context() as storage:
        storage.setattr(Reader, "headers", refused)
        bench.run()
    assert len(rows(bench.lake, "instances", code="E_UNREADABLE")) == 1
    bench.run()
    assert rows(bench.lake, "instances", code="E_UNREADABLE") == []
    fresh = replace(bench, lake=tmp_path / "fresh")
    fresh.run()
    assert tables_of(bench.lake) == tables_of(fresh.lake)
