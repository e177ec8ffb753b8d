from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import psutil
import pytest

from tests.flows.conftest import ROOT, tables_digest, wait_until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


class Demo:
    """``python -m flows.demo`` as a shell starts it: at the head of a process group."""

    def __init__(self, bench, out):
        self.out, self.log = out, out.with_suffix(".log")
        with self.log.open("w") as log:
            self.process = psutil.Popen(
                [sys.executable, "-m", "flows.demo", "--out", str(out), "--studies", "8"],
                env=without_prefect_settings(bench),
                cwd=ROOT,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def wait_for(self, condition):
        wait_until(lambda: condition() or self.process.poll() is not None, 120)
        assert self.process.poll() is None, self.log.read_text()

    def has_committed(self):
        return any(self.out.glob("lake/objects/segments/*/*.zst"))

    def family(self):
        return self.process.children(recursive=True)

    def ended(self, seconds):
        return self.process.wait(seconds), self.log.read_text().splitlines()


def without_prefect_settings(bench):
    return {name: value for name, value in bench.environment().items() if not name.startswith("PREFECT_")}


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    out = tmp_path_factory.mktemp("demo") / "demo"
    # what a kill in the midst of the phantoms leaves behind
    (out / ".phantoms" / "archive" / "half").mkdir(parents=True)
    return out


def test_half_made_phantoms_are_made_again_and_ctrl_c_ends_soon_with_one_line(bench, out):
    demo = Demo(bench, out)
    demo.wait_for(demo.has_committed)
    family = demo.family()
    said = len(demo.log.read_text().splitlines())
    # a terminal sends it to the whole group, Prefect's server included
    os.killpg(demo.process.pid, signal.SIGINT)
    code, lines = demo.ended(20)
    assert code == 4
    assert (out / "phantoms" / "truth" / "labels.csv").is_file()
    assert not (out / ".phantoms").exists()
    assert lines[-1] == "medpipe: interrupted; the same command resumes"
    assert [line for line in lines[said:-1] if not line.startswith("cases: ")] == []
    wait_until(lambda: not any(child.is_running() for child in family), 10)


def test_a_killed_demonstration_leaves_no_process_and_the_next_one_finishes(bench, out):
    demo = Demo(bench, out)
    demo.wait_for(lambda: "cases: " in demo.log.read_text())
    time.sleep(1)
    family = demo.family()
    assert any("uvicorn" in " ".join(child.cmdline()) for child in family)
    demo.process.kill()
    demo.process.wait(10)
    wait_until(lambda: not any(is_alive(child) for child in family), 20)
    code, lines = Demo(bench, out).ended(200)
    assert code == 0, lines
    text = "\n".join(lines)
    assert "Model nodule-kind: AUC 0." in text
    assert "ERROR" not in text
    assert {name.partition("/")[0] for name in tables_digest(out / "lake")} >= {"features", "scores"}


def is_alive(process):
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
