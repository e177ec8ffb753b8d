from __future__ import annotations

import random
import subprocess
import sys
import time

import pytest

from tests.chaos.judge import acknowledged, after_kill, kept
from tests.flows.conftest import ROOT, driven, job_of, parameters_of, tables_digest, wait_until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

REPORTED_S = 3.0
"""About how long the flow is at its cases."""


@pytest.mark.parametrize("trial", [5, *(pytest.param(trial, marks=pytest.mark.long) for trial in range(2))])
def test_a_flow_that_is_killed_at_a_random_instant_costs_no_byte(bench, server, by_command, tmp_path, trial):
    lake = tmp_path / "lake"
    job = job_of(parameters_of(bench, lake), seal_cases=1)
    flow = subprocess.Popen(
        [sys.executable, "-m", "tests.flows.drive", job],
        env=bench.environment(**server.environment),
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_until(lambda: any(lake.glob("runs/*/plan/*.parquet")))
        time.sleep(random.Random(trial).uniform(0, REPORTED_S))
    finally:
        flow.kill()
        flow.wait()
    # the workers of a flow that is gone end by themselves
    sealed = acknowledged(lake)
    assert after_kill(lake) == []
    run = driven(bench, job, **server.environment)
    assert run.state == "COMPLETED", (run.message, run.log)
    assert after_kill(lake) == []
    assert [finding for finding in kept(lake, sealed) if finding.kind == "lost"] == []
    assert tables_digest(lake) == by_command
