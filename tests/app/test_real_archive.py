"""The shipped recipe over the real archive, held against the answers of independent readers."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests.app.conftest import write_key
from tests.app.runs import assert_whole, command, medpipe, rows, tables_of
from tests.app.test_engines_equal import ENGINES, assert_same_computed
from tests.reference.answers import Answers, read_answers
from tests.reference.compare import compare, confirmed_kinds, table
from tests.reference.published import Published

pytestmark = [pytest.mark.slow, pytest.mark.data]

FILES = 1021

SHIPPED = ("whole-archive", "--privacy", "identified")


@pytest.fixture(scope="module")
def ended(data_root, tmp_path_factory) -> tuple[Path, Path, list[str], dict]:
    """Return the lake of one run over the archive, its home, its arguments and what it printed."""
    home = tmp_path_factory.mktemp("real")
    write_key(home)
    lake = home / "lake"
    arguments = command([data_root / "archive"], lake, *SHIPPED, *ENGINES["dask-2"], "--json")
    return lake, home, arguments, json.loads(medpipe(arguments, home, exit_code=2))


@pytest.fixture(scope="module")
def answers(data_root) -> Answers:
    return read_answers(data_root)


@pytest.fixture(scope="module")
def published(ended) -> Published:
    return Published(lake=ended[0])


def test_every_file_has_one_row(ended, answers):
    lake, _, _, told = ended
    found = Counter(row["path"] for row in rows(lake, "instances"))
    assert found == Counter(file["path"] for file in answers.files)
    assert found.total() == FILES == sum(told["files"].values())


def test_the_lake_is_what_independent_readers_say(answers, published):
    checks = compare(answers, published)
    told = table(checks)
    print(told)  # the report of this test
    assert not [check for check in checks if check.differs], told
    assert {check.kind for check in checks} >= set(confirmed_kinds(answers))


@pytest.mark.parametrize(
    ("fault", "field"),
    [("affine_lps", "corners, table"), ("verdict", "uneven or missing"), ("members", "members, positions")],
)
def test_the_comparison_sees_a_planted_fault(ended, answers, fault, field):
    planted = Published(lake=ended[0])
    series = next(key for key, row in planted.volumes.items() if row["kind"] == "series4d" and row["shape"][1] > 1)
    volume = planted.volumes[series]
    if fault == "members":
        # two slices of one time, with their pixels and all
        places = planted.members[series]
        places[0], places[1] = places[1], places[0]
    elif fault == "affine_lps":
        volume["affine_lps"][3] += 0.002
    else:
        volume["verdict"] = "uneven"
    differing = {check.field for check in compare(answers, planted) if check.differs}
    assert field in differing


def test_a_file_that_is_not_used_says_why(ended):
    lake = ended[0]
    silent = [row["path"] for row in rows(lake, "instances") if row["outcome"] != "used" and not row["code"]]
    objects = {row["path"] for row in rows(lake, "instances", outcome="catalogued")}
    assert set(silent) <= objects  # a structure set is catalogued because it was understood
    quarantined = {row["instance_key"] for row in rows(lake, "instances", outcome="quarantined")}
    assert quarantined <= {row["subject"] for row in rows(lake, "quarantine")}


def test_every_confirmed_stack_has_the_right_voxels_and_affine(ended, data_root):
    tool = data_root.parent / "tools" / "compare_volumes.py"
    if not tool.is_file():
        pytest.skip(f"the comparison is not beside the data, at {tool}")
    done = subprocess.run(
        [sys.executable, tool, ended[0], data_root / "expected.json", "archive"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1] == "159 of 159 stacks right"


@pytest.mark.parametrize("modality", ["CT", "MR", "PT"])
def test_every_stage_has_results_for(ended, modality):
    lake = ended[0]
    keys = {row["volume_key"] for row in rows(lake, "volumes", modality=modality) if row["store"]}
    for name in ("regions", "features", "scores"):
        found = [row for row in rows(lake, name) if row["volume_key"] in keys]
        assert found, name
    regions = Counter(row["name"] for row in rows(lake, "regions") if row["volume_key"] in keys)
    assert regions["body"] > 0
    assert regions["gtv"] >= 2  # drawn by hand, for both patients
    assert {row["status"] for row in rows(lake, "features") if row["volume_key"] in keys} >= {"ok"}
    assert {row["status"] for row in rows(lake, "scores") if row["volume_key"] in keys} >= {"ok"}


def test_what_was_measured_on_crooked_stacks_says_so(ended):
    lake = ended[0]
    doubts = {"W_TILTED", "W_UNEVEN", "E_GAP"}
    flags = {row["volume_key"]: doubts & set(row["flags"]) for row in rows(lake, "volumes")}
    measured = [row for row in rows(lake, "features") if flags[row["volume_key"]]]
    assert measured
    assert {row["status"] for row in measured} <= {"flagged", "empty"}
    assert all(row["code"] in flags[row["volume_key"]] | {"SMALL_ROI", "W_UNEVEN", "E_GRID"} for row in measured)


def test_everything_published_is_whole(ended):
    assert_whole(ended[0])


def test_the_serial_engine_gives_the_same_bytes(ended, data_root, tmp_path):
    lake, home, _, _ = ended
    serial = tmp_path / "serial"
    medpipe(command([data_root / "archive"], serial, *SHIPPED, *ENGINES["serial"]), home, exit_code=2)
    assert_whole(serial)
    assert_same_computed(serial, lake)
    assert len({path.split("/")[0] for path in tables_of(serial)}) == 12


def test_a_second_run_has_nothing_to_do(ended):
    lake, home, arguments, first = ended
    before = sorted(path for path in (lake / "objects").rglob("*"))
    again = json.loads(medpipe(arguments, home, exit_code=2))
    assert again["run"] == "none was needed"
    assert again["note"].startswith("nothing to do")
    assert again["cases"]["executed"] == 0
    assert {name: again[name] for name in ("files", "volumes", "reasons", "snapshot", "tables")} == {
        name: first[name] for name in ("files", "volumes", "reasons", "snapshot", "tables")
    }
    assert sorted(path for path in (lake / "objects").rglob("*")) == before
