"""What a device does to the process that uses it: full, or lost until there is another process."""

from __future__ import annotations

from dataclasses import replace

import pytest

from medpipe.engine import dask_worker
from medpipe.engine.pool import SandboxPool
from medpipe.engine.replies import Reply
from medpipe.engine.sandbox import Sandbox, SandboxSpec
from medpipe.engine.serial import SerialEngine
from medpipe.engine.tasks import execute
from medpipe.engine.workplace import Workplace
from medpipe.errors import ConfigError, StoppedError
from tests.engine.engine_toys import FolderSink, sealed_cases
from tests.engine.tasks import engine_spec, task
from tests.engine.test_workplace import Script, workplace

SESSION = "tests.engine.engine_toys:open_session"
LOST = Reply(code="E_DEVICE", error="CUDARuntimeError", stage="image")


class Renewed(Script):
    is_renewed = True


class Alone(Script):
    is_renewed = False


def place_of(tmp_path, caller):
    return Workplace(caller, FolderSink(tmp_path, None), size=1, memory_bytes=None, seal_s=60.0)


def test_a_case_is_tried_once_more_in_a_process_that_has_its_device(tmp_path):
    caller = Renewed(LOST, LOST)
    place = place_of(tmp_path, caller)
    again = execute(task(0), place).again
    assert (again.attempt, again.is_alone) == (2, False)
    event = execute(again, place).event
    assert (event.status, event.code, event.stage, event.attempts) == ("failed", "E_DEVICE", "image", 2)
    assert caller.fresh == [False, True]


def test_a_case_is_not_tried_where_there_is_no_other_process(tmp_path):
    event = execute(task(0), place_of(tmp_path, Alone(LOST))).event
    assert (event.status, event.code, event.attempts) == ("failed", "E_DEVICE", 1)


def test_a_fallback_to_another_class_than_the_host_s_is_refused(tmp_path):
    event = execute(replace(task(0, numeric_class="cuda-cc90"), fallback_class="cpu-other"), workplace(tmp_path)).event
    assert (event.kind, event.error) == ("stopped", ConfigError.__name__)
    assert "cpu-other" in event.message


def test_a_process_that_lost_its_device_is_replaced():
    with SandboxPool(SandboxSpec(session=SESSION, init={"script": ["lose_device", "ok"]}), size=1) as pool:
        lost = pool.call("case", {"row": 0}, deadline_s=20)
        assert (lost.code, lost.error, lost.message) == ("E_DEVICE", "CUDARuntimeError", "")
        assert pool.call("case", {"row": 1}, deadline_s=20).value is not None


def test_a_full_device_is_no_lack_of_the_host_s_memory_and_costs_no_process():
    sandbox = Sandbox(SandboxSpec(session=SESSION, init={"script": ["full_device", "ok"]}))
    try:
        assert sandbox.call("case", {"row": 0}, deadline_s=20).code == "E_GPU_MEMORY"
        pid = sandbox.pid
        assert sandbox.call("case", {"row": 1}, deadline_s=20).value is not None
        assert sandbox.pid == pid
    finally:
        sandbox.close()


def test_the_case_after_the_one_that_spoiled_the_device_ends_well(tmp_path):
    spec = SandboxSpec(session=SESSION, init={"script": ["spoil_device", "ok", "lose_device", "ok"]})
    place = place_of(tmp_path, SandboxPool(spec, size=1))
    for row in range(4):
        receipt = execute(task(row), place)
        if receipt.again is not None:
            execute(receipt.again, place)
    place.close()
    ends = {case.case_key: (case.status, case.code, case.attempts) for case in sealed_cases(tmp_path)}
    assert ends == {
        "case-0": ("done", "", 1),
        "case-1": ("done", "", 2),
        "case-2": ("failed", "E_DEVICE", 2),
        "case-3": ("done", "", 1),
    }


def test_the_sandboxes_of_a_worker_know_how_many_share_its_device(tmp_path, monkeypatch):
    made = []
    monkeypatch.setattr(dask_worker, "SandboxPool", lambda spec, *, size: made.append((spec, size)))
    spec = engine_spec("dask", tmp_path, [])
    dask_worker._Place(spec=spec, memory_bytes=None, size=3, worker=None, topic="t")._made()
    ((sandbox, size),) = made
    assert sandbox.init == {**spec.init, "processes": size}
    assert size == 3


def test_the_serial_engine_keeps_the_row_and_stops(tmp_path):
    events = []
    spec = engine_spec("serial", tmp_path, ["ok", "lose_device", "ok"])
    with SerialEngine(spec) as engine, pytest.raises(StoppedError, match="give the same command again"):
        engine.run((task(row) for row in range(3)), events.append)
    finished = [(event.row, event.status, event.code) for event in events if event.kind == "finished"]
    assert finished == [(0, "done", ""), (1, "failed", "E_DEVICE")]
    assert len(sealed_cases(tmp_path)) == 2
