"""What a lake published of an archive, read through its documented tables and Zarr groups alone."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.dataset as ds
import zarr


@dataclass(frozen=True, kw_only=True)
class Published:
    """An identified lake.

    Attributes
    ----------
    lake : Path
    """

    lake: Path

    def rows(self, name: str) -> list[dict[str, Any]]:
        """Return the rows of a table."""
        return ds.dataset((self.lake / "tables" / name).resolve()).to_table().to_pylist()

    @cached_property
    def instances(self) -> dict[str, dict[str, Any]]:
        """Return the rows of ``instances`` by path."""
        return {row["path"]: row for row in self.rows("instances")}

    @cached_property
    def volumes(self) -> dict[str, dict[str, Any]]:
        """Return the rows of ``volumes`` by key."""
        return {row["volume_key"]: row for row in self.rows("volumes")}

    @cached_property
    def members(self) -> dict[str, list[tuple[str, int]]]:
        """Return path and frame of the members of each volume, in their order."""
        path_of = {row["instance_key"]: path for path, row in self.instances.items()}
        found = defaultdict(list)
        for row in self.rows("members"):
            found[row["volume_key"]].append((row["index"], path_of[row["instance_key"]], row["frame"]))
        for places in found.values():
            places.sort()
            assert [index for index, *_ in places] == list(range(len(places)))
        return {key: [(path, frame) for _, path, frame in places] for key, places in found.items()}

    @cached_property
    def volumes_of(self) -> dict[str, set[str]]:
        """Return the keys of the volumes each path is a member of."""
        found = defaultdict(set)
        for key, places in self.members.items():
            for path, _ in places:
                found[path].add(key)
        return found

    def array(self, volume: dict[str, Any]) -> tuple[np.ndarray, dict[str, Any]]:
        """Return a volume's values as float32 and the ``medpipe`` attribute of its group."""
        group = zarr.open_group(str(self.lake / volume["store"]), mode="r")
        how = dict(group.attrs["medpipe"])
        stored = np.asarray(group["0"][...])
        return (stored.astype("<f8") * how["scale"] + how["offset"]).astype("<f4"), how
