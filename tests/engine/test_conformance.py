"""Every engine must pass: to be an engine is to be in this file's parameter."""

from __future__ import annotations

import threading
from dataclasses import replace

import pytest

from medpipe.engine import make_engine
from medpipe.errors import ConfigError, IntegrityError, StoppedError
from tests.engine.engine_toys import case_result, sealed_cases
from tests.engine.tasks import engine_spec, task, told

pytestmark = pytest.mark.timeout(60)

SURVIVABLE = {
    "ok": ("done", "", "done", 1),
    "reject": ("rejected", "E_GAP", "read", 1),
    "unknown_code": ("failed", "E_INTERNAL", "read", 1),
    "raise": ("failed", "E_INTERNAL", "read", 1),
    "panic": ("rejected", "E_CODEC_PANIC", "read", 1),
    "recurse": ("failed", "E_INTERNAL", "read", 1),
    "memory_error": ("failed", "E_OOM", "read", 2),
}


@pytest.fixture(params=["serial", "dask"])
def kind(request):
    return request.param


def test_each_case_gets_one_event_and_one_durable_record(kind, tmp_path):
    script = ["ok", *SURVIVABLE, "ok"] * 3
    events = []
    with make_engine(engine_spec(kind, tmp_path, script)) as engine:
        engine.run((task(row) for row in range(len(script))), events.append)
        cases = sealed_cases(tmp_path)
        again = []
        engine.run([], again.append)
    assert sorted(map(told, events)) == [(row, "finished", *SURVIVABLE[word]) for row, word in enumerate(script)]
    assert again == []
    assert sorted(case.case_key for case in cases) == sorted(f"case-{row}" for row in range(len(script)))


def test_a_lack_of_memory_in_a_large_process_is_tried_again(tmp_path):
    spec = replace(engine_spec("serial", tmp_path, ["memory_error"]), memory_bytes=2_000_000)
    events = []
    with make_engine(spec) as engine:
        engine.run([task(0)], events.append)
    assert [told(event) for event in events] == [(0, "finished", "failed", "E_OOM", "read", 2)]


def test_a_record_says_what_happened_and_keeps_the_result(kind, tmp_path):
    events = []
    with make_engine(engine_spec(kind, tmp_path, ["ok", "reject"])) as engine:
        engine.run([task(0), task(1)], events.append)
    done, rejected = sorted(sealed_cases(tmp_path), key=lambda case: case.case_key)
    assert done.result_digest == case_result(0).case.result_digest
    assert (done.run, done.attempts, done.projected_bytes) == ("run-1", 1, 1_000_000)
    assert min(done.wall_s, done.peak_bytes) > 0
    assert (rejected.volume_key, rejected.route, rejected.source_version) == ("volume-1", "ct", "version-1")
    assert (rejected.status, rejected.code, rejected.products) == ("rejected", "E_GAP", ())


@pytest.mark.parametrize("limits", [{"memory_bytes": 50_000_000}, {"sandbox_bytes": 50_000_000}])
def test_a_case_that_cannot_fit_is_a_row_and_never_runs(kind, tmp_path, limits):
    events = []
    trace = tmp_path / "trace"
    spec = replace(engine_spec(kind, tmp_path, ["ok"] * 6, trace=str(trace)), **limits)
    bytes_of = {1: 50_000_000, 2: 50_000_001, 4: 10**15}
    with make_engine(spec) as engine:
        engine.run((task(row, projected_bytes=bytes_of.get(row, 1000)) for row in range(6)), events.append)
    refused = ("finished", "failed", "E_MEMORY", "plan", 0)
    done = ("finished", "done", "", "done", 1)
    assert sorted(map(told, events)) == [(row, *(refused if row in {2, 4} else done)) for row in range(6)]
    assert sorted(map(int, trace.read_text().split())) == [0, 1, 3, 5]
    assert {case.case_key: case.projected_bytes for case in sealed_cases(tmp_path)}["case-4"] == 10**15


@pytest.mark.parametrize(("word", "error"), [("stop", StoppedError), ("integrity", IntegrityError)])
def test_an_error_of_the_whole_work_stops_it_and_keeps_what_was_done(kind, tmp_path, word, error):
    script = ["ok"] * 5 + [word] + ["ok"] * 5000
    events = []
    with make_engine(engine_spec(kind, tmp_path, script)) as engine:
        with pytest.raises(error):
            engine.run((task(row) for row in range(len(script))), events.append)
        with pytest.raises(StoppedError):
            engine.run([task(0)], events.append)
    stops = [event for event in events if event.kind == "stopped"]
    finished = [event.case_key for event in events if event.kind == "finished"]
    assert [(stop.row, stop.error) for stop in stops] == [(5, error.__name__)]
    assert set(finished) <= {case.case_key for case in sealed_cases(tmp_path)}
    assert len(finished) == len(set(finished)) < 1000


def test_a_full_disk_stops_the_work_resumably(kind, tmp_path):
    spec = engine_spec(kind, tmp_path, ["ok"] * 100, full_after=7)
    with make_engine(spec) as engine, pytest.raises(StoppedError, match="cannot be written") as raised:
        engine.run(map(task, range(100)), lambda _: None)
    assert raised.value.exit_code == 4


def test_a_session_that_cannot_be_opened_is_the_driver_s_error(kind, tmp_path):
    spec = engine_spec(kind, tmp_path, ["ok"], broken=True)
    with pytest.raises(ConfigError, match="model is missing"), make_engine(spec) as engine:
        engine.run([task(0)], lambda _: None)


def test_another_numeric_class_than_planned_is_refused(kind, tmp_path):
    spec = engine_spec(kind, tmp_path, ["ok", "ok"])
    events = []
    with make_engine(spec) as engine:
        engine.run([task(0, numeric_class=spec.numeric_class)], events.append)
        with pytest.raises(ConfigError, match="plan again"):
            engine.run([task(1, numeric_class="cpu-of-another-kind")], events.append)
    assert [event.kind for event in events] == ["finished", "stopped"]


def test_threads_may_run_shards_at_the_same_time(kind, tmp_path):
    events = {shard: [] for shard in range(3)}
    with make_engine(engine_spec(kind, tmp_path, ["ok"] * 30)) as engine:

        def run(shard):
            tasks = [replace(task(row), shard=shard) for row in range(10 * shard, 10 * shard + 10)]
            engine.run(tasks, events[shard].append)

        threads = [threading.Thread(target=run, args=(shard,)) for shard in events]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    for shard, seen in events.items():
        assert sorted(event.row for event in seen) == list(range(10 * shard, 10 * shard + 10))
        assert {event.shard for event in seen} == {shard}


def test_stop_ends_the_run_and_leaves_the_rest_unread(kind, tmp_path):
    read = []

    def tasks():
        for row in range(100_000):
            read.append(row)
            yield task(0)

    spec = engine_spec(kind, tmp_path, ["ok"])
    with make_engine(spec) as engine, pytest.raises(StoppedError, match="same command"):
        engine.run(tasks(), lambda _: engine.stop())
    assert len(read) < 5000
