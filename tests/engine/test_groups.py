from __future__ import annotations

import json
import time
from collections import deque
from dataclasses import replace

import pytest

from medpipe.engine import Event, make_engine
from medpipe.engine.groups import Group, Pace, grouped
from medpipe.engine.tasks import Receipt
from medpipe.engine.turns import Turns
from tests.bench.million_engine import run as run_million
from tests.engine.engine_toys import FolderSink, case_result, sealed_cases
from tests.engine.tasks import engine_spec, task, told
from tests.engine.test_workplace import Script, workplace

pytestmark = pytest.mark.timeout(60)


def receipts(*seconds):
    return [
        Receipt(event=Event(kind="finished", run="r", shard=0, row=row, case_key=f"c-{row}", wall_s=wall_s))
        for row, wall_s in enumerate(seconds)
    ]


def test_groups_double_while_cases_are_short_and_shrink_at_once():
    pace = Pace()
    sizes = []
    for _ in range(8):
        pace.note(receipts(*[0.0001] * pace.size))
        sizes.append(pace.size)
    assert sizes == [2, 4, 8, 16, 32, 64, 64, 64]
    pace.note(receipts(*[0.019] * 64))
    assert pace.size == 4
    pace.note(receipts(*[3.0] * 4))
    assert pace.size == 1
    pace.size = 16
    pace.note([*receipts(0.001), None])
    assert pace.size == 8


def test_a_large_case_or_one_tried_before_is_alone_in_its_group():
    pace = Pace()
    pace.size = 4
    tasks = [task(row, projected_bytes=10) for row in range(12)]
    tasks[2] = replace(tasks[2], projected_bytes=101)
    tasks[4] = replace(tasks[4], attempt=2)
    tasks[5] = replace(tasks[5], attempt=2, is_alone=True)
    again, todo, groups = deque(), iter(tasks), []
    while group := grouped(again, todo, pace, share_bytes=100):
        groups.append([one.row for one in group])
    assert groups == [[0, 1], [2], [3], [4], [5], [6, 7, 8, 9], [10, 11]]


def test_a_case_handed_back_is_awaited_no_more():
    group = Group([task(row) for row in range(4)])
    assert [one.row for one in group.handed_back(2)] == [2, 3]
    assert group.handed_back(2) == []
    late = receipts(0.1, 0.1, 0.1)
    assert [(one.row, receipt) for one, receipt in group.settled([*late, None])] == [(0, late[0]), (1, late[1])]


class Slow(Script):
    """A caller whose n-th call takes so many seconds."""

    def call(self, kind, payload, *, deadline_s, memory_bytes, is_fresh):
        time.sleep(self.outcomes[payload["row"]])
        from medpipe.engine import Reply

        return Reply(value=case_result(payload["row"]).to_json())


def test_cases_behind_a_slow_one_are_handed_back_while_it_runs(tmp_path):
    place = workplace(tmp_path)
    place.caller = Slow(0, 1.5, 0, 0)
    news = []
    turns = Turns(lambda number, done: news.append((number, len(done), time.monotonic())))
    got = turns.work(7, [task(row, projected_bytes=10) for row in range(4)], place)
    end_s = time.monotonic()
    turns.close()
    place.close()
    assert [receipt is not None for receipt in got] == [True, True, False, False]
    assert [entry[:2] for entry in news] == [(7, 1)]
    assert end_s - news[0][2] > 0.3


def test_a_receipt_comes_back_from_json_as_it_was():
    again = Receipt(again=task(3), workplace="w")
    for receipt in (*receipts(0.25), again):
        assert Receipt.from_json(json.loads(json.dumps(receipt.to_json()))) == receipt


def test_a_sink_that_fails_ends_the_group(tmp_path):
    place = workplace(tmp_path)
    place.caller = Slow(0, 0, 0, 0)
    place._sink = FolderSink(tmp_path, 1)
    turns = Turns(lambda *_: None)
    got = turns.work(7, [task(row, projected_bytes=10) for row in range(4)], place)
    turns.close()
    assert [receipt and receipt.event.kind for receipt in got] == ["finished", "stopped", None, None]


def test_small_cases_go_in_groups_and_each_has_its_own_event(tmp_path):
    calls = []

    def watch(engine):
        submit = engine._client.submit

        def counted(*arguments, **options):
            calls.append(len(arguments[3]))
            return submit(*arguments, **options)

        engine._client.submit = counted

    events = []
    script = ["ok"] * 600
    script[300] = "reject"
    script[301] = "sleep 0.8"
    with make_engine(engine_spec("dask", tmp_path, script)) as engine:
        watch(engine)
        engine.run(map(task, range(600)), events.append)
    assert sum(calls) >= 600
    assert len(calls) < 300
    assert sorted(told(event)[2] for event in events) == ["done"] * 599 + ["rejected"]
    assert sorted(case.case_key for case in sealed_cases(tmp_path)) == sorted(f"case-{row}" for row in range(600))


def test_a_slow_case_does_not_keep_the_end_of_a_run_waiting(tmp_path):
    script = [*["ok"] * 400, "sleep 3", *["sleep 0.002"] * 40]
    ended_s = {}
    with make_engine(engine_spec("dask", tmp_path, script)) as engine:
        engine.run(map(task, range(len(script))), lambda event: ended_s.setdefault(event.row, time.monotonic()))
    slow_s = ended_s.pop(400)
    assert max(ended_s.values()) < slow_s - 0.5


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("cases", [16_000, pytest.param(60_000, marks=pytest.mark.long)])
def test_the_driver_s_memory_does_not_grow_with_the_cases(tmp_path, cases):
    figures = run_million(cases, 2, tmp_path)
    assert figures["ended"] == {"done": cases}
    # a driver that kept 300 bytes of each case would be noticed
    assert figures["driver_growth_last_half_mib"] * 2**20 < 300 * cases / 2
    assert figures["cpu_ms_per_case"] < 2
