from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from medpipe.engine import Death, SandboxPool, SandboxSpec
from medpipe.errors import StoppedError

pytestmark = pytest.mark.timeout(60)


@pytest.fixture(scope="module")
def pool():
    with SandboxPool(SandboxSpec(session="tests.engine.engine_toys:open_session", init={}), size=2) as pool:
        yield pool


def codes(results):
    return [result.code if isinstance(result, Death) else result for result in results]


def test_threads_share_the_sandboxes(pool):
    with ThreadPoolExecutor(6) as threads:
        replies = list(threads.map(lambda n: pool.call("ok", {"n": n}, deadline_s=20), range(30)))
    assert [reply.value["echo"]["n"] for reply in replies] == list(range(30))
    assert 1 <= len({reply.value["pid"] for reply in replies}) <= 2


def test_batches_come_back_in_order(pool):
    batches = [[f"h{n}-{k}" for k in range(3)] for n in range(7)]
    results = list(pool.map_batches("headers", iter(batches), item_s=5))
    assert results == [[item.upper() for item in batch] for batch in batches]
    assert list(pool.map_batches("headers", [[]], item_s=5)) == [[]]


def test_of_a_batch_only_the_guilty_are_lost(pool):
    batch = ["a", "crash-1", "b", "raise-1", "c", "crash-2", "d"]
    (results,) = pool.map_batches("headers", [batch], item_s=5)
    assert codes(results) == ["A", "E_CRASH", "B", "E_INTERNAL", "C", "E_CRASH", "D"]
    assert results[1].subject == "crash-1"
    assert results[1].stage == "scan"


def test_a_hang_in_a_batch_costs_an_item_its_own_time(pool):
    start_s = time.monotonic()
    (results,) = pool.map_batches("headers", [["a", "hang", *"bcdefgh"]], item_s=0.4)
    assert codes(results) == ["A", "E_TIMEOUT", *"BCDEFGH"]
    # once in the batch and once alone, not nine times
    assert time.monotonic() - start_s < 3.0


def test_one_death_of_an_item_that_is_alone_is_not_held_against_it(pool, tmp_path):
    item = f"crash_once {tmp_path / 'flag'}"
    assert next(iter(pool.map_batches("headers", [[item], ["crash-1"]], item_s=5))) == [item.upper()]


def test_without_a_mark_halving_finds_the_guilty(pool):
    (results,) = pool.map_batches("unmarked", [["a", "b", "c", "crash", "d"]], item_s=5)
    assert codes(results) == ["a", "b", "c", "E_CRASH", "d"]


def test_an_error_that_stops_the_work_ends_the_batches(pool):
    with pytest.raises(StoppedError, match="archive is gone"):
        list(pool.map_batches("stop", [["a"]], item_s=5))


def test_closing_ends_calls_at_work_and_those_that_wait():
    pool = SandboxPool(SandboxSpec(session="tests.engine.engine_toys:open_session", init={}), size=1)
    threading.Timer(0.4, pool.close).start()
    with ThreadPoolExecutor(2) as threads:
        futures = [threads.submit(pool.call, "sleep", {}, deadline_s=60) for _ in range(2)]
        for future in futures:
            with pytest.raises(StoppedError):
                future.result(timeout=10)
    with pytest.raises(StoppedError):
        pool.call("ok", {}, deadline_s=5)
