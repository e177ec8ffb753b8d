from __future__ import annotations

import os
import signal
import sys
import threading
import time

import psutil
import pytest

from medpipe.engine import Death, Reply, SandboxPool, SandboxSpec
from medpipe.engine.forks import Zygote
from medpipe.engine.numeric import pinned_environment, sandbox_class
from medpipe.engine.sandbox import Sandbox
from tests.engine.test_sandbox import is_gone, wait_until

pytestmark = [
    pytest.mark.timeout(60),
    pytest.mark.skipif(sys.platform != "linux", reason="sandboxes are forked on Linux only"),
]

SESSION = "tests.engine.engine_toys:open_session"


@pytest.fixture(scope="module")
def pool():
    with SandboxPool(SandboxSpec(session=SESSION, init={"secret": "s"}), size=1) as pool:
        yield pool


def call(pool, kind, payload=None, **options):
    return pool.call(kind, payload or {}, deadline_s=20, memory_bytes=300_000_000, **options)


def zygote_of(pool):
    return psutil.Process(pool._zygote.pid)


def test_a_pool_forks_its_sandboxes_from_one_process(pool):
    pid = call(pool, "ok").value["pid"]
    assert psutil.Process(pid).ppid() == pool._zygote.pid
    call(pool, "segfault")
    after = call(pool, "ok").value["pid"]
    assert after != pid
    assert psutil.Process(after).ppid() == pool._zygote.pid
    wait_until(lambda: is_gone(pid))


def test_a_forked_sandbox_is_as_pinned_and_bare_as_one_that_was_started(pool, monkeypatch):
    about = call(pool, "about", is_fresh=True).value
    assert about["environment"].items() >= pinned_environment().items()
    assert not {"dask", "distributed", "prefect"} & set(about["modules"])
    assert max(about["core_limit"]) <= 1
    assert about["secret"] == "s"
    assert pool.numeric_class == sandbox_class()
    assert len(psutil.Process(call(pool, "ok").value["pid"]).open_files()) == 0


def test_a_new_process_is_there_in_a_fraction_of_a_start(pool):
    call(pool, "ok")
    seconds = []
    for _ in range(5):
        begun_s = time.monotonic()
        reply = call(pool, "ok", is_fresh=True)
        seconds.append(time.monotonic() - begun_s)
        assert reply.value["calls"] == 1
    assert min(seconds) < 0.1


@pytest.mark.parametrize(("kind", "number"), [("segfault", signal.SIGSEGV), ("abort", signal.SIGABRT), ("exit", None)])
def test_a_forked_sandbox_tells_how_it_ended(pool, kind, number):
    for is_fresh in (False, True):
        call(pool, "ok", is_fresh=True)
        death = call(pool, kind, is_fresh=is_fresh)
        assert isinstance(death, Death)
        assert (death.code, death.signal, death.is_first) == ("E_CRASH", number, is_fresh)


def test_what_a_sandbox_imports_its_successor_finds_imported(pool):
    module = {"module": "xml.dom.minidom"}
    assert call(pool, "import", module, is_fresh=True).value == {"was_there": False}
    # the zygote imports when nobody asks it for anything
    time.sleep(0.5)
    assert call(pool, "import", module, is_fresh=True).value == {"was_there": True}


def test_a_lost_zygote_costs_no_call_and_is_replaced(pool):
    sandbox = call(pool, "ok").value["pid"]
    former = zygote_of(pool)
    former.kill()
    former.wait(5)
    assert call(pool, "ok").value["pid"] == sandbox
    death = call(pool, "segfault")
    assert (death.code, death.signal) == ("E_CRASH", signal.SIGKILL)
    assert call(pool, "ok").value["calls"] == 1
    call(pool, "segfault")
    assert psutil.Process(call(pool, "ok").value["pid"]).ppid() == pool._zygote.pid != former.pid


def test_a_stopped_zygote_is_ended_and_does_without(pool, monkeypatch):
    monkeypatch.setattr("medpipe.engine.forks._ANSWER_S", 0.5)
    call(pool, "ok")
    former = zygote_of(pool)
    former.suspend()
    assert call(pool, "ok", is_fresh=True).value["calls"] == 1
    wait_until(lambda: is_gone(former.pid))


def test_a_zygote_that_has_threads_is_not_used():
    zygote = Zygote("tests.engine.threaded_toy", start_s=30)
    sandbox = Sandbox(SandboxSpec(session=SESSION, init={}), zygote=zygote)
    for _ in range(2):
        pid = sandbox.call("ok", {}, deadline_s=20, is_fresh=True).value["pid"]
        assert psutil.Process(pid).ppid() == os.getpid()
    assert zygote.fork(()) is None
    assert zygote.pid is None
    sandbox.close()
    zygote.close()


def test_without_forks_each_sandbox_is_started():
    with SandboxPool(SandboxSpec(session=SESSION, init={}, forks=False), size=1) as pool:
        assert psutil.Process(call(pool, "ok").value["pid"]).ppid() == os.getpid()


def test_closing_a_pool_ends_the_zygote_and_what_it_forked():
    pool = SandboxPool(SandboxSpec(session=SESSION, init={}), size=2)
    pids = [call(pool, "ok").value["pid"], pool._zygote.pid]
    before = threading.active_count()
    pool.close()
    wait_until(lambda: all(is_gone(pid) for pid in pids))
    assert threading.active_count() <= before


def test_a_pool_that_is_used_for_long_keeps_no_descriptor(pool):
    me = psutil.Process()
    call(pool, "ok", is_fresh=True)
    before = me.num_fds()
    for _ in range(5):
        call(pool, "segfault")
        call(pool, "ok")
    assert me.num_fds() == before


def test_a_call_that_breaks_the_process_does_not_fail_the_next_one(pool):
    assert isinstance(call(pool, "overrun", is_fresh=True), Reply)
    blamed = call(pool, "free")
    assert (blamed.code, blamed.is_first) == ("E_CRASH", False)
    assert isinstance(call(pool, "free", is_fresh=True), Reply)


@pytest.mark.parametrize("kind", ["hold_gil", "grandchild"])
def test_no_forked_process_outlives_a_parent_that_was_killed(tmp_path, kind):
    file = tmp_path / "grandchild"
    code = (
        "import sys\n"
        f"sys.path[:0] = {sys.path!r}\n"
        "from medpipe.engine import SandboxPool, SandboxSpec\n"
        f"pool = SandboxPool(SandboxSpec(session={SESSION!r}, init={{}}), size=1)\n"
        "pool.call('ok', {}, deadline_s=30)\n"
        "print(pool._all[0].pid, pool._zygote.pid, flush=True)\n"
        f"pool.call({kind!r}, {{'file': {str(file)!r}}}, deadline_s=60)\n"
    )
    parent = psutil.Popen([sys.executable, "-c", code], stdout=-1, text=True)
    pids = [int(word) for word in parent.stdout.readline().split()]
    wait_until(lambda: kind == "hold_gil" or (file.exists() and file.read_text()))
    time.sleep(0.2)
    # a zygote that is stopped must go with it as well
    os.kill(pids[1], signal.SIGSTOP)
    parent.kill()
    parent.wait()
    parent.stdout.close()
    pids += [int(file.read_text())] if kind == "grandchild" else []
    wait_until(lambda: all(is_gone(pid) for pid in pids))
