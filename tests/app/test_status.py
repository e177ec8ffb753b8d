from __future__ import annotations

import json
import os
import signal
import subprocess
import time

import pytest

from medpipe.app.progress import Silent
from medpipe.app.run import RunRequest, begin_run, run_archive
from medpipe.app.site import Site
from medpipe.app.status import BEGINNING, lake_status
from medpipe.errors import LakeError
from medpipe.lake.lake import Lake
from tests.app.phantom import ct_slice, noise_archive, write
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


def test_a_run_that_wrote_its_snapshot_and_no_tables_is_not_finished(request_, monkeypatch):
    def fall(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("medpipe.app.publish.publish_tables", fall)
    with pytest.raises(KeyboardInterrupt):
        run_archive(request_, Silent())
    monkeypatch.undo()
    assert lake_status(request_.lake)["state"].startswith("ended early, before its tables were published")
    run_archive(request_, Silent())
    assert lake_status(request_.lake)["state"] == "finished"


def test_rejected_cases_are_counted_by_code(request_, place):
    victim = next(place.glob("archive/3/*.dcm"))
    with begin_run(request_, Silent()) as active:
        victim.write_bytes(victim.read_bytes()[:-2] + b"\0\0")
        active.run_shard(0)
        facts = lake_status(request_.lake)
        assert facts["outcomes"] == {"done": 7, "rejected": 1}
        assert facts["codes"] == {"E_CHANGED": 1}


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
        assert seen[-1]["outcomes"] == {"done": 8}
        assert seen[-1]["eta_s"] >= 0
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
