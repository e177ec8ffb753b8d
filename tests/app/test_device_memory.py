"""Whole runs on a device with little memory: in blocks to the same bytes, then the CPU if it may, and told."""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest

from medpipe.app.explain import explain_key
from medpipe.app.prepare import plan_run
from medpipe.app.progress import Silent
from medpipe.app.run import run_archive
from medpipe.app.site import Gpu
from medpipe.app.status import lake_status
from medpipe.app.verify import verify_lake
from tests.app.conftest import write_key
from tests.app.runs import Bench, command, medpipe, rows, started, tables_of, volumes_of, wait_for_quiet
from tests.device.standing import environment, needs_compiler, stand_in

pytestmark = needs_compiler

RECIPE = """
name = "blocks"

[[route]]
name = "all"
image = [ { op = "median" }, { op = "gaussian", sigma_mm = 1.0 }, { op = "clip", low = -900, high = 900 } ]
regions = [ { op = "threshold", low = -500.0 } ]
features = [
    { name = "before", op = "ibsi", families = ["statistics"] },
    { name = "after", op = "ibsi", image = "final", families = ["statistics"] },
]
keep = [ "original", "final" ]
"""

SHAPES = {"small": (6, 24, 24), "middle": (20, 40, 40), "large": (30, 64, 64)}

LIMIT = 400_000
"""Of it arrays may have four fifths, 320 kB: the small case needs 59 kB, the middle one 544, or 224 in blocks at the
least, and the large volume alone has 492."""


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    """Return a folder of three volumes, a bright ball in noise each."""
    folder = tmp_path_factory.mktemp("volumes")
    for name, shape in SHAPES.items():
        places = [np.arange(n) / n - 0.5 for n in shape]
        z, y, x = np.meshgrid(*places, indexing="ij")
        noise = np.random.default_rng(len(name)).normal(-1000, 10, shape)
        values = (noise + 1200 * (z**2 + y**2 + x**2 < 0.1)).astype("<i2")
        head = [
            "NRRD0004",
            "type: int16",
            "dimension: 3",
            f"sizes: {shape[2]} {shape[1]} {shape[0]}",
            "space: left-posterior-superior",
            "space directions: (1,0,0) (0,1,0) (0,0,2)",
            "space origin: (0,0,0)",
            "encoding: raw",
            "endian: little",
        ]
        (folder / f"{name}.nrrd").write_bytes("\n".join([*head, "", ""]).encode() + values.tobytes())
    return folder


@pytest.fixture
def bench(archive, tmp_path):
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(RECIPE, encoding="utf-8")
    return Bench(archive=archive, lake=tmp_path / "lake", key=write_key(tmp_path), recipe=recipe)


@pytest.fixture(scope="module", autouse=True)
def cuda():
    """Let CuPy be the stand-in."""
    with stand_in():
        yield


@contextmanager
def limited(limit):
    """Let the device have so many bytes; all of it if not given."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CUPY_STANDIN_LIMIT", str(limit or 0))
        yield


def run(bench, device, *, limit=None, retry=(), **gpu):
    """Run on the stand-in in this process; return the report."""
    request = replace(bench.request(), retry=retry)
    site = request.site.model_copy(update={"device": device, "gpu": Gpu(**gpu)})
    with limited(limit):
        return run_archive(replace(request, site=site), Silent())


def used(bench):
    """Return how each case ended, by the depth of its volume."""
    depth = {row["volume_key"]: row["shape"][0] for row in rows(bench.lake, "volumes")}
    told = ("outcome", "code", "device", "numeric_class")
    return {depth[row["volume_key"]]: tuple(row[name] for name in told) for row in rows(bench.lake, "cases")}


def key_of(bench, depth):
    (row,) = (row for row in rows(bench.lake, "volumes") if row["shape"][0] == depth)
    return row["volume_key"]


def values(bench, depth):
    """Return all features of a volume, as text: NaN equals itself."""
    return sorted(map(str, rows(bench.lake, "features", volume_key=key_of(bench, depth))))


def kept(bench, depth):
    """Return what of a volume's files there is, by path below its folder."""
    row = next(row for row in rows(bench.lake, "volumes") if row["shape"][0] == depth)
    found = volumes_of(bench.lake)
    stores = [row["store"].removeprefix("objects/"), row["final_store"].removeprefix("objects/")]
    return [{path: text for path, text in found.items() if path.startswith(f"{store}/")} for store in stores]


def planned(bench, device, *, limit=None):
    request = bench.request()
    with limited(limit):
        site = request.site.model_copy(update={"device": device})
        return plan_run(replace(request, site=site), Silent())


SMALL, MIDDLE, LARGE = (shape[0] for shape in SHAPES.values())
CUDA = "cuda-cc00"


def test_a_case_goes_down_as_far_as_it_must_and_the_next_run_takes_what_it_may(bench):
    on_cpu, roomy = (replace(bench, lake=bench.lake.with_name(name)) for name in ("cpu", "roomy"))
    on_cpu.run()
    run(roomy, "cuda")
    assert set(used(roomy).values()) == {("done", None, "whole", CUDA)}

    # with the permit: whole, in blocks, on the CPU
    cpu_class = used(on_cpu)[LARGE][-1]
    report = run(bench, "auto", limit=LIMIT)
    down = {
        SMALL: ("done", None, "whole", CUDA),
        MIDDLE: ("done", None, "blocks", CUDA),
        LARGE: ("done", "W_ON_CPU", "left", cpu_class),
    }
    assert used(bench) == down
    assert (report.exit_code(), report.facts()["reasons"]) == (0, {"W_ON_CPU": 1})
    for depth, same in ((SMALL, roomy), (MIDDLE, roomy), (LARGE, on_cpu)):
        assert values(bench, depth) == values(same, depth) != []
        assert kept(bench, depth) == kept(same, depth)
    assert verify_lake(bench.lake)["damaged"] == []
    told = lake_status(bench.lake)
    assert told["codes"] == {"W_ON_CPU": 1}
    assert "gpu.fallback" in told["what to do"]["W_ON_CPU"]
    by = explain_key(bench.lake, key_of(bench, LARGE))["computed by"]
    assert (by["numeric class"], by["device"], by["code"]) == (cpu_class, "left", "W_ON_CPU")
    (row,) = rows(bench.lake, "quarantine", code="W_ON_CPU")
    assert (row["subject"], row["severity"], row["stage"]) == (key_of(bench, LARGE), "warning", "done")

    # the same again takes it; so does "cuda" with the permit of the site
    assert run(bench, "auto", limit=LIMIT).executed == 0
    assert run(bench, "cuda", limit=LIMIT, fallback=True).executed == 0
    assert run(bench, "auto", limit=LIMIT, retry=("W_ON_CPU",)).executed == 1
    assert used(bench) == down

    # without the permit it is tried on the device, and ends there
    facts = planned(bench, "cuda", limit=LIMIT)
    assert facts["cases"]["to run"] == 1
    assert facts["device"]["cases in blocks"] == facts["device"]["cases that may not fit in blocks"] == 1
    assert facts["device"]["those that do not fit"] == "end with E_GPU_MEMORY"
    strict = run(bench, "cuda", limit=LIMIT)
    assert (strict.executed, strict.exit_code()) == (1, 2)
    assert used(bench) == {**down, LARGE: ("failed", "E_GPU_MEMORY", "blocks", CUDA)}
    assert values(bench, LARGE) == []
    assert run(bench, "cuda", limit=LIMIT).executed == 0

    # what the CPU said is there, for who permits it
    assert run(bench, "auto", limit=LIMIT).executed == 0
    assert used(bench) == down

    # a larger device: the failure stood under another share of it
    assert run(bench, "cuda").executed == 1
    assert used(bench) == {**down, LARGE: ("done", None, "whole", CUDA)}
    assert tables_of(bench.lake) == tables_of(roomy.lake)


def kill_at(stored, arguments, home, lake):
    """Start a run, and kill it once so many images are stored."""
    with started(arguments, home) as process:
        while process.poll() is None and len(list(lake.glob("objects/??/*/manifest.json"))) < stored:
            time.sleep(0.01)
    wait_for_quiet(home)


@pytest.mark.slow
def test_a_run_that_was_killed_on_its_way_down_ends_as_if_it_had_not_been(bench, home, monkeypatch):
    for name, value in environment(limit=LIMIT).items():
        monkeypatch.setenv(name, value)
    write_key(home)
    lakes = [bench.lake, bench.lake.with_name("killed")]
    serial, dask = (("--engine", "serial"), ("--engine", "dask", "--workers", "1"))
    whole, killed = (command([bench.archive], lake, bench.recipe, "--device", "auto") for lake in lakes)
    medpipe([*whole, *dask], home, exit_code=0)
    kill_at(4, [*killed, *dask], home, lakes[1])
    medpipe([*killed, *serial], home, exit_code=0)
    assert tables_of(lakes[0]) == tables_of(lakes[1])
    assert volumes_of(lakes[0]) == volumes_of(lakes[1])
    for lake in lakes:
        found = {(row["code"], row["device"]) for row in rows(lake, "cases")}
        assert found == {(None, "whole"), (None, "blocks"), ("W_ON_CPU", "left")}
