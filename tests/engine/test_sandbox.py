from __future__ import annotations

import os
import signal
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest

from medpipe.engine.numeric import pinned_environment
from medpipe.engine.sandbox import Death, Reply, Sandbox, SandboxSpec
from medpipe.errors import ConfigError, IntegrityError, StoppedError
from tests.engine import engine_toys

pytestmark = pytest.mark.timeout(60)

SESSION = "tests.engine.engine_toys:open_session"
LIMIT = 300_000_000


def spec(**init):
    return SandboxSpec(session=SESSION, init=init, start_timeout_s=30)


@pytest.fixture(scope="module")
def sandbox():
    sandbox = Sandbox(spec(secret=engine_toys.SECRET))
    yield sandbox
    sandbox.close()


def call(sandbox, kind, payload=None, deadline_s=20.0):
    return sandbox.call(kind, payload or {}, deadline_s=deadline_s, memory_bytes=LIMIT)


def is_gone(pid):
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def wait_until(condition, seconds=5.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)


def test_a_call_returns_what_the_session_returns_and_what_it_cost(sandbox):
    reply = call(sandbox, "ok", {"subject": "s1"})
    assert isinstance(reply, Reply)
    assert reply.value["echo"] == {"subject": "s1"}
    assert (reply.stage, reply.subject) == ("read", "s1")
    assert reply.wall_s > 0
    assert 10_000_000 < reply.peak_bytes < LIMIT


def test_the_peak_is_that_of_the_call_and_not_of_the_process(sandbox):
    large = call(sandbox, "take", {"bytes": 160_000_000})
    small = call(sandbox, "ok")
    assert large.peak_bytes > small.peak_bytes + 100_000_000


@pytest.mark.parametrize(
    ("kind", "code", "error"),
    [
        ("reject", "E_GAP", "Rejected"),
        ("unknown_code", "E_INTERNAL", "Rejected"),
        ("raise", "E_INTERNAL", "ValueError"),
        ("panic", "E_CODEC_PANIC", "PanicException"),
        ("recurse", "E_INTERNAL", "RecursionError"),
        ("memory_error", "E_OOM", "MemoryError"),
        ("nan", "E_INTERNAL", "ValueError"),
    ],
)
def test_what_a_session_raises_is_an_answer_without_its_text(sandbox, kind, code, error):
    pid = sandbox.pid
    reply = call(sandbox, kind)
    assert (reply.value, reply.code, reply.error, reply.message) == (None, code, error, "")
    assert sandbox.pid == pid or pid is None
    assert call(sandbox, "ok").value is not None


@pytest.mark.parametrize(
    ("kind", "error"), [("stop", StoppedError), ("integrity", IntegrityError), ("disk_full", StoppedError)]
)
def test_an_error_that_stops_the_work_keeps_its_class(sandbox, kind, error):
    reply = call(sandbox, kind)
    assert reply.code == ""
    with pytest.raises(error) as raised:
        reply.raise_if_stopping()
    assert engine_toys.SECRET not in str(raised.value)


@pytest.mark.parametrize(
    ("kind", "stage", "subject", "number"),
    [
        ("segfault", "read", "the guilty", signal.SIGSEGV),
        ("abort", "image", "the guilty", signal.SIGABRT),
        ("exit", "", "", None),
    ],
)
def test_a_crash_costs_the_call_and_names_the_guilty(sandbox, kind, stage, subject, number):
    death = call(sandbox, kind)
    assert isinstance(death, Death)
    assert (death.code, death.stage, death.subject, death.signal) == ("E_CRASH", stage, subject, number)
    assert call(sandbox, "ok").value["calls"] == 1


@pytest.mark.parametrize("kind", ["sleep", "hold_gil"])
def test_a_hang_ends_at_its_deadline_even_with_the_interpreter_lock_held(sandbox, kind):
    death = call(sandbox, kind, deadline_s=0.5)
    assert (death.code, death.subject) == ("E_TIMEOUT", "the slow")
    assert 0.5 <= death.wall_s < 1.5


def test_a_stopped_process_ends_at_its_deadline(sandbox):
    call(sandbox, "ok")
    os.kill(sandbox.pid, signal.SIGSTOP)
    assert call(sandbox, "ok", deadline_s=0.3).code == "E_TIMEOUT"


def test_a_process_lost_between_calls_is_replaced(sandbox):
    pid = call(sandbox, "ok", {"subject": "s1"}).value["pid"]
    os.kill(pid, signal.SIGKILL)
    psutil.Process(pid).wait(5)
    assert call(sandbox, "ok").value["pid"] != pid


def test_a_call_that_eats_memory_is_killed_near_its_limit(sandbox):
    death = call(sandbox, "eat")
    assert (death.code, death.subject) == ("E_OOM", "the large")
    assert LIMIT < death.peak_bytes < 2 * LIMIT
    assert death.cpu_s > 0


def test_memory_left_behind_is_not_held_against_the_next_call(sandbox):
    kept = call(sandbox, "keep", {"bytes": 200_000_000})
    after = call(sandbox, "take", {"bytes": 100_000_000})
    assert kept.value is not None
    assert after.value is not None


def test_an_address_space_limit_turns_a_bomb_into_an_answer():
    sandbox = Sandbox(SandboxSpec(session=SESSION, init={}, address_space_bytes=1_000_000_000))
    assert call(sandbox, "take", {"bytes": 4_000_000_000}).code == "E_OOM"
    assert call(sandbox, "ok").value is not None
    sandbox.close()


def test_a_flood_of_output_does_not_block(sandbox):
    assert call(sandbox, "flood").value == {"done": True}


def test_the_sandbox_is_pinned_dumps_no_core_and_imports_no_scheduler(sandbox, monkeypatch):
    monkeypatch.setenv("SOME_PASSWORD", "in the environment")
    fresh = Sandbox(spec(secret=engine_toys.SECRET))
    about = call(fresh, "about").value
    fresh.close()
    assert not {"dask", "distributed", "prefect"} & set(about["modules"])
    assert about["environment"].items() >= pinned_environment().items()
    assert "SOME_PASSWORD" not in about["environment"]
    assert max(about["core_limit"]) <= 1


def test_secrets_pass_by_the_pipe_alone(sandbox):
    about = call(sandbox, "about").value
    assert about["secret"] == engine_toys.SECRET
    assert engine_toys.SECRET not in "".join(about["argv"])
    assert engine_toys.SECRET not in "".join(about["environment"].values())
    assert engine_toys.SECRET not in repr(spec(secret=engine_toys.SECRET))


def test_the_debug_log_holds_places_and_no_texts(tmp_path):
    log = tmp_path / "debug.log"
    sandbox = Sandbox(spec(debug_log=str(log)))
    call(sandbox, "raise")
    call(sandbox, "segfault")
    sandbox.close()
    text = log.read_text()
    assert "ValueError" in text
    assert "in on_raise" in text
    assert "Segmentation fault" in text
    assert "on_segfault" in text
    assert engine_toys.SECRET not in text


def test_a_session_that_cannot_be_opened_says_so():
    with pytest.raises(ConfigError, match="model is missing"):
        Sandbox(spec(broken=True)).start()
    with pytest.raises(StoppedError, match="before it was ready"):
        Sandbox(spec(crash_on_open=True)).start()
    with pytest.raises(ConfigError, match="cannot be imported"):
        Sandbox(SandboxSpec(session="tests.engine.engine_toys:nothing", init={})).start()


def test_closing_ends_the_process_and_frees_its_descriptors():
    before = len(list(Path("/proc/self/fd").iterdir())) if sys.platform == "linux" else 0
    sandbox = Sandbox(spec())
    sandbox.start()
    pid = sandbox.pid
    sandbox.close()
    wait_until(lambda: is_gone(pid))
    if sys.platform == "linux":
        assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_killing_from_another_thread_ends_a_call_for_good():
    sandbox = Sandbox(spec())
    sandbox.start()
    threading.Timer(0.3, sandbox.kill).start()
    assert call(sandbox, "sleep").code == "E_CRASH"
    with pytest.raises(StoppedError):
        sandbox.start()


@pytest.mark.parametrize("kind", ["hold_gil", "grandchild"])
def test_no_process_outlives_a_parent_that_was_killed(tmp_path, kind):
    file = tmp_path / "grandchild"
    code = (
        "import sys, threading\n"
        f"sys.path[:0] = {sys.path!r}\n"
        "from medpipe.engine.sandbox import Sandbox, SandboxSpec\n"
        f"sandbox = Sandbox(SandboxSpec(session={SESSION!r}, init={{}}))\n"
        "sandbox.start()\n"
        "print(sandbox.pid, flush=True)\n"
        f"sandbox.call({kind!r}, {{'file': {str(file)!r}}}, deadline_s=60)\n"
    )
    parent = psutil.Popen([sys.executable, "-c", code], stdout=-1, text=True)
    pid = int(parent.stdout.readline())
    wait_until(lambda: kind == "hold_gil" or (file.exists() and file.read_text()))
    time.sleep(0.2)
    parent.kill()
    parent.wait()
    parent.stdout.close()
    wait_until(lambda: is_gone(pid))
    if kind == "grandchild":
        wait_until(lambda: is_gone(int(Path(file).read_text())))
