"""A chain of ops out of a stored volume and into another one, some planes at a time.

``python -m tests.work.stored LAKE STORE RESULT RECIPE`` does the work of a recipe's first route
and prints, as JSON, where the result lies and the most memory that the process held.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

from medpipe.engine.boundary import peak_bytes
from medpipe.keys import digest
from medpipe.lake.lake import Lake
from medpipe.lake.quantize import Grid, from_stored
from medpipe.lake.scratch import Scratch
from medpipe.lake.volumes import open_array, put_volume
from medpipe.privacy.secret import Secret
from medpipe.recipe.recipe import load_recipe
from medpipe.types import Geometry, Volume
from medpipe.work.blocks import apply_in_slabs


class StoredVoxels:
    """Values of a stored volume, read by slices of planes."""

    def __init__(self, lake: Lake, store_path: str) -> None:
        self._array, self.how = open_array(lake, store_path)
        self._grid = Grid(self._array.dtype.name, self.how["scale"], self.how["offset"])
        self.shape = tuple(self._array.shape)

    def __getitem__(self, planes: slice) -> np.ndarray:
        first, last, _ = planes.indices(self.shape[0])
        result = np.empty((last - first, *self.shape[1:]), np.float32)
        # chunks are deeper than what is asked for, and Zarr holds all that a read touches
        rows = 2 * self._array.chunks[1]
        for top in range(0, self.shape[1], rows):
            part = self._array[planes, top : top + rows]
            result[:, top : top + rows] = from_stored(np.asarray(part), self._grid)
        return result


def stored_volume(lake: Lake, store_path: str) -> Volume:
    """Return a stored volume whose voxels are read when they are asked for."""
    voxels = StoredVoxels(lake, store_path)
    how = voxels.how
    geometry = Geometry(shape=voxels.shape, spacing_mm=tuple(how["spacing_mm"]), affine_lps=tuple(how["affine_lps"]))
    return Volume(data=voxels, geometry=geometry, unit=how["unit"], modality=how["modality"], verdict=how["verdict"])


def through(lake: Lake, store_path: str, target: Lake, ops: Any) -> str:
    """Apply ops to a stored volume block by block; return where the result lies in the other lake."""
    volume = stored_volume(lake, store_path)
    with Scratch(target) as scratch:
        done = apply_in_slabs(ops, volume, scratch.spool(volume.geometry.shape), device="cpu")
        stored: str = put_volume(target, digest([store_path]), done)["store"]
    return stored


def main() -> None:
    """Do what the command line says."""
    lake, store_path, result, recipe = sys.argv[1:]
    target = Lake.create(Path(result), privacy="pseudonymized", secret=Secret(bytes(32)))
    store = through(Lake.open(Path(lake)), store_path, target, load_recipe(recipe).routes[0].image)
    print(json.dumps({"store": store, "peak_bytes": peak_bytes()}))


if __name__ == "__main__":
    main()
