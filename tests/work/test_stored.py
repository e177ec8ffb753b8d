"""Volumes beyond a worker's memory: out of DICOM into Zarr, and out of Zarr into Zarr, block by block."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from medpipe import open_lake
from medpipe.engine.numeric import pinned_environment
from medpipe.lake.lake import Lake
from medpipe.lake.volumes import open_array, put_volume, read_volume
from medpipe.ops.registry import make
from medpipe.plan import memory
from medpipe.privacy.secret import Secret
from medpipe.types import Geometry, Volume
from tests.bench.memory_table import STACK_RECIPE, lines_of, run, write_stack
from tests.work.stored import stored_volume, through

OPS = [{"op": "median", "size": 3}, {"op": "gaussian", "sigma_mm": 0.8}, {"op": "window", "preset": "soft_tissue"}]
MIB = 1 << 20
WORKER_MIB = 704


def by_scipy(data, spacing_mm):
    """Return what the chain of the recipe makes of an array, by its peers."""
    smooth = ndimage.median_filter(data.astype(np.float64), size=3, mode="nearest")
    smooth = ndimage.gaussian_filter(smooth, [0.8 / step for step in spacing_mm], mode="nearest", truncate=4.0)
    return np.clip((smooth - (40 - 200)) / 400, 0, 1)


@pytest.mark.parametrize("planes", [1, 5])
def test_a_stored_volume_goes_through_a_chain_into_another_store(tmp_path, monkeypatch, planes):
    monkeypatch.setattr(memory, "_SLAB_VOXELS", planes * 20 * 16)
    lake = Lake.create(tmp_path / "lake", privacy="pseudonymized", secret=Secret(bytes(32)))
    shape, spacing = (17, 20, 16), (1.0, 0.8, 0.8)
    data = np.random.default_rng(6).integers(-200, 300, shape).astype(np.float32)
    affine = (0.8, 0, 0, 0, 0, 0.8, 0, 0, 0, 0, 1.0, 0, 0, 0, 0, 1.0)
    volume = Volume(data=data, geometry=Geometry(shape=shape, spacing_mm=spacing, affine_lps=affine), unit="HU")
    store = put_volume(lake, "ab" * 32, volume, chunks=(4, 20, 16))["store"]
    found = read_volume(lake, through(lake, store, lake, [make("image", op, "here") for op in OPS]))
    np.testing.assert_allclose(found.data, by_scipy(data, spacing), atol=1e-5)
    assert found.unit == "normalized"
    assert list(lake.store.list("tmp")) == []


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_a_volume_of_four_times_a_worker_s_memory_goes_block_by_block():
    # on a disk: what lies in memory would count for nobody
    with tempfile.TemporaryDirectory(prefix="medpipe-", dir="/var/tmp") as name:
        folder = Path(name)
        (folder / "recipe.toml").write_text(STACK_RECIPE, encoding="utf-8")
        limits = f"workers = 1\n[limits]\nmemory_mb = {WORKER_MIB}\ncase_s = 3600\n"
        (folder / "site.toml").write_text(limits, encoding="utf-8")
        write_stack(folder / "archive", 4 * WORKER_MIB / 1024)
        run(folder / "archive", folder / "lake", str(folder / "recipe.toml"), site=folder / "site.toml")
        (line,) = lines_of(folder / "lake")
        assert (line.outcome, line.code) == ("done", "")
        assert line.peak <= WORKER_MIB * MIB <= math.prod(line.shape)
        (row,) = open_lake(folder / "lake").table("volumes").to_pylist()
        lake = Lake.open(folder / "lake")
        _holds_what_scipy_makes(lake, row)
        command = [sys.executable, "-m", "tests.work.stored", folder / "lake", row["store"], folder / "other"]
        environment = {**os.environ, **pinned_environment()}
        done = subprocess.run(
            [*command, folder / "recipe.toml"], env=environment, check=True, stdout=subprocess.PIPE, text=True
        )
        found = json.loads(done.stdout)
        assert found["peak_bytes"] <= WORKER_MIB * MIB
        print(
            json.dumps(
                {"mib": WORKER_MIB, "dicom to zarr": line.peak // MIB, "zarr to zarr": found["peak_bytes"] // MIB}
            )
        )
        _are_equal(Lake.open(folder / "other"), found["store"], lake, row["final_store"])


def _holds_what_scipy_makes(lake, row):
    original, final = (stored_volume(lake, row[name]) for name in ("store", "final_store"))
    depth = original.data.shape[0]
    # both ends, and around the end of a slab and of a shard
    for first, last in [(0, 3), (7, 10), (depth // 2 - 2, depth // 2 + 2), (depth - 2, depth)]:
        low, high = max(first - 12, 0), min(last + 12, depth)
        expected = by_scipy(original.data[low:high], original.geometry.spacing_mm)[first - low : last - low]
        np.testing.assert_allclose(final.data[first:last], expected, atol=1e-5)


def _are_equal(lake, store_path, other, other_path):
    (ours, how), (theirs, other_how) = open_array(lake, store_path), open_array(other, other_path)
    assert (ours.shape, ours.dtype, how["unit"]) == (theirs.shape, theirs.dtype, other_how["unit"])
    for first in range(0, ours.shape[0], ours.chunks[0]):
        planes = slice(first, first + ours.chunks[0])
        assert np.array_equal(ours[planes], theirs[planes])
