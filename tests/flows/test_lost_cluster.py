from __future__ import annotations

import subprocess
import sys
import threading

import pytest

from tests.flows.conftest import CASES, driven, free_port, job_of, parameters_of, tables_digest, wait_until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]


class Cluster:
    """A scheduler and a worker as a site would start them, always at one port."""

    def __init__(self, bench):
        self.bench = bench
        self.address = f"127.0.0.1:{free_port()}"
        self.processes = []

    def start(self):
        host, _, port = self.address.partition(":")
        self._start("dask_scheduler", "--host", host, "--port", port)
        self._start("dask_worker", f"tcp://{self.address}", "--host", host, "--nthreads", "1", "--no-nanny")

    def kill(self):
        for process in self.processes:
            process.kill()
            process.wait()
        self.processes = []

    def _start(self, module, *arguments):
        command = [sys.executable, "-m", f"distributed.cli.{module}", "--no-dashboard", *arguments]
        process = subprocess.Popen(
            command, env=self.bench.environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        self.processes.append(process)


def acknowledged(lake):
    """Return how many cases have a sealed result: segments bear the number in their names."""
    return sum(int(path.name.split(".")[-4]) for path in lake.glob("objects/segments/*/*.zst"))


def test_shards_of_a_lost_cluster_go_on_at_the_next(bench, server, by_command, tmp_path):
    lake, cluster = tmp_path / "lake", Cluster(bench)
    site = bench.site("cluster", f'[cluster]\naddress = "tcp://{cluster.address}"\n')
    committed = []

    def lose_it_once():
        wait_until(lambda: acknowledged(lake))
        cluster.kill()
        committed.append(acknowledged(lake))
        cluster.start()

    cluster.start()
    other = threading.Thread(target=lose_it_once)
    other.start()
    try:
        job = job_of(parameters_of(bench, lake, site=site), seal_cases=1, retry_s=3)
        run = driven(bench, job, **server.environment)
        other.join(30)
    finally:
        cluster.kill()
    assert 0 < committed[0] < CASES
    assert run.state == "COMPLETED", (run.message, run.log)
    assert {state for _, state, _ in run.tasks} == {"COMPLETED"}
    assert max(run_count for *_, run_count in run.tasks) > 1
    assert tables_digest(lake) == by_command
