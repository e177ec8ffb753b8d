"""Volumes through the lake against bare array files.

What medpipe does beside compressing: it proves that int16 loses no bit, takes the SHA-256 of
every file for the manifest, makes all of it durable and publishes it by one rename. CPU time
shows the first two; the wall times in the JSON file show the rest.
"""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import zarr
from zarr.codecs import BloscCodec

from medpipe.keys import digest
from medpipe.lake.lake import Lake
from medpipe.lake.volumes import chunk_shape, put_volume, read_volume, shard_shape
from medpipe.privacy.secret import Secret
from medpipe.types import Geometry, Volume
from tests.bench.paired import Bench
from tests.bench.stacks import largest

SHAPE = (96, 512, 512)


def benches(folder: Path) -> Iterator[Bench]:
    """Yield the comparisons: write and read, against Zarr and against NumPy's own files."""
    lake = Lake.create(folder / "lake", privacy="pseudonymized", secret=Secret(bytes(32)))
    values = _values()
    volume = Volume(data=values, geometry=Geometry(shape=SHAPE, spacing_mm=(2.5, 0.7, 0.7)), unit="HU", modality="CT")
    number = itertools.count()

    def put() -> str:
        stored: str = put_volume(lake, digest(["bench", next(number)]), volume)["store"]
        return stored

    peers: list[tuple[str, Callable[[], Path], Callable[[Path], np.ndarray]]] = [
        ("zarr-python", lambda: _write_zarr(folder / f"peer-{next(number)}", values), _read_zarr),
        ("np.save int16", lambda: _save(folder / f"peer-{next(number)}.npy", values), _load),
    ]
    size = "96x512x512 float32"
    for peer, write, read in peers:
        yield Bench(
            subject="volume, write",
            size=size,
            ours=put,
            peer=peer,
            theirs=write,
            fresh_bytes=4 * values.nbytes,
            difference=lambda stored, path, read=read: _read_back(lake, stored, path, read),
        )
        ours, theirs = put(), write()
        yield Bench(
            subject="volume, read",
            size=size,
            ours=lambda ours=ours: read_volume(lake, ours).data,
            peer=peer.replace("save", "load"),
            theirs=lambda theirs=theirs, read=read: read(theirs),
            difference=largest,
            fresh_bytes=4 * values.nbytes,
            moved_bytes=values.nbytes,
        )


def _values() -> np.ndarray:
    rng = np.random.default_rng(21)
    z, y, x = np.ogrid[: SHAPE[0], : SHAPE[1], : SHAPE[2]]
    body = np.where((y - 256) ** 2 + (x - 256) ** 2 < (180 + z) ** 2, 40.0, -1000.0)
    return (body + np.rint(rng.normal(0, 12, SHAPE))).astype(np.float32)


def _write_zarr(path: Path, values: np.ndarray) -> Path:
    chunks = chunk_shape(values.shape)
    array = zarr.create_array(
        store=str(path),
        shape=values.shape,
        dtype="int16",
        chunks=chunks,
        shards=shard_shape(values.shape, chunks, 2),
        compressors=BloscCodec(cname="zstd", clevel=1, shuffle="bitshuffle", typesize=2),
    )
    array[...] = values.astype(np.int16)
    return path


def _read_zarr(path: Path) -> np.ndarray:
    return np.asarray(zarr.open_array(str(path), mode="r")[...]).astype(np.float32)


def _save(path: Path, values: np.ndarray) -> Path:
    np.save(path, values.astype(np.int16))
    return path


def _load(path: Path) -> np.ndarray:
    return np.load(path).astype(np.float32)


def _read_back(lake: Lake, stored: str, path: Path, read: Callable[[Path], np.ndarray]) -> float:
    found = largest(read_volume(lake, stored).data, read(path))
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    return found
