"""Sandboxes that use a device: started from nothing, with no limit to their addresses; slabs go there and come back."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from medpipe.app.run import _engine_spec
from medpipe.app.site import Site
from medpipe.engine import dask_worker
from medpipe.engine.pool import SandboxPool
from medpipe.lake.scratch import Spool
from medpipe.ops.registry import make
from medpipe.types import Geometry, Volume
from medpipe.work.blocks import apply_in_slabs
from tests.device.standing import stand_in


def spec_of(device, **site):
    prepared = SimpleNamespace(
        device=device, lake=SimpleNamespace(root=Path("lake")), secret=SimpleNamespace(path=Path("key"))
    )
    request = SimpleNamespace(site=Site(**site))
    return _engine_spec(request, prepared, SimpleNamespace(name="run"))


@pytest.mark.parametrize("engine", ["serial", "dask"])
def test_what_uses_cuda_is_neither_forked_nor_held_to_addresses(engine):
    spec = spec_of("cuda", engine=engine)
    assert spec.init["device"] == "cuda"
    assert not spec.forks
    assert spec.address_space_bytes is None
    assert spec_of("cpu", engine=engine).forks


def test_a_worker_of_dask_starts_sandboxes_as_it_is_told(monkeypatch):
    made = []
    monkeypatch.setattr(dask_worker, "SandboxPool", lambda spec, **_: made.append(spec) or SandboxPool(spec, size=1))
    monkeypatch.setattr(dask_worker, "open_by_name", lambda *_: SimpleNamespace(close=lambda: None))
    place = dask_worker._Place(
        spec=spec_of("cuda", engine="dask"), memory_bytes=None, size=1, worker=SimpleNamespace(), topic="t"
    )
    place._made().close()
    (sandbox,) = made
    assert (sandbox.forks, sandbox.address_space_bytes, sandbox.zygote()) == (False, None, None)


def test_slabs_of_a_spool_go_to_the_device_and_only_what_is_kept_comes_back(tmp_path, monkeypatch):
    monkeypatch.setattr("medpipe.work.blocks.slab_planes", lambda shape: 3)
    x = np.random.default_rng(6).normal(0, 50, (11, 9, 10)).astype(np.float32)
    ops = [make("image", {"op": "median"}, "a"), make("image", {"op": "gaussian", "sigma_mm": 1.0}, "b")]
    with (
        Spool(tmp_path / "given", x.shape) as given,
        Spool(tmp_path / "host", x.shape) as on_host,
        Spool(tmp_path / "device", x.shape) as on_device,
        stand_in() as cupy,
    ):
        given[:] = x
        volume = Volume(data=given, geometry=Geometry(shape=x.shape, spacing_mm=(2.0, 1.0, 1.0)))
        apply_in_slabs(ops, volume, on_host, device="cpu")
        apply_in_slabs(ops, volume, on_device, device="cuda")
        np.testing.assert_allclose(on_device[:], on_host[:], atol=1e-4 * float(np.ptp(x)))
        moved = [
            one for one in cupy.standin.counts().transfers if one["where"].rpartition(":")[0].endswith("blocks.py")
        ]
    assert sum(one["bytes"] for one in moved if one["way"] == "to_host") == x.nbytes
