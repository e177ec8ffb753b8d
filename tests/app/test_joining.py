from __future__ import annotations

import os
import random
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from medpipe.app.index import Index
from medpipe.app.prepare import RunRequest
from medpipe.app.progress import Silent
from medpipe.app.run import run_archive
from medpipe.app.site import Site
from medpipe.errors import StoppedError
from medpipe.ranges import all_ranges
from tests.app.conftest import write_key
from tests.app.runs import RECIPE, rows
from tests.app.scanning import WHOLE, Place, content_of, image, structure_set
from tests.archive.conftest import uid

LABELS = ("one", "two", "six")


@pytest.fixture
def place(tmp_path: Path, home: Path) -> Place:
    """Return an empty archive, and a lake that is not there yet."""
    (tmp_path / "archive").mkdir()
    return Place(archive=tmp_path / "archive", lake=tmp_path / "lake", key=write_key(home))


@pytest.fixture
def other(place: Place) -> Place:
    """Return another archive for the same lake."""
    (place.archive.with_name("other")).mkdir()
    return replace(place, archive=place.archive.with_name("other"))


@pytest.fixture
def fine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cut keys so finely that a small archive has many ranges."""
    monkeypatch.setattr("medpipe.app.indexing.RANGE_INSTANCES", 2)


def fill(place: Place) -> None:
    """Write series, objects of their own studies and of others, copies, and images that claim to be one."""
    for study in ("s1", "s2", "s3"):
        place.put_series(study, slices=5)
    place.put_series("s1", "b", slices=2, StudyDate="20200215")
    place.put("s1/twin.dcm", image("s1", "a", 0, RescaleIntercept=5.0))
    place.put("s2/copy.dcm", image("s2", "a", 1))
    place.put("s2/broken.dcm", image("s2", "a", 2)[:-8])
    place.put("objects/1.dcm", structure_set("s1", of_study="s1"))
    place.put("objects/2.dcm", structure_set("plan", of_study="s2"))
    # drawn on what is nowhere: it goes with what shares its frame of reference
    place.put("objects/3.dcm", structure_set("s3", of_study="s3", of_series="missing"))
    place.put("objects/4.dcm", structure_set("s3", of_study="s1", of_series="b"))
    place.put("readme.txt", b"no image")


def facts(index: Index) -> dict[str, Any]:
    """Return what an index says without where its files lie."""
    locators = {
        key: (
            [[one["digests"][path], frame] for path, frame in one["stack"]["members"]],
            [one["digests"][path] for path in one["companions"]],
            {name: one["stack"][name] for name in one["stack"] if name != "members"},
        )
        for key, one in index.locators.items()
    }
    # of copies in several archives one is counted, of those in one archive each
    series = [{**row, "source": "", "n_instances": 0} for row in index.series]
    tables = {"series": series, "volumes": index.volumes}
    members = [(row["volume_key"], row["index"], row["frame"]) for row in index.members]
    taken = {row["instance_key"] for row in index.instances if row["outcome"] == "used"}
    assert {row["instance_key"] for row in index.members} >= taken
    ordered = {name: sorted(one, key=repr) for name, one in tables.items()}
    return {**ordered, "members": sorted(members), "locators": locators, "versions": index.versions}


def outcomes(place: Place) -> dict[str, list[tuple[str, str | None]]]:
    found: dict[str, list[tuple[str, str | None]]] = {}
    for row in place.index().load(WHOLE).instances:
        found.setdefault(row["source"], []).append((row["outcome"], row["code"]))
    return found


# what lies where ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "seed",
    [
        1,
        pytest.param(2, marks=pytest.mark.slow),
        pytest.param(3, marks=pytest.mark.slow),
        pytest.param(4, marks=pytest.mark.slow),
    ],
)
def test_an_archive_in_two_parts_has_the_volumes_and_companions_of_the_whole(place, other, fine, seed):
    fill(place)
    # so that of copies it does not matter which is read
    for file in place.archive.rglob("*"):
        os.utime(file, ns=(1, 1))
    whole = place.beside("whole")
    whole.scan()
    expected = facts(whole.index().load(WHOLE))
    drawn = random.Random(seed)
    for file in sorted(path for path in place.archive.rglob("*") if path.is_file()):
        name = file.relative_to(place.archive).as_posix()
        # images that claim to be one, and copies, are compared within an archive
        if name.startswith(("s1/a", "s1/twin")) or drawn.random() < 0.4:
            continue
        os.utime(other.put(name, file.read_bytes()), ns=(1, 1))
        if drawn.random() < 0.7:
            file.unlink()
    place.scan()
    other.scan()
    index = place.index()
    assert facts(index.load(WHOLE)) == expected
    pieces = [facts(index.load(one)) for one in all_ranges(4)]
    assert {key: one for piece in pieces for key, one in piece["locators"].items()} == expected["locators"]
    assert sorted((row for piece in pieces for row in piece["volumes"]), key=repr) == expected["volumes"]


def test_a_series_in_two_parts_is_one_volume_and_no_file_of_it_a_duplicate(place, other):
    for number, path in enumerate(place.put_series("s1", slices=6)):
        if number in {1, 4}:
            shutil.move(path, other.put(f"x/{path.name}", b""))
    place.scan()
    assert [row["code"] for row in place.index().load(WHOLE).volumes] == ["E_GAP"]
    other.scan()
    found = place.index().load(WHOLE)
    assert [(row["shape"], row["code"]) for row in found.volumes] == [([6, 4, 4], None)]
    assert {row["outcome"] for row in found.instances} == {"used"}
    (locator,) = found.locators.values()
    assert sorted(locator["roots"].values()) == sorted([str(place.archive), str(other.archive)])
    assert [path.rpartition("/")[2] for path, _ in locator["stack"]["members"]] == [f"{n}.dcm" for n in range(6)]


def test_the_archive_with_more_of_a_series_is_taken_and_of_equal_ones_the_later(place, other):
    place.put_series("s1", slices=4)
    other.put_series("s1", slices=3)
    place.put_series("s2", slices=3)
    other.put_series("s2", slices=3)
    place.scan()
    other.scan()
    (first, second) = (found.partition("-")[0] for found in place.index().generations)
    duplicate = ("duplicate", "S_OTHER_SOURCE")
    assert sorted(outcomes(place)[first], key=repr) == [duplicate] * 3 + [("used", None)] * 4
    assert sorted(outcomes(place)[second], key=repr) == [duplicate] * 3 + [("used", None)] * 3
    before = place.content(), place.index().state
    place.scan()
    assert (place.content(), place.index().state) == before
    by_root = {one["root"] for one in place.index().load(WHOLE).locators.values()}
    assert by_root == {str(place.archive), str(other.archive)}


@pytest.mark.parametrize(
    ("touched", "numbers", "code"),
    [
        # the same heads, so that only the times of change tell files apart
        ([], (0, 2, 4), None),
        ([2], (0, 2, 4), "W_PARTS"),
        ([2], (0, 2, 3), None),
        ([4], (0, 2, 4), None),
    ],
)
def test_images_of_two_archives_are_one_volume_without_a_flag_if_the_common_ones_are_the_same(
    place, other, touched, numbers, code
):
    for path in place.put_series("s1", slices=4):
        os.utime(path, ns=(1, 1))
    for number in numbers:
        path = other.put(f"{number}.dcm", image("s1", "a", number))
        os.utime(path, ns=(2, 2) if number in touched else (1, 1))
    for path in place.put_series("s2", slices=2):
        os.utime(path, ns=(1, 1))
    place.scan()
    other.scan()
    found = place.index().load(WHOLE)
    n_slices = len({*range(4), *numbers})
    assert sorted((row["shape"][0], row["code"], row["flags"]) for row in found.volumes) == [
        (2, None, []),
        (n_slices, code, [code] if code else []),
    ]
    codes = sorted(one["stack"]["code"] for one in found.locators.values())
    assert codes == ["", code or ""]


def test_other_images_in_a_third_archive_count_only_where_it_gives_some(place, other):
    third = replace(place, archive=place.archive.with_name("third"))
    for one, numbers, changed in ((place, range(4), 1), (other, (1, 2), 2), (third, (4,), 1)):
        for number in numbers:
            os.utime(one.put(f"{number}.dcm", image("s1", "a", number)), ns=(changed, changed))
        one.scan()
    (row,) = place.index().load(WHOLE).volumes
    assert (row["shape"][0], row["flags"]) == (5, [])
    os.utime(other.put("5.dcm", image("s1", "a", 5)), ns=(1, 1))
    other.scan()
    (row,) = place.index().load(WHOLE).volumes
    assert (row["shape"][0], row["flags"]) == (6, ["W_PARTS"])


def test_a_broken_copy_gives_way_to_a_sound_one(place, other):
    place.put_series("s1", slices=4)
    place.put("s1/a/1.dcm", image("s1", "a", 1)[:-8])
    other.put("1.dcm", image("s1", "a", 1))
    place.scan()
    other.scan()
    found = place.index().load(WHOLE)
    assert [(row["shape"], row["code"]) for row in found.volumes] == [([4, 4, 4], None)]
    assert sorted(row["code"] or "" for row in found.instances) == ["", "", "", "", "E_TRUNCATED"]


# when it changes ------------------------------------------------------------------------------


def test_a_range_that_is_another_has_another_digest_whatever_changed_in_either_archive(place, other, fine):
    fill(place)
    place.scan()
    other.put("objects/5.dcm", structure_set("s2", of_study="s2"))
    other.put_series("s4", slices=9)
    other.scan()

    def seen() -> tuple[str, dict[int, tuple[str, Any]]]:
        index = place.index()
        ranges = {one.number: (index.digest_of(one), content_of(index.load(one))) for one in all_ranges(3)}
        return index.state, ranges

    def changes(act: Any) -> int:
        """Do something and scan; return how many ranges are others by what they hold, and check their digests."""
        state, before = seen()
        act()
        place.scan(accept_deletions=True)
        other.scan(accept_deletions=True)
        again, after = seen()
        held = {one for one in before if before[one][1] != after[one][1]}
        told = {one for one in before if before[one][0] != after[one][0]}
        assert held <= told
        assert not held or again != state
        assert len(told) < len(before)
        return len(held)

    def touch() -> None:
        os.utime(place.archive / "s1/a/1.dcm", ns=(1, 1))
        os.utime(other.archive / "objects/5.dcm", ns=(1, 1))

    # the mask is read whole, so its content is known to be the same; of the image that is not
    assert changes(touch) == 1
    touched = seen()
    assert changes(touch) == 0
    assert seen() == touched
    # the same length, and no row of the archive it lies in tells it from what it was
    assert changes(lambda: other.put("objects/5.dcm", structure_set("s2", of_study="s2", label="two"))) == 1
    assert changes(lambda: other.put("5.dcm", image("s2", "a", 5))) == 1
    assert changes(lambda: other.put("5.dcm", image("s2", "a", 6))) == 1
    assert changes((other.archive / "objects/5.dcm").unlink) >= 1
    # the series a structure set was drawn on: it leaves what shares its frame of reference only
    missing = image("s3", "missing", 0, FrameOfReferenceUID=uid("frame", "else"), StudyInstanceUID=uid("study", "else"))
    assert changes(lambda: other.put("6.dcm", missing)) >= 2


# whole runs -----------------------------------------------------------------------------------


def test_masks_and_slices_in_another_archive_give_the_features_of_one(phantoms, tmp_path, home):
    # the mask was drawn on thinner slices, which are not there
    recipe = RECIPE.partition('[[route]]\nname = "pet"')[0].replace(
        'segmentation_objects",', 'segmentation_objects", resample = true,'
    )
    (tmp_path / "small.toml").write_text(recipe, encoding="utf-8")
    study = next(path.parent for path in sorted((phantoms / "pacs").glob("*/*/SER00020")))
    whole, one, two = (tmp_path / name for name in ("whole", "one", "two"))
    for name in ("SER00003", "SER00020"):
        shutil.copytree(study / name, whole / name)
    shutil.copytree(whole / "SER00003", one)
    shutil.copytree(whole / "SER00020", two)
    for file in sorted(one.iterdir())[::3]:
        shutil.move(file, two / f"slice-{file.name}")
    site = Site(engine="serial", workers=1, key_file=write_key(home))
    request = RunRequest(
        recipe=str(tmp_path / "small.toml"), archives=(whole,), lake=tmp_path / "lake-of-one", site=site
    )
    run_archive(request, Silent())
    expected = [rows(request.lake, name) for name in ("regions", "features")]
    assert {row["source"] for row in expected[0]} in ({"body", "seg"}, {"body", "rtstruct"})
    joined = replace(request, archives=(one, two), lake=tmp_path / "lake-of-two")
    run_archive(joined, Silent())
    assert [rows(joined.lake, name) for name in ("regions", "features")] == expected
    assert run_archive(joined, Silent()).run == ""
    # the archives were moved to one place: what is committed is kept, and the rest is read there
    moved = replace(joined, archives=(tmp_path / "moved",))
    shutil.copytree(whole, tmp_path / "moved")
    shutil.rmtree(one)
    shutil.rmtree(two)
    assert run_archive(moved, Silent()).executed == 0
    recipe = tmp_path / "small.toml"
    recipe.write_text(recipe.read_text().replace("soft_tissue", "lung"), encoding="utf-8")
    assert run_archive(moved, Silent()).executed == 1
    shutil.rmtree(tmp_path / "moved")
    (tmp_path / "moved").mkdir()
    shutil.copy(next((whole / "SER00003").iterdir()), tmp_path / "moved")
    recipe.write_text(recipe.read_text().replace("lung", "bone"), encoding="utf-8")
    with pytest.raises(StoppedError, match="medpipe forget takes out an archive"):
        run_archive(replace(moved, accept_deletions=True), Silent())
