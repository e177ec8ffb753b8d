from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
from dataclasses import replace

import pytest

from medpipe.app.prepare import RunRequest
from medpipe.app.progress import Silent
from medpipe.app.run import begin_run, run_archive
from medpipe.app.site import Site
from medpipe.app.status import BEGINNING, _pace, lake_status
from medpipe.app.verify import verify_lake
from medpipe.errors import LakeError
from medpipe.lake.lake import Lake
from medpipe.lake.segments import SegmentWriter, list_segments, read_segment
from tests.app.phantom import content, ct_slice, noise_archive, write
from tests.cli.commands import MEDPIPE, environment, medpipe, write_key

RECIPE = """
name = "mine"
[[route]]
name = "ct"
image = [ { op = "gaussian", sigma_mm = 2.0 } ]
regions = [ { op = "body", opening_mm = 0.0 } ]
features = [ { name = "lbp", op = "lbp" } ]
"""


@pytest.fixture
def place(tmp_path):
    noise_archive(tmp_path / "archive", series=8, slices=4)
    (tmp_path / "recipe.toml").write_text(RECIPE)
    write_key(tmp_path / "home")
    return tmp_path


@pytest.fixture
def request_(place):
    site = Site(engine="serial", workers=2, key_file=place / "home" / "medpipe" / "key")
    return RunRequest(recipe=str(place / "recipe.toml"), archives=(place / "archive",), lake=place / "lake", site=site)


def test_a_lake_in_which_nothing_ran_says_what_to_type(request_):
    with begin_run(request_, Silent()):
        pass
    lake = request_.lake.parent / "other"
    Lake.create(lake, privacy="pseudonymized", secret=_secret(request_))
    with pytest.raises(LakeError, match="nothing has run in this lake yet: medpipe run"):
        lake_status(lake)


def _secret(request):
    from medpipe.privacy.secret import load_secret

    return load_secret(request.site.key_file)


def test_a_run_is_told_step_by_step(request_):
    lake = request_.lake
    with begin_run(request_, Silent()) as active:
        facts = lake_status(lake)
        assert (facts["state"], facts["planned"], facts["ended"]) == ("running", 8, "0 of 8")
        assert facts["eta_s"] is None
        active.run_shard(0)
        facts = lake_status(lake)
        assert (facts["state"], facts["ended"], facts["outcomes"]) == ("running", "8 of 8", {"done": 8})
        assert facts["eta_s"] == 0.0
        active.finish()
    facts = lake_status(lake)
    assert facts["state"] == "finished"
    assert "now" not in facts
    assert facts["end"]["committed"] == 8


def test_a_driver_without_a_plan_is_told_as_beginning_and_not_as_the_run_before(request_):
    Lake.create(request_.lake, privacy="pseudonymized", secret=_secret(request_))
    lake = Lake.open(request_.lake)
    with lake.driver():
        assert lake_status(request_.lake) == {"run": None, "now": BEGINNING}
    with begin_run(request_, Silent()):
        pass  # left early: planned, never executed
    with lake.driver():
        facts = lake_status(request_.lake)
        assert facts["now"] == BEGINNING
        assert facts["state"].startswith("ended early")
    run_archive(request_, Silent())
    with lake.driver():
        facts = lake_status(request_.lake)
        assert (facts["state"], facts["now"]) == ("finished", BEGINNING)


@pytest.mark.parametrize(
    ("module", "point", "state"),
    [
        ("segments", "segment.before_seal", "ended early: the same"),
        ("segments", "segment.after_seal", "ended early: the same"),
        ("snapshot", "snapshot.before_range", "ended early: the same"),
        ("snapshot", "snapshot.before_run", "ended early: the same"),
        ("snapshot", "snapshot.after_run", "ended early, before its tables were published"),
        ("publication", "tables.before_publish", "ended early, before its tables were published"),
        ("publication", "tables.before_latest", "ended early, before its tables were published"),
        ("publication", "tables.before_swap", "ended early, before its tables were published"),
        ("publication", "tables.after_swap", "finished"),
    ],
)
def test_a_run_that_fell_is_told_as_far_as_it_came(request_, monkeypatch, module, point, state):
    def fall(name):
        if name == point:
            raise KeyboardInterrupt

    monkeypatch.setattr(f"medpipe.lake.{module}.hit", fall)
    with pytest.raises(KeyboardInterrupt):
        run_archive(request_, Silent())
    monkeypatch.undo()
    facts = lake_status(request_.lake)
    assert facts["state"].startswith(state)
    assert "eta_s" not in facts
    assert facts["ended"] == f"{sealed(request_.lake, facts['run'])} of 8"
    run_archive(request_, Silent())
    facts = lake_status(request_.lake)
    assert facts["state"] == "finished"


def sealed(root, run):
    """Return how many cases of a run are durable, by reading its segments."""
    lake = Lake.open(root)
    names = [name for name in list_segments(lake) if f"/{run}/" in name]
    return len({result.case.case_key for name in names for result in read_segment(lake, name)})


def test_tables_that_readers_do_not_find_are_not_told_as_published(request_):
    run_archive(request_, Silent())
    (request_.lake / "tables").unlink()
    assert lake_status(request_.lake)["state"].startswith("ended early, before its tables were published")


def test_a_folder_in_the_place_of_the_link_is_refused_before_anything_runs(request_):
    run_archive(request_, Silent())
    copied = request_.lake.with_name("copied")
    shutil.copytree(request_.lake, copied)  # follows links, as cp -rL does
    before = content(copied)
    moved = replace(request_, lake=copied)
    with pytest.raises(LakeError, match=r"tables is no link.*remove it"):
        run_archive(moved, Silent())
    assert content(copied) == before
    assert lake_status(copied)["readers have"] == "no tables"
    (damage,) = verify_lake(copied, only=["tables"])["damaged"]
    assert "remove it" in damage
    shutil.rmtree(copied / "tables")
    assert run_archive(moved, Silent()).run == ""
    assert (copied / "tables").is_symlink()


def test_what_readers_have_is_told_beside_a_newer_run_that_was_given_up(request_, place):
    with begin_run(request_, Silent()):
        assert lake_status(request_.lake)["readers have"] == "no tables"
    first = run_archive(request_, Silent())
    other = place / "other.toml"
    other.write_text(RECIPE.replace('name = "mine"', 'name = "other"').replace("2.0", "3.0"))
    with begin_run(replace(request_, recipe=str(other)), Silent()):
        pass  # left early
    assert run_archive(request_, Silent()).run == ""
    facts = lake_status(request_.lake)
    assert (facts["recipe"], facts["state"][:11]) == ("other", "ended early")
    assert facts["readers have"] == f"run {first.run} of recipe mine, complete"


def test_a_run_of_another_recipe_that_showed_its_tables_later_changes_nothing(request_, place):
    run_archive(request_, Silent())
    other = place / "other.toml"
    other.write_text(RECIPE.replace('name = "mine"', 'name = "other"').replace("2.0", "3.0"))
    run_archive(replace(request_, recipe=str(other)), Silent())
    assert (lake_status(request_.lake)["state"], lake_status(request_.lake)["recipe"]) == ("finished", "other")
    assert run_archive(request_, Silent()).run == ""
    assert lake_status(request_.lake)["state"] == "finished"


def test_a_case_sealed_twice_counts_once(request_):
    with begin_run(request_, Silent()) as active:
        active.run_shard(0)
        lake = Lake.open(request_.lake)
        (name,) = list_segments(lake)
        with SegmentWriter(lake, active.name, "another") as writer:
            writer.add(read_segment(lake, name)[0])
        assert lake_status(request_.lake)["ended"] == "8 of 8"


def test_what_a_run_does_is_told_with_its_pace(request_):
    with begin_run(request_, Silent()) as active:
        facts = lake_status(request_.lake)
        assert facts["doing"] == "running cases"
        assert (facts["cases_per_s"], facts["eta_s"]) == (None, None)
        active.run_shard(0)
        facts = lake_status(request_.lake)
        assert facts["cases_per_s"] > 0
        assert facts["eta_s"] == 0.0


def test_the_pace_is_that_of_the_last_minute():
    def told(second, done):
        return {"at": f"2026-01-01T00:{second // 60:02d}:{second % 60:02d}.000Z", "event": "progress", "done": done}

    slow_then_fast = [told(second, second) for second in range(60)] + [
        told(60 + second, 60 + 10 * second) for second in range(60)
    ]
    assert _pace(slow_then_fast, 1000) == {"cases_per_s": 10.0, "eta_s": 35.0}
    assert _pace([told(0, 0), told(1, 0)], 10) == {"cases_per_s": None, "eta_s": None}


def test_status_reads_names_and_events_only_however_many_cases_there_are(request_, monkeypatch):
    run_archive(request_, Silent())
    for folder in ("objects", "index", "private"):
        for path in (request_.lake / folder).rglob("*"):
            if path.is_file() and "snapshots" not in path.parts:
                path.write_bytes(b"")
    assert lake_status(request_.lake)["ended"] == "8 of 8"


def test_rejected_cases_are_counted_by_code(request_, place):
    victim = next(place.glob("archive/3/*.dcm"))
    with begin_run(request_, Silent()) as active:
        victim.write_bytes(victim.read_bytes()[:-2] + b"\0\0")
        active.run_shard(0)
        facts = lake_status(request_.lake)
        assert facts["outcomes"] == {"done": 7, "rejected": 1}
        assert facts["codes"] == {"E_CHANGED": 1}
        assert facts["what to do"] == {"E_CHANGED": "scan again"}


def asked(place):
    """Return the status, or None while there is no lake."""
    try:
        return lake_status(place / "lake")
    except LakeError:
        return None


@pytest.mark.slow
def test_status_tells_the_truth_of_a_process_in_mid_run_and_after_its_death(place):
    # a few volumes large enough that the run is still at work when it is asked about
    for place_z in range(48):
        write(ct_slice(place_z, series="9", size=512), place / "archive" / "9" / f"{place_z}.dcm")
    slow = RECIPE.replace('op = "gaussian", sigma_mm = 2.0', 'op = "tv", weight = 50.0, iterations = 500')
    slow = slow.replace('op = "lbp" }', 'op = "lbp", image = "final" }')
    (place / "recipe.toml").write_text(slow)
    command = [*MEDPIPE, "run", place / "archive", "--lake", place / "lake", "-r", place / "recipe.toml"]
    process = subprocess.Popen(
        [*map(str, command), "--workers", "2"],
        env=environment(place / "home"),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        seen = []
        limit_s = time.monotonic() + 60
        while time.monotonic() < limit_s and process.poll() is None:
            facts = asked(place)
            if facts is not None:
                seen.append(facts)
                if facts.get("ended", "0 of").startswith("8 of"):
                    break
        assert process.poll() is None, "the run ended before it was asked about"
        ended = medpipe("status", place / "lake", "--json", home=place / "home")
        assert json.loads(ended.out)["state"] == "running"
        assert seen[-1]["state"] == "running"
        # outcomes are told by the driver once a second, what is durable by the segments at once
        assert all(
            sum(facts["outcomes"].values()) <= int(facts["ended"].split()[0]) for facts in seen if "outcomes" in facts
        )
        assert {"eta_s", "cases_per_s", "doing"} <= set(seen[-1])
        counts = [int(facts["ended"].split()[0]) for facts in seen if "ended" in facts]
        assert counts == sorted(counts)
    finally:
        process.kill()
        process.wait(30)
    assert not _is_driven(place)
    facts = asked(place)
    assert facts["state"].startswith("ended early")
    assert facts["ended"] == "8 of 9"
    assert "eta_s" not in facts


def _is_driven(place):
    """Wait for the kernel to give the lock back: the last holder of the file may take a moment to end."""
    limit_s = time.monotonic() + 10
    while Lake.open(place / "lake").is_driven() and time.monotonic() < limit_s:
        time.sleep(0.1)
    return Lake.open(place / "lake").is_driven()


def test_an_interrupted_run_exits_with_4_and_one_line(place):
    for name in range(10, 13):
        for place_z in range(32):
            write(ct_slice(place_z, series=str(name), size=256), place / "archive" / str(name) / f"{place_z}.dcm")
    (place / "recipe.toml").write_text(
        RECIPE.replace('op = "gaussian", sigma_mm = 2.0', 'op = "tv", weight = 50.0, iterations = 500').replace(
            'op = "lbp" }', 'op = "lbp", image = "final" }'
        )
    )
    command = [*MEDPIPE, "run", place / "archive", "--lake", place / "lake", "-r", place / "recipe.toml"]
    with subprocess.Popen(
        list(map(str, command)),
        env=environment(place / "home"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    ) as process:
        limit_s = time.monotonic() + 60
        while time.monotonic() < limit_s and not ((facts := asked(place)) and facts.get("state") == "running"):
            assert process.poll() is None
        os.kill(process.pid, signal.SIGINT)
        out, err = process.communicate(timeout=60)
    said = [line for line in err.decode().splitlines() if line.startswith("medpipe: ")]
    assert process.returncode == 4, err
    assert len(said) == 1
    assert "same command" in said[0]
    assert out == b""
    assert asked(place)["state"].startswith("ended early")
