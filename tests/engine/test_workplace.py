from __future__ import annotations

import signal
import time

import pytest

from medpipe.engine.ledger import Ledger
from medpipe.engine.replies import Death, Reply
from medpipe.engine.tasks import Receipt, execute
from medpipe.engine.workplace import Workplace
from medpipe.errors import StoppedError
from tests.engine.engine_toys import FolderSink, case_result, sealed_cases
from tests.engine.tasks import task


class Script:
    """A caller that gives outcomes by turns."""

    numeric_class = "cpu-toy"

    def __init__(self, *outcomes):
        self.outcomes = list(outcomes)
        self.limits = []
        self.fresh = []

    def call(self, kind, payload, *, deadline_s, memory_bytes, is_fresh):
        self.limits.append(memory_bytes)
        self.fresh.append(is_fresh)
        return self.outcomes.pop(0)

    def close(self):
        pass


def workplace(tmp_path, *outcomes, full_after=None, **options):
    options = {"size": 2, "memory_bytes": 1000, "seal_s": 60.0, **options}
    return Workplace(Script(*outcomes), FolderSink(tmp_path, full_after), **options)


def test_results_are_sealed_by_count(tmp_path):
    told = []
    place = workplace(tmp_path, seal_cases=3, on_sealed=lambda name, number: told.append((name, number)))
    assert [place.keep(case_result(row)) for row in range(4)] == [1, 2, 3, 4]
    assert (place.sealed, len(sealed_cases(tmp_path))) == (3, 3)
    assert place.close() == 4
    assert told == [(place.name, 3), (place.name, 4)]


def test_a_result_that_waits_is_sealed_in_time(tmp_path):
    place = workplace(tmp_path, seal_s=0.1)
    place.keep(case_result(0))
    end = time.monotonic() + 5
    while place.sealed == 0 and time.monotonic() < end:
        time.sleep(0.02)
    assert len(sealed_cases(tmp_path)) == place.sealed == 1
    place.close()


def test_what_cannot_be_written_stops_resumably_and_is_not_counted(tmp_path):
    place = workplace(tmp_path, full_after=1)
    place.keep(case_result(0))
    with pytest.raises(StoppedError, match="cannot be written"):
        place.keep(case_result(1))
    assert place.close() == 1


def test_a_closed_workplace_takes_no_result(tmp_path):
    place = workplace(tmp_path)
    place.close()
    with pytest.raises(StoppedError):
        place.keep(case_result(0))


@pytest.mark.parametrize(
    ("code", "number", "is_first", "attempts"),
    [
        ("E_CRASH", signal.SIGSEGV, False, 2),
        ("E_CRASH", signal.SIGSEGV, True, 1),
        ("E_CRASH", None, True, 1),
        ("E_CRASH", signal.SIGKILL, True, 2),
        ("E_CRASH", signal.SIGTERM, True, 2),
        ("E_OOM", signal.SIGKILL, True, 2),
        ("E_TIMEOUT", signal.SIGKILL, False, 1),
    ],
)
def test_only_a_death_that_may_be_another_s_doing_is_tried_again(tmp_path, code, number, is_first, attempts):
    death = Death(code=code, stage="image", signal=number, is_first=is_first, wall_s=1.5, peak_bytes=7)
    place = workplace(tmp_path, death, death)
    receipt = execute(task(0, projected_bytes=10), place)
    if attempts == 2:
        assert receipt.event is None
        receipt = execute(receipt.again, place)
    assert place.caller.fresh == [False, True][:attempts]
    event = receipt.event
    assert (event.status, event.code, event.stage, event.attempts) == ("failed", code, "image", attempts)
    place.close()
    (case,) = sealed_cases(tmp_path)
    assert (case.status, case.attempts, case.wall_s, case.peak_bytes) == ("failed", attempts, 1.5, 7)


def test_a_case_over_a_limit_that_would_be_the_same_alone_is_not_tried_again(tmp_path):
    place = workplace(tmp_path, Death(code="E_OOM", peak_bytes=501), Death(code="E_OOM", peak_bytes=501))
    assert execute(task(0, projected_bytes=10), place).again.is_alone
    capped = workplace(tmp_path, Death(code="E_OOM", peak_bytes=301), sandbox_bytes=300)
    assert execute(task(0, projected_bytes=10), capped).event.code == "E_OOM"
    assert capped.caller.limits == [300]


@pytest.mark.parametrize("limits", [{"memory_bytes": 1000}, {"memory_bytes": None, "sandbox_bytes": 1000}])
def test_a_case_that_cannot_fit_is_refused_without_a_call(tmp_path, limits):
    place = workplace(tmp_path, **limits)
    event = execute(task(0, projected_bytes=1001), place).event
    assert (event.status, event.code, event.stage, event.attempts) == ("failed", "E_MEMORY", "plan", 0)
    place.close()
    (case,) = sealed_cases(tmp_path)
    assert (case.code, case.projected_bytes, case.attempts, case.run) == ("E_MEMORY", 1001, 0, "run-1")


def test_want_of_memory_gets_the_whole_host_the_second_time(tmp_path):
    place = workplace(tmp_path, Death(code="E_OOM"), Death(code="E_OOM"), Death(code="E_CRASH"))
    again = execute(task(0, projected_bytes=10), place).again
    assert again.is_alone
    execute(again, place)
    assert not execute(task(1, projected_bytes=10), place).again.is_alone
    assert place.caller.limits == [500, 1000, 500]


def test_the_memory_limit_grows_with_the_projection_up_to_the_host(tmp_path):
    place = workplace(tmp_path)
    limits = [place.memory_limit(projected, is_alone=False) for projected in (0, 300, 400, 5000)]
    assert limits == [500, 600, 800, 1000]
    assert workplace(tmp_path, memory_bytes=None).memory_limit(9, is_alone=False) is None
    capped = workplace(tmp_path, sandbox_bytes=700)
    assert [capped.memory_limit(projected, is_alone=False) for projected in (0, 300, 400)] == [500, 600, 700]
    assert capped.memory_limit(0, is_alone=True) == 700


def test_a_reply_that_stops_the_work_keeps_no_record(tmp_path):
    place = workplace(tmp_path, Reply(error="StoppedError", message="the archive is gone"))
    event = execute(task(0, projected_bytes=10), place).event
    assert (event.kind, event.error, event.message) == ("stopped", "StoppedError", "the archive is gone")
    assert place.close() == 0


def test_the_ledger_gives_back_the_tasks_of_a_lost_workplace():
    ledger = Ledger()
    for number, name in [(1, "a"), (2, "a"), (1, "b")]:
        event = execute_event(number, name)
        ledger.add(task(number), Receipt(event=event, workplace=name, number=number))
    assert [event.case_key for event in ledger.settle({"a": 1, "unknown": 9})] == ["a-1"]
    assert list(ledger.settle({"a": 1})) == []
    assert [left.row for left in ledger.lost()] == [1, 2]
    assert ledger.lost() == []


def execute_event(number, name):
    from medpipe.engine import Event

    return Event(kind="finished", run="r", shard=0, row=number, case_key=f"{name}-{number}")
