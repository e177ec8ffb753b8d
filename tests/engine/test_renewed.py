from __future__ import annotations

import threading
import time

import pytest

from medpipe.engine.renewed import RenewedEngine
from medpipe.errors import ConfigError, StoppedError
from tests.engine.engine_toys import sealed_cases
from tests.engine.tasks import engine_spec, task

pytestmark = pytest.mark.timeout(60)


@pytest.fixture(params=["serial", "dask"])
def kind(request):
    return request.param


@pytest.mark.slow
def test_a_failed_engine_is_followed_by_another(kind, tmp_path):
    events = []
    with RenewedEngine(engine_spec(kind, tmp_path, ["ok", "stop", "ok"])) as engine:
        with pytest.raises(StoppedError):
            engine.run([task(0), task(1)], lambda _: None)
        engine.run([task(2)], events.append)
    assert [(event.case_key, event.status) for event in events] == [("case-2", "done")]
    assert "case-2" in {case.case_key for case in sealed_cases(tmp_path)}


@pytest.mark.slow
def test_calls_that_fail_together_are_tried_again_on_one_engine(kind, tmp_path):
    script = ["sleep 0.05", "stop", *["sleep 0.05"] * 18]
    ended = []
    with RenewedEngine(engine_spec(kind, tmp_path, script)) as engine:

        def run(rows):
            try:
                engine.run([task(row) for row in rows], lambda _: None)
            except StoppedError:
                engine.run([task(row) for row in rows if row != 1], lambda event: ended.append(event.case_key))

        threads = [threading.Thread(target=run, args=(range(start, 20, 2),)) for start in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
    assert not any(thread.is_alive() for thread in threads)
    sealed = {case.case_key for case in sealed_cases(tmp_path)}
    assert sealed == {f"case-{row}" for row in range(20) if row != 1}
    assert set(ended) <= sealed


def test_what_was_stopped_on_purpose_is_not_begun_again(kind, tmp_path):
    with RenewedEngine(engine_spec(kind, tmp_path, ["sleep 0.05"] * 200)) as engine:
        began = time.monotonic()
        with pytest.raises(StoppedError):
            engine.run(map(task, range(200)), lambda _: engine.stop())
        with pytest.raises(StoppedError):
            engine.run([task(0)], lambda _: None)
    assert time.monotonic() - began < 10


def test_a_session_that_never_opens_fails_every_time(tmp_path):
    with RenewedEngine(engine_spec("dask", tmp_path, ["ok"], broken=True)) as engine:
        for _ in range(2):
            with pytest.raises(ConfigError, match="model is missing"):
                engine.run([task(0)], lambda _: None)
