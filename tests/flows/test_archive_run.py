from __future__ import annotations

import re
from collections import Counter

import psutil
import pytest
from pydicom import dcmread

from medpipe.lake.lake import Lake
from medpipe.lake.query import read_table
from tests.flows.conftest import CASES, driven, job_of, parameters_of, tables_digest
from tests.flows.drive import CANARY

pytestmark = pytest.mark.timeout(180)

SHARDS = ["shard-0", "shard-1", "shard-2"]
"""Seven cases, three a shard."""

NAME = r"whole-archive-\d{8}-\d{6}"


def artifact(run):
    ((key, rows),) = run.tables
    assert key == "medpipe-run"
    return {row["what"]: row["value"] for row in rows}


def assert_nothing_told(run, words):
    # of lists, so that a failure shows what was told
    everything = run.everything + "\n".join([run.output, *run.log, str(run.message)])
    assert len(words) > 20
    assert [word for word in words if word in everything] == []
    assert [line for line in everything.splitlines() if "distributed" in line] == []


@pytest.mark.slow
def test_a_flow_without_a_server_makes_the_tables_of_the_command_line(bench, by_command, told_in_headers, tmp_path):
    parameters = parameters_of(bench, tmp_path / "lake", site=bench.site("serial", 'engine = "serial"\n'))
    run = driven(bench, job_of(parameters), PREFECT_HOME=str(tmp_path / "prefect"))
    assert run.state == "COMPLETED", (run.message, run.log)
    assert tables_digest(tmp_path / "lake") == by_command
    assert [name for name, *_ in run.tasks] == SHARDS
    assert run.parameters == parameters
    assert re.fullmatch(NAME, run.name)
    assert_nothing_told(run, told_in_headers)
    # the ephemeral server is a child of the flow's process
    assert run.listening == ["127.0.0.1"]
    assert run.analytics == [False, False]
    assert run.stored == []


@pytest.fixture(scope="module")
def with_dask(bench, server):
    """Run the flow once by Dask against the server; return its lake and what became of it."""
    lake = bench.home / "with-dask"
    return lake, driven(bench, job_of(parameters_of(bench, lake)), **server.environment)


@pytest.mark.slow
def test_a_flow_against_a_server_makes_the_tables_of_the_command_line(with_dask, by_command, told_in_headers):
    lake, run = with_dask
    assert run.state == "COMPLETED", (run.message, run.log)
    assert tables_digest(lake) == by_command
    assert_nothing_told(run, told_in_headers)


@pytest.mark.slow
def test_a_flow_takes_the_cohort_of_a_file(bench, tmp_path):
    objects = (dcmread(path, force=True) for path in bench.archive.rglob("*") if path.is_file())
    images = Counter(one.SeriesInstanceUID for one in objects if one.get("Modality") == "CT" and "PixelData" in one)
    series = max(images, key=lambda uid: (images[uid], uid))
    (tmp_path / "cohort.txt").write_text(f"series_uid\n{series}\n")
    site = bench.site("serial", 'engine = "serial"\n')
    parameters = {**parameters_of(bench, tmp_path / "lake", site=site), "cohort": str(tmp_path / "cohort.txt")}
    run = driven(bench, job_of(parameters), PREFECT_HOME=str(tmp_path / "prefect"))
    assert run.state == "COMPLETED", (run.message, run.log)
    assert len({one["series_key"] for one in read_table(Lake.open(tmp_path / "lake"), "cases").to_pylist()}) == 1


@pytest.mark.slow
def test_each_shard_is_one_task_run_and_each_run_one_table(bench, with_dask):
    lake, run = with_dask
    assert run.tasks == [[shard, "COMPLETED", 1] for shard in SHARDS]
    counts = artifact(run)
    assert counts["cases planned"] == counts["cases executed"] == counts["cases committed"] == CASES
    assert counts["files used"] == run.result["files"]["used"] > 100
    assert counts["run"] == run.result["run"]
    assert re.fullmatch(NAME, run.name)
    assert run.parameters == parameters_of(bench, lake)


@pytest.mark.slow
def test_a_second_flow_run_does_nothing_and_says_so(bench, server, with_dask):
    lake, _ = with_dask
    before = tables_digest(lake, besides=set())
    run = driven(bench, job_of(parameters_of(bench, lake)), **server.environment)
    assert (run.state, run.tasks) == ("COMPLETED", []), run.message
    assert artifact(run)["run"] == "none was needed"
    assert artifact(run)["cases executed"] == 0
    assert tables_digest(lake, besides=set()) == before


@pytest.mark.slow
def test_the_server_listens_on_the_loopback_only_and_sends_nothing(server, with_dask):
    _, run = with_dask
    process = psutil.Process(server.pid)
    listening = {
        connection.laddr.ip
        for one in [process, *process.children(recursive=True)]
        for connection in one.net_connections()
        if connection.status == psutil.CONN_LISTEN
    }
    assert listening == {"127.0.0.1"}
    assert run.analytics == [False, False]
    assert run.stored == []


@pytest.mark.slow
def test_a_shard_that_fails_in_passing_is_tried_again(bench, server, by_command, tmp_path):
    parameters = parameters_of(bench, tmp_path / "lake", site=bench.site("serial", 'engine = "serial"\n'))
    run = driven(bench, job_of(parameters, fails=2), **server.environment)
    assert run.state == "COMPLETED", (run.message, run.log)
    assert [name for name, *_ in run.tasks] == SHARDS
    assert sum(run_count - 1 for *_, run_count in run.tasks) == 2
    assert tables_digest(tmp_path / "lake") == by_command
    assert CANARY not in run.everything + run.output + "\n".join(run.log)
    assert any("a bug: ValueError at drive.py:" in line for line in run.log)


@pytest.mark.slow
def test_a_shard_that_fails_again_and_again_fails_the_flow_and_quotes_nothing(bench, server, tmp_path):
    parameters = parameters_of(bench, tmp_path / "lake", site=bench.site("serial", 'engine = "serial"\n'))
    run = driven(bench, job_of(parameters, fails=100, shard_cases=CASES), **server.environment)
    assert run.state == "FAILED"
    assert run.tasks == [["shard-0", "FAILED", 3]]
    assert "a bug: ValueError at drive.py:" in run.message
    assert CANARY not in run.everything + run.output + run.message + "\n".join(run.log)


@pytest.mark.slow
def test_what_no_retry_mends_is_not_tried_again(bench, server, tmp_path):
    lake = tmp_path / "lake"
    lake.mkdir()
    (lake / "something").write_text("here before")
    run = driven(bench, job_of(parameters_of(bench, lake)), **server.environment)
    assert (run.state, run.tasks) == ("FAILED", [])
    assert "is not empty and is no lake" in run.message
