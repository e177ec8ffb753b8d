"""Whole runs on the strict stand-in of a device: tables, keys, explain, verify, and the sandboxes of Dask."""

from __future__ import annotations

import json
import os
from dataclasses import replace

import pytest

from medpipe.app.explain import explain_key
from medpipe.app.progress import Silent
from medpipe.app.run import run_archive
from medpipe.app.site import Site
from tests.app.conftest import write_key
from tests.app.runs import Bench, assert_whole, rows
from tests.app.test_companion_images import ct, write
from tests.archive.pets import pet
from tests.device.standing import STANDIN, needs_compiler, stand_in
from tests.device.test_case import assert_alike

pytestmark = needs_compiler

RECIPE = """
name = "device"

[[route]]
name = "ct"
where = { modality = "CT" }
image = [ { op = "gaussian", sigma_mm = 0.6 } ]
regions = [ { op = "body", opening_mm = 0.0 } ]
features = [
    { name = "first", op = "ibsi", families = ["statistics"] },
    { name = "quality", op = "quality" },
]
views = [ { name = "uptake", op = "projection", image = "pet", plane = "coronal" } ]
keep = [ "original", "final" ]

[[route.companions]]
name = "pet"
where = { modality = "PT" }
image = [ { op = "suv" } ]
fuse = true

[[route]]
name = "rest"
"""
TABLES = ("volumes", "regions", "features", "registrations", "views", "quarantine")


@pytest.fixture
def benches(tmp_path):
    """Return two lakes for one archive of a CT and a PET of one frame of reference."""
    (tmp_path / "archive").mkdir()
    (tmp_path / "home").mkdir()
    (tmp_path / "device.toml").write_text(RECIPE, encoding="utf-8")
    key = write_key(tmp_path / "home")
    one, other = (
        Bench(archive=tmp_path / "archive", lake=tmp_path / name, key=key, recipe=tmp_path / "device.toml")
        for name in ("on-device", "on-host")
    )
    write(one, ct=ct(), pet=pet(4))
    return one, other


def run(bench, **site):
    given = Site(workers=1, key_file=bench.key, **site)
    return run_archive(replace(bench.request(), site=given), Silent())


def assert_same_tables(one, other):
    for name in TABLES:
        assert_alike(rows(one.lake, name), rows(other.lake, name))


def test_a_run_gives_the_hosts_tables_under_keys_of_its_own(benches):
    on_device, on_host = benches
    with stand_in():
        first = run(on_device, engine="serial", device="cuda")
        again = run(on_device, engine="serial", device="auto")
        cases = rows(on_device.lake, "cases")
    assert (first.executed, again.executed) == (2, 0)
    assert {case["numeric_class"] for case in cases} == {"cuda-cc00"}
    run(on_host, engine="serial", device="cpu")
    assert_same_tables(on_device, on_host)
    assert not {case["case_key"] for case in cases} & {case["case_key"] for case in rows(on_host.lake, "cases")}
    assert_whole(on_device.lake)
    volume = next(row for row in rows(on_device.lake, "volumes") if row["modality"] == "CT")
    assert "cuda-cc00" in json.dumps(explain_key(on_device.lake, volume["volume_key"]), default=str)
    # another class is another result
    assert run(on_device, engine="serial", device="cpu").executed == 2
    assert_same_tables(on_device, on_host)


@pytest.mark.slow
def test_sandboxes_of_dask_have_the_device_too(benches, tmp_path, monkeypatch):
    on_device, on_host = benches
    monkeypatch.setenv("CUPY_STANDIN_LOG", str(tmp_path / "log"))
    # as the environment of a command: workers are processes of their own, and so are their sandboxes
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(STANDIN), os.environ.get("PYTHONPATH", "")]))
    with stand_in():
        run(on_device, engine="dask", device="cuda")
    run(on_host, engine="serial", device="cpu")
    assert_same_tables(on_device, on_host)
    logs = list((tmp_path / "log").iterdir())
    assert logs
    assert str(os.getpid()) not in {log.stem for log in logs}
    sent = [json.loads(line) for log in logs for line in log.read_text().splitlines()]
    wholes = [
        one for one in sent if one["way"] == "to_device" and one["shape"] == [8, 10, 12] and one["dtype"] == "<f4"
    ]
    assert len(wholes) == 1
