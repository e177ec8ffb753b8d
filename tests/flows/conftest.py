"""A small archive, the tables the command line makes of it, and one Prefect server for all."""

from __future__ import annotations

import hashlib
import json
import os
import re
import socket
import subprocess
import sys
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path

import pytest

from medpipe.synth import make_archive

ROOT = Path(__file__).resolve().parents[2]

CASES = 7
"""Cases of the archive."""

HAPPENED = {"cases", "runs"}
"""Tables that hold times."""

QUIET = {
    "DO_NOT_TRACK": "1",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_LOGGING_LEVEL": "INFO",
}


@dataclass(frozen=True)
class Bench:
    """Where the tests of flows work: an archive, a key, a recipe, and commands over them."""

    home: Path
    archive: Path

    def environment(self, **more: str) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT_", "MEDPIPE_"))}
        return {**kept, **QUIET, "XDG_CONFIG_HOME": str(self.home / "config"), "PYTHONPATH": str(ROOT), **more}

    def site(self, name: str, text: str) -> str:
        file = self.home / f"{name}.toml"
        file.write_text(text)
        return str(file)

    def run(self, *command: str, seconds: float = 120, **more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, *command],
            env=self.environment(**more),
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )


@dataclass(frozen=True)
class Driven:
    """What a flow in a process of its own left behind."""

    told: dict
    output: str

    def __getattr__(self, name: str):
        return self.told[name]


def parameters_of(bench: Bench, lake: Path, *, site: str | None = None) -> dict:
    given = {"recipe": "whole-archive", "archives": [str(bench.archive)], "lake": str(lake), "site": site}
    return {**given, "cohort": None}


def job_of(parameters: dict, *, shard_cases: int = 3, seal_cases: int = 256, fails: int = 0, retry_s: int = 0) -> str:
    job = {"shard_cases": shard_cases, "seal_cases": seal_cases, "fails": fails, "retry_s": retry_s}
    return json.dumps({"parameters": parameters, **job})


def driven(bench: Bench, job: str, **environment: str) -> Driven:
    done = bench.run("-m", "tests.flows.drive", job, **environment)
    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    return Driven(json.loads(lines[-1]), "\n".join([*lines[:-1], done.stderr]))


def tables_digest(lake: Path, *, besides: set[str] = HAPPENED) -> dict[str, str]:
    """Return a digest of every published Parquet file that must not depend on the run."""
    root = (lake / "tables").resolve()
    found = {}
    for path in sorted(root.rglob("*.parquet")):
        name = path.relative_to(root)
        if name.parts[0] not in besides:
            found[str(name)] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


@pytest.fixture(scope="session")
def bench(tmp_path_factory):
    home = tmp_path_factory.mktemp("flows")
    make_archive(home / "images", studies=1, seed=5)
    return Bench(home=home, archive=home / "images" / "archive")


@pytest.fixture(scope="session")
def by_command(bench):
    """Return the digests of the tables that ``medpipe run`` publishes."""
    lake = bench.home / "by-command"
    done = bench.run(
        *("-m", "medpipe", "run", str(bench.archive), "--lake", str(lake), "-r", "whole-archive"),
        *("--engine", "serial"),
    )
    assert done.returncode == 2, done.stderr  # the phantoms have broken files among them
    digests = tables_digest(lake)
    assert {name.partition("/")[0] for name in digests} >= {"instances", "volumes", "features", "scores"}
    return digests


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as reply:
            return reply.status == 200
    except OSError:
        return False


def wait_until(condition, seconds=60.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.1)


@dataclass(frozen=True)
class Server:
    """A Prefect server of the tests' own."""

    home: Path
    pid: int
    environment: dict[str, str]


@pytest.fixture(scope="session")
def server(bench):
    """Start ``prefect server start`` on the loopback with its own home; stop it at the end."""
    home, port = bench.home / "prefect-server", free_port()
    url = f"http://127.0.0.1:{port}/api"
    with (bench.home / "server.log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port), "--no-ui"],
            env=bench.environment(PREFECT_HOME=str(home)),
            stdout=log,
            stderr=log,
        )
    try:
        wait_until(lambda: process.poll() is not None or answers(f"{url}/health"))
        assert process.poll() is None, (bench.home / "server.log").read_text()
        yield Server(home, process.pid, {"PREFECT_API_URL": url, "PREFECT_HOME": str(bench.home / "prefect-client")})
    finally:
        process.terminate()
        process.wait(30)


@pytest.fixture(scope="session")
def told_in_headers(bench):
    """Return what the archive's headers say that nobody else may: names, ids, UIDs, descriptions."""
    import pydicom

    words = set()
    for path in sorted(bench.archive.rglob("*")):
        if not path.is_file() or path.is_symlink():
            continue
        try:
            header = pydicom.dcmread(path, stop_before_pixels=True)
        except Exception:  # noqa: BLE001  # the broken files on purpose
            continue
        for element in header:
            if element.VR in {"PN", "LO", "LT", "ST", "UI", "DA", "SH"} and element.keyword not in PUBLIC:
                words.add(str(element.value))
    return {word for word in words if re.fullmatch(r".{6,}", word)}


PUBLIC = {"SOPClassUID", "TransferSyntaxUID", "ImplementationClassUID", "Manufacturer", "MediaStorageSOPClassUID"}
