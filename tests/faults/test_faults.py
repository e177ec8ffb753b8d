from __future__ import annotations

from collections import Counter

import pytest

from medpipe.app.prepare import RunRequest
from medpipe.app.progress import Silent
from medpipe.app.run import run_archive
from medpipe.app.site import Site
from medpipe.lake.lake import Lake
from medpipe.lake.query import read_table
from tests.cli.commands import write_key
from tests.faults.classes import FAULTS, clean
from tests.faults.verdicts import Found, judge

SEED = 7

RECIPE = """
name = "as-it-is"

[[route]]
name = "all"
where = { modality = ["CT", "MR", "PT"] }
keep = ["original"]
"""


def test_there_are_forty_classes_of_faults_beside_the_harmless():
    assert sum(not one.is_harmless for one in FAULTS.values()) >= 40
    assert sum(one.is_harmless for one in FAULTS.values()) >= 20


@pytest.mark.parametrize("name", sorted(FAULTS))
def test_a_fault_is_told_and_what_is_harmless_is_not(name):
    assert judge(FAULTS[name].instance(0, SEED)) == "right"


def test_no_sound_series_raises_an_alarm():
    assert Counter(judge(clean(number, SEED)) for number in range(60)) == {"right": 60}


@pytest.mark.slow
@pytest.mark.parametrize("most", [1, pytest.param(6, marks=pytest.mark.long)])
def test_no_instance_of_any_class_is_taken_without_a_word(most):
    for one in FAULTS.values():
        assert Counter(judge(one.instance(number, SEED)) for number in range(1, most + 1)) == {"right": most}, one.name


@pytest.mark.long
def test_at_most_one_sound_series_in_a_hundred_raises_an_alarm():
    counts = Counter(judge(clean(number, SEED)) for number in range(400))
    assert counts["right"] >= 396


@pytest.mark.parametrize(
    ("safeguard", "name"),
    [
        ("medpipe.archive.assemble.refusal_of", "a slope of the other sign in one slice"),
        ("medpipe.archive.assemble.refusal_of", "two patients in one series"),
        ("medpipe.archive.unreadable._rescale_code", "a slope of zero in all slices"),
        ("medpipe.archive.doubts._holds_more", "a row less than there is"),
        ("medpipe.archive.voxels._repeats", "a copy of the whole series under other UIDs and numbers"),
    ],
)
def test_a_safeguard_that_is_gone_is_missed(monkeypatch, safeguard, name):
    monkeypatch.setattr(safeguard, lambda *_: "")
    assert judge(FAULTS[name].instance(0, SEED)) == "silent"


def test_the_tables_of_a_run_say_what_is_wrong(tmp_path):
    names = {
        "gap": "two slices missing at two places",
        "tilt": "a slice missing of a tilted stack",
        "uneven": "one slice off its place along the normal",
        "echo": "two echoes, slice by slice in turn",
        "slope": "no slope in one slice",
        "frame": "a slope of zero in a frame",
        "padding": "declared padding",
        "map": "a real-world value map beside the rescale values",
        "bright": "low values shown bright in all slices",
        "copied": "a copy of the whole series under other UIDs and numbers",
    }
    archive, found = tmp_path / "archive", {}
    for place, (folder, name) in enumerate(names.items()):
        files = FAULTS[name].instance(place * 6, SEED).files
        found[folder] = Found(files)
        (archive / folder).mkdir(parents=True)
        for path, data in files.items():
            (archive / folder / path).write_bytes(data)
    (tmp_path / "recipe.toml").write_text(RECIPE)
    site = Site(engine="serial", workers=2, key_file=write_key(tmp_path / "home"), privacy="identified")
    request = RunRequest(recipe=str(tmp_path / "recipe.toml"), archives=(archive,), lake=tmp_path / "lake", site=site)
    run_archive(request, Silent())
    lake = Lake.open(tmp_path / "lake")
    instances = read_table(lake, "instances").to_pylist()
    folders = {row["series_key"]: row["path"].split("/")[0] for row in instances}
    volumes = {folders[row["series_key"]]: row for row in read_table(lake, "volumes").to_pylist()}

    for folder in ("gap", "tilt", "uneven", "echo", "padding", "map", "bright"):
        (stack,), row = found[folder].stacks, volumes[folder]
        assert (row["verdict"], row["code"], row["flags"]) == (stack.verdict, stack.code or None, list(stack.flags))
        assert row["n_missing"] == (len(stack.missing_mm) if stack.verdict != "uneven" else None)
        assert row["missing_mm"] == ([pytest.approx(place, abs=1e-4) for place in stack.missing_mm or ()] or None)
        assert row["tilt_deg"] == stack.tilt_deg
        assert row["padding"] == (None if stack.padding is None else list(stack.padding))
        assert (row["values"], row["real_world_map"], row["monochrome1"]) == (
            stack.values,
            stack.real_world_map,
            stack.monochrome1,
        )
        assert row["store"]
    assert volumes["gap"]["n_missing"] == 2
    assert volumes["tilt"]["flags"] == ["E_GAP", "W_TILTED"]
    assert (volumes["slope"]["verdict"], volumes["slope"]["code"]) == ("refused", "E_RESCALE")
    assert (volumes["copied"]["verdict"], volumes["copied"]["code"]) == ("refused", "E_AMBIGUOUS_4D")
    codes = {row["path"].split("/")[0]: row["code"] for row in instances if row["outcome"] == "quarantined"}
    assert codes["frame"] == "E_RESCALE"
