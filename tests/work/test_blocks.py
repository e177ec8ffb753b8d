"""The slab way against the whole way: the same keys, the same bytes."""

from __future__ import annotations

import json
import tomllib
from dataclasses import replace

import numpy as np
import pytest

from medpipe.archive.assemble import assemble
from medpipe.archive.header import read_header
from medpipe.archive.source import FolderSource
from medpipe.errors import Rejected
from medpipe.lake.lake import Lake
from medpipe.lake.runs import Run
from medpipe.lake.scratch import Scratch, Spool
from medpipe.ops.registry import make
from medpipe.plan import memory
from medpipe.plan.memory import SLABS_ABOVE_VOXELS
from medpipe.privacy.secret import Secret
from medpipe.recipe.lock import lock_recipe
from medpipe.recipe.recipe import parse_recipe
from medpipe.types import Geometry, Volume
from medpipe.values import SuvScales
from medpipe.work.blocks import apply_in_slabs
from medpipe.work.case import run_case
from medpipe.work.content import volume_digest
from medpipe.work.session import CaseRoom, CaseSession
from tests.archive.conftest import make_slice, to_bytes
from tests.work.rooms import an_order

PLANES = 9
OPS = [
    {"op": "median", "size": 3},
    {"op": "gaussian", "sigma_mm": 3.0},
    {"op": "tv", "weight": 40.0, "iterations": 3},
    {"op": "window", "preset": "soft_tissue"},
]
RECIPE = """
name = "r"

[[route]]
name = "mr"
image = [ { op = "median" }, { op = "gaussian", sigma_mm = 3.0 }, { op = "clip", low = -500, high = 900.5 } ]
keep = [ "original", "final" ]
"""


def folder_of(path, *, slope=1.0, odd=None):
    """Write a stack of noise and return headers by path."""
    path.mkdir()
    headers = {}
    for place in range(PLANES):
        pixels = np.random.default_rng(place).integers(0, 3000, (24, 20)).astype(np.uint16)
        more = {"RescaleSlope": odd} if odd is not None and place == 4 else {"RescaleSlope": slope}
        data = to_bytes(make_slice(pixels, position=(0, 0, 2.5 * place), InstanceNumber=place + 1, **more))
        (path / f"{place}.dcm").write_bytes(data)
        with FolderSource(path).opened(f"{place}.dcm") as file:
            headers[f"{place}.dcm"] = read_header(data, path=f"{place}.dcm", size=len(data), version=file.version)
    return headers


def locator_of(path, headers):
    (stack,) = assemble(list(headers.values()), None).stacks
    return {
        "root": str(path),
        "stack": json.loads(json.dumps(stack.to_json())),
        "companions": [],
        "digests": {name: header.content for name, header in headers.items()},
        "frame_of_reference_key": None,
    }


def run_both(tmp_path, headers):
    """Run a case whole, then in slabs into the same lake; return both results."""
    lake = Lake.create(tmp_path / "lake", privacy="pseudonymized", secret=Secret(bytes(32)))
    run = Run(lake, "run-1")
    run.write_lock(lock_recipe(parse_recipe(tomllib.loads(RECIPE)), lambda _: pytest.fail("no model")).to_toml())
    session = CaseSession(lake, run, device="cpu")
    locator = locator_of(tmp_path / "archive", headers)
    results = [run_one(session, locator, above_voxels) for above_voxels in (SLABS_ABOVE_VOXELS, 100)]
    assert list(lake.store.list("tmp")) == []
    return results


def run_one(session, locator, above_voxels):
    with Scratch(session.lake) as scratch:
        route = session.lock.recipe.route("mr")
        room = CaseRoom(session, route, locator, scratch, slabs_above_voxels=above_voxels)
        result = run_case(an_order(), room, lambda stage, subject: None)
        assert bool(list(session.lake.store.list("tmp"))) == (above_voxels == 100)
        return result


@pytest.fixture
def single_planes(monkeypatch):
    monkeypatch.setattr(memory, "_SLAB_VOXELS", 1)


@pytest.mark.usefixtures("single_planes")
@pytest.mark.parametrize("how", [{"slope": 1.0}, {"slope": 0.37}, {"odd": 0.5}])
def test_a_case_in_slabs_stores_the_bytes_of_the_whole_way(tmp_path, how):
    # both publish under one key, so that one byte that differs is an integrity alarm
    whole, slabs = run_both(tmp_path, folder_of(tmp_path / "archive", **how))
    assert whole.case.status == "done"
    assert slabs.case.content_digest == whole.case.content_digest
    assert slabs.case.result_digest == whole.case.result_digest
    assert slabs.products == whole.products


def test_a_case_in_the_memory_of_another_is_the_case_alone(tmp_path):
    found = {}
    for name, slopes in (("after", (0.5, 2.0)), ("alone", (2.0,))):
        lake = Lake.create(tmp_path / name, privacy="pseudonymized", secret=Secret(bytes(32)))
        run = Run(lake, "run-1")
        run.write_lock(lock_recipe(parse_recipe(tomllib.loads(RECIPE)), lambda _: pytest.fail("no model")).to_toml())
        session = CaseSession(lake, run, device="cpu")
        places = []
        for slope in slopes:
            folder = tmp_path / f"{name} {slope}"
            locator = locator_of(folder, folder_of(folder, slope=slope))
            with Scratch(lake) as scratch:
                room = CaseRoom(session, session.lock.recipe.route("mr"), locator, scratch)
                places.append(room.read().volume.data.__array_interface__["data"][0])
                found[name] = run_case(an_order(), room, lambda stage, subject: None)
        assert len(set(places)) == 1
    assert found["after"].case.status == "done"
    assert found["after"].products == found["alone"].products


def test_room_is_made_for_the_case_that_comes(tmp_path):
    lake = Lake.create(tmp_path / "lake", privacy="pseudonymized", secret=Secret(bytes(32)))
    run = Run(lake, "run-1")
    run.write_lock(lock_recipe(parse_recipe(tomllib.loads(RECIPE)), lambda _: pytest.fail("no model")).to_toml())
    locator = locator_of(tmp_path / "archive", folder_of(tmp_path / "archive"))
    run.write_shard(0, [], [json.dumps({"locator": locator})])
    session = CaseSession(lake, run, device="cpu")
    session.memory.array((1 << 20,))[:] = 1
    session.make_room("case", {"shard": 0, "row": 0})
    left = session.memory.array((1 << 20,))
    assert left[: PLANES * 24 * 20].all()
    assert not left[1 << 19 :].any()


def test_a_voxel_that_is_no_number_is_refused_either_way(tmp_path):
    results = run_both(tmp_path, folder_of(tmp_path / "archive", odd=1e300))
    assert [result.case.code for result in results] == ["E_NONFINITE", "E_NONFINITE"]


@pytest.mark.parametrize("planes", [1, 4, 100])
@pytest.mark.parametrize("count", range(1, len(OPS) + 1))
def test_a_chain_in_slabs_is_the_chain_of_the_whole_bit_for_bit(tmp_path, monkeypatch, planes, count):
    ops = [make("image", op, "here") for op in OPS[:count]]
    geometry = Geometry(shape=(21, 12, 11), spacing_mm=(2.5, 1.0, 0.8))
    data = np.random.default_rng(2).normal(0, 400, geometry.shape).astype(np.float32)
    whole = volume = Volume(data=data, geometry=geometry, unit="HU", modality="CT")
    for op in ops:
        whole = op(whole)
    monkeypatch.setattr(memory, "_SLAB_VOXELS", planes * 12 * 11)
    with Spool(tmp_path / "in", geometry.shape) as given, Spool(tmp_path / "out", geometry.shape) as result:
        given[0 : len(data)] = data
        done = apply_in_slabs(ops, volume.with_data(given), result, device="cpu")
        assert done.data is result
        assert done.data[:].tobytes() == whole.data.tobytes()
        assert volume_digest(done) == volume_digest(whole)
        assert replace(done, data=None) == replace(whole, data=None)


@pytest.mark.parametrize("planes", [1, 4])
@pytest.mark.parametrize("factors", [(0.25,), tuple(0.1 + 0.01 * place for place in range(21))], ids=["one", "each"])
def test_uptake_in_slabs_has_the_factors_of_its_planes(tmp_path, monkeypatch, planes, factors):
    ops = [make("image", op, "here") for op in ({"op": "suv"}, {"op": "gaussian", "sigma_mm": 3.0})]
    geometry = Geometry(shape=(21, 12, 11), spacing_mm=(2.5, 1.0, 0.8))
    data = np.random.default_rng(2).uniform(0, 4e4, geometry.shape).astype(np.float32)
    volume = Volume(data=data, geometry=geometry, modality="PT", suv=SuvScales(by_kind={"bw": factors}))
    whole = ops[1](ops[0](volume))
    monkeypatch.setattr(memory, "_SLAB_VOXELS", planes * 12 * 11)
    with Spool(tmp_path / "in", geometry.shape) as given, Spool(tmp_path / "out", geometry.shape) as result:
        given[0 : len(data)] = data
        done = apply_in_slabs(ops, volume.with_data(given), result, device="cpu")
        assert done.data[:].tobytes() == whole.data.tobytes()
        assert replace(done, data=None) == replace(whole, data=None)


def test_what_an_op_refuses_of_a_slab_is_refused(tmp_path):
    op = make("image", {"op": "gaussian", "sigma_mm": 1.0}, "here")
    bare = Volume(data=None, geometry=Geometry(shape=(4, 5, 6)))
    with (
        Spool(tmp_path / "in", (4, 5, 6)) as given,
        Spool(tmp_path / "out", (4, 5, 6)) as result,
        pytest.raises(Rejected, match="E_SPACING"),
    ):
        apply_in_slabs([op], bare.with_data(given), result, device="cpu")
