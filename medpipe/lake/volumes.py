"""Volumes in the lake: OME-Zarr 0.5 groups, published whole under their product key.

A group has one array, ``0``, in few shards of chunks of about 2^18 voxels, and two attributes:
``ome`` (axes, spacing, origin; https://ngff.openmicroscopy.org/0.5/) and ``medpipe`` (how
stored numbers become values, and the full affine).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from zarr.codecs import BloscCodec

from medpipe.errors import IntegrityError
from medpipe.lake.durable import storage_faults
from medpipe.lake.failpoints import hit
from medpipe.lake.lake import Lake
from medpipe.lake.layout import LAYOUT
from medpipe.lake.manifest import publish_with_manifest, write_manifest
from medpipe.lake.quantize import Grid, from_stored, grid_of, to_stored
from medpipe.lake.scratch import Spool
from medpipe.types import Geometry, Volume
from medpipe.xp import to_numpy

_AXES = ("zyx", "tzyx", "czyx")
_ARRAY = "0"
_CHUNK_VOXELS = 1 << 18
_CHUNK_DEPTH = 64
SHARD_BYTES = 64 << 20
"""Largest shard before compression: one is in memory, and what it compresses to."""


def put_volume(
    lake: Lake,
    key: str,
    volume: Volume,
    *,
    quantization: tuple[float, float] | None = None,
    chunks: tuple[int, ...] | None = None,
    attrs: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Store a volume under a product key, unless the same bytes are there already.

    Parameters
    ----------
    lake : Lake
    key : str
        Product key; it must cover everything that is stored, `attrs` included.
    volume : Volume
        Voxels of any real type, or a :class:`medpipe.lake.scratch.Spool`; what comes back is
        ``float32`` of them.
    quantization : (slope, intercept), optional
        Rescale values the voxels were made with, where they make int16 lossless.
    chunks : tuple of int, optional
        Chunk shape, one number per axis.
    attrs : mapping, optional
        More JSON values for the ``medpipe`` attribute.

    Returns
    -------
    dict
        ``store`` (path in the lake), ``dtype``, ``shape``, ``axes``, ``scale``, ``offset``.

    Raises
    ------
    IntegrityError
        If other bytes are stored under this key, or the array does not fit its geometry.
    StoppedError
        If the disk is full; nothing half-written stays.
    """
    _check(volume, key)
    path = LAYOUT.volume(key)
    values = _values(volume)
    grid = grid_of(values, quantization)
    attributes = {"ome": _ome(volume.geometry), "medpipe": _medpipe(volume, grid, attrs or {})}
    with storage_faults(path), lake.store.attempt_folder(key) as attempt:
        array = _new_array(attempt, volume.geometry, grid, chunks, attributes)
        # shard by shard: left to itself, Zarr holds many at once
        for region in _regions(array.shape, array.shards):
            array[region] = to_stored(values[region], grid)
        hit("volume.after_array")
        entries = write_manifest(attempt)
        hit("volume.after_manifest")
        publish_with_manifest(lake.store, attempt, path, entries)
    return {
        "store": path,
        "dtype": grid.dtype,
        "shape": list(volume.geometry.shape),
        "axes": volume.geometry.axes,
        "scale": grid.scale,
        "offset": grid.offset,
    }


def open_array(lake: Lake, store_path: str) -> tuple[Any, dict[str, Any]]:
    """Open the full-resolution array of a stored volume without reading it.

    Parameters
    ----------
    lake : Lake
    store_path : str
        ``volumes.store``.

    Returns
    -------
    array : zarr.Array
        Stored numbers: value = float32(float64(stored) * scale + offset).
    attributes : dict
        The ``medpipe`` attribute.

    Raises
    ------
    IntegrityError
        If there is no readable volume at this path.
    """
    root = lake.store.absolute(store_path)
    try:
        group: Any = zarr.open_group(str(root), mode="r", zarr_format=3)
        return group[_ARRAY], dict(group.attrs["medpipe"])
    except (FileNotFoundError, KeyError, ValueError):
        raise IntegrityError(f"{store_path}: no readable volume is there; run medpipe verify, then run again") from None


def read_volume(lake: Lake, store_path: str) -> Volume:
    """Read a stored volume.

    Parameters
    ----------
    lake : Lake
    store_path : str
        ``volumes.store``.

    Returns
    -------
    Volume
        float32; the key of the frame of reference is not kept in the store.

    Raises
    ------
    IntegrityError
        If there is no readable volume at this path.
    """
    array, how = open_array(lake, store_path)
    stored = np.asarray(array[...])
    data = from_stored(stored, Grid(stored.dtype.name, how["scale"], how["offset"]))
    geometry = Geometry(
        shape=tuple(data.shape),
        axes=how["axes"],
        spacing_mm=_floats(how["spacing_mm"]),
        affine_lps=_floats(how["affine_lps"]),
        slice_positions_mm=_floats(how["slice_positions_mm"]),
    )
    return Volume(
        data=data,
        geometry=geometry,
        unit=how["unit"],
        modality=how["modality"],
        verdict=how["verdict"],
        synthetic=how.get("synthetic", False),
    )


def chunk_shape(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the default chunk shape: about 2^18 voxels, cut evenly, one step along t or c.

    Thin stacks get wider chunks, since many small chunks in a shard are slow.
    """
    depth = _even(shape[-3], _CHUNK_DEPTH)
    edge = math.isqrt(_CHUNK_VOXELS // depth)
    return (*(1 for _ in shape[:-3]), depth, _even(shape[-2], edge), _even(shape[-1], edge))


def shard_shape(shape: tuple[int, ...], chunks: tuple[int, ...], itemsize: int) -> tuple[int, ...]:
    """Return the default shard shape: whole planes, or rows of few planes, of up to 64 MiB."""
    shard = [math.ceil(size / chunk) * chunk for size, chunk in zip(shape, chunks, strict=True)]
    for axis in range(len(shape) - 1):
        one = math.prod(shard) // shard[axis] * chunks[axis] * itemsize
        most = max(1, SHARD_BYTES // one) * chunks[axis]
        shard[axis] = math.ceil(_even(shape[axis], most) / chunks[axis]) * chunks[axis]
    return tuple(shard)


def _even(size: int, most: int) -> int:
    """Length of the pieces when `size` is cut evenly into as few as possible, `most` long."""
    return math.ceil(size / math.ceil(size / most))


def _check(volume: Volume, key: str) -> None:
    geometry = volume.geometry
    shape = tuple(volume.data.shape)
    if geometry.axes not in _AXES or len(geometry.axes) != len(shape) or shape != geometry.shape or 0 in shape:
        raise IntegrityError(f"volume {key}: the array does not fit its geometry; report it")


def _values(volume: Volume) -> Any:
    if isinstance(volume.data, Spool):
        return volume.data
    return np.asarray(to_numpy(volume.data), dtype=np.float32)


def _new_array(
    folder: Path, geometry: Geometry, grid: Grid, chunks: tuple[int, ...] | None, attributes: dict[str, Any]
) -> Any:
    shape, dtype = geometry.shape, np.dtype(grid.dtype)
    chunks = tuple(min(chunk, size) for chunk, size in zip(chunks or chunk_shape(shape), shape, strict=True))
    group = zarr.create_group(store=str(folder), zarr_format=3, attributes=attributes)
    return group.create_array(
        name=_ARRAY,
        shape=shape,
        dtype=dtype,
        chunks=chunks,
        shards=shard_shape(shape, chunks, dtype.itemsize),
        compressors=BloscCodec(cname="zstd", clevel=1, shuffle="bitshuffle", typesize=dtype.itemsize),
        fill_value=0,
        dimension_names=list(geometry.axes),
    )


def _regions(shape: tuple[int, ...], shards: tuple[int, ...]) -> Iterator[tuple[slice, ...]]:
    """Yield the place of each shard, as slices of all axes but the last."""
    starts = [range(0, size, step) for size, step in zip(shape[:-1], shards[:-1], strict=True)]
    for place in itertools.product(*starts):
        yield tuple(slice(start, start + step) for start, step in zip(place, shards[:-1], strict=True))


def _ome(geometry: Geometry) -> dict[str, Any]:
    types = {"t": {"type": "time"}, "c": {"type": "channel"}}
    space: dict[str, str] = {"type": "space"}
    if geometry.spacing_mm is not None:
        space["unit"] = "millimeter"
    lead = [1.0] * (len(geometry.axes) - 3)
    scale = lead + list(geometry.spacing_mm or (1.0, 1.0, 1.0))
    transforms: list[dict[str, Any]] = [{"type": "scale", "scale": scale}]
    if geometry.affine_lps is not None:
        x, y, z = (geometry.affine_lps[row * 4 + 3] for row in range(3))
        transforms.append(
            {"type": "translation", "translation": [float(step) for step in (*(0 for _ in lead), z, y, x)]}
        )
    return {
        "version": "0.5",
        "multiscales": [
            {
                "name": "volume",
                "axes": [{"name": name, **types.get(name, space)} for name in geometry.axes],
                "datasets": [{"path": _ARRAY, "coordinateTransformations": transforms}],
            }
        ],
    }


def _medpipe(volume: Volume, grid: Grid, attrs: Mapping[str, Any]) -> dict[str, Any]:
    geometry = volume.geometry
    own = {
        "scale": grid.scale,
        "offset": grid.offset,
        "axes": geometry.axes,
        "spacing_mm": _list(geometry.spacing_mm),
        "affine_lps": _list(geometry.affine_lps),
        "slice_positions_mm": _list(geometry.slice_positions_mm),
        "unit": volume.unit,
        "modality": volume.modality,
        "verdict": volume.verdict,
    }
    if volume.interpolated:
        own["interpolated_slices"] = list(volume.interpolated)
    if volume.synthetic:
        own["synthetic"] = True
    return {**own, **{name: attrs[name] for name in sorted(attrs) if name not in own}}


def _list(values: tuple[float, ...] | None) -> list[float] | None:
    return None if values is None else [float(value) for value in values]


def _floats(values: list[float] | None) -> Any:
    return None if values is None else tuple(values)
