"""Mosaics: many slices as tiles of one sheet, described in vendors' private elements.

Siemens writes the sheet's position as that of a slice of the sheet's size; UIH lists the
position of every tile. Sources: dcm2niix Siemens and UIH notes; DICOM leaves both undefined.
"""

from __future__ import annotations

import math
import re
import struct
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from medpipe.archive.elements import items, number, numbers, text, value
from medpipe.archive.frames import Plane, check_plane, normal_of
from medpipe.archive.integers import Integer

_TILE_SIZE = re.compile(r"^(\d+)[a-zA-Z]?\*(\d+)[a-zA-Z]?")
_CSA_NAME_BYTES = 64
_number = struct.Struct("<I").unpack_from


@dataclass(frozen=True, slots=True, kw_only=True)
class Mosaic:
    """How to unpack a sheet.

    Attributes
    ----------
    n_tiles, tile_rows, tile_columns, grid_columns : int
        Tiles in use, their size, and tiles in a row of the sheet.
    position : tuple of 3 float
        LPS mm of the first pixel of the slice that comes first along the normal.
    step_mm : tuple of 3 float
        From one slice to the next along the normal.
    reverse : bool
        Tiles run against the normal.
    """

    n_tiles: Integer
    tile_rows: Integer
    tile_columns: Integer
    grid_columns: Integer
    position: tuple[float, ...]
    step_mm: tuple[float, ...]
    reverse: bool = False

    def to_json(self) -> dict[str, Any]:
        """Return the mosaic as JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, found: dict[str, Any]) -> Mosaic:
        """Read what :meth:`to_json` wrote."""
        plain: dict[str, Any] = {name: tuple(item) if isinstance(item, list) else item for name, item in found.items()}
        return cls(**plain)


def is_mosaic(dataset: Any, plane: Plane) -> bool:
    """Tell whether an image is a sheet of tiles, described or not."""
    return "MOSAIC" in plane.image_type or "VFRAME" in plane.image_type or number(dataset, (0x0065, 0x1050)) is not None


def read_mosaic(dataset: Any, plane: Plane, *, rows: int, columns: int) -> Mosaic | None:
    """Return how to unpack a sheet, or None where the elements it takes are missing."""
    if check_plane(plane):
        return None
    if number(dataset, (0x0065, 0x1050)) is not None:
        return _uih(dataset, plane, rows=rows, columns=columns)
    return _siemens(dataset, plane, rows=rows, columns=columns)


def _uih(dataset: Any, plane: Plane, *, rows: int, columns: int) -> Mosaic | None:
    size = _tile_size(text(dataset, (0x0065, 0x1004)), rows=rows, columns=columns)
    n_tiles = int(number(dataset, (0x0065, 0x1050)) or 0)
    positions = [numbers(item, "ImagePositionPatient") for item in items(dataset, (0x0065, 0x1051))]
    if size is None or n_tiles < 2 or len(positions) != n_tiles or any(len(place) != 3 for place in positions):
        return None
    places = np.array(positions)
    step = (places[-1] - places[0]) / (n_tiles - 1)
    reverse = bool(step @ normal_of(plane) < 0)
    if np.abs(places - (places[0] + np.arange(n_tiles)[:, None] * step)).max() > 0.01:
        return None
    first, step = (places[-1], -step) if reverse else (places[0], step)
    return _mosaic(size, n_tiles, columns, first, step, reverse=reverse)


def _siemens(dataset: Any, plane: Plane, *, rows: int, columns: int) -> Mosaic | None:
    csa = value(dataset, (0x0029, 0x1010))
    csa = csa if isinstance(csa, bytes) else b""
    size, n_tiles = _siemens_tiles(dataset, csa, rows=rows, columns=columns)
    if size is None or n_tiles < 2 or len(plane.position) != 3 or not plane.between_mm or plane.between_mm < 0:
        return None
    tile_rows, tile_columns = size
    if tile_rows * tile_columns * n_tiles > rows * columns:
        return None
    row_step, column_step = plane.spacing_mm
    along_row, along_column = np.array(plane.orientation[:3]), np.array(plane.orientation[3:])
    first = (
        np.array(plane.position)
        + along_row * column_step * (columns - tile_columns) / 2
        + along_column * row_step * (rows - tile_rows) / 2
    )
    normal = normal_of(plane)
    step = normal * plane.between_mm
    slice_normal = _csa_numbers(csa, "SliceNormalVector")
    reverse = len(slice_normal) == 3 and float(np.dot(slice_normal, normal)) < 0
    if reverse:
        first = first - (n_tiles - 1) * step
    return _mosaic(size, n_tiles, columns, first, step, reverse=reverse)


def _siemens_tiles(dataset: Any, csa: bytes, *, rows: int, columns: int) -> tuple[tuple[int, int] | None, int]:
    counted = number(dataset, (0x0019, 0x100A))
    if counted is None:
        found = _csa_numbers(csa, "NumberOfImagesInMosaic")
        counted = found[0] if found else None
    if counted is not None and counted >= 1:
        # the sheet is square in tiles, as small as holds them
        per_side = math.ceil(math.sqrt(counted))
        fits = rows % per_side == 0 and columns % per_side == 0
        return ((rows // per_side, columns // per_side) if fits else None), int(counted)
    # an anonymised sheet: the acquisition matrix is the tile, and any tile may be in use
    size = _tile_size(text(dataset, (0x0051, 0x100B)), rows=rows, columns=columns)
    return size, 0 if size is None else (rows // size[0]) * (columns // size[1])


def _tile_size(matrix: str, *, rows: int, columns: int) -> tuple[int, int] | None:
    found = _TILE_SIZE.match(matrix)
    if found is None:
        return None
    tile_rows, tile_columns = int(found[1]), int(found[2])
    if tile_rows == 0 or tile_columns == 0 or rows % tile_rows or columns % tile_columns:
        return None
    return tile_rows, tile_columns


def _mosaic(size: tuple[int, int], n_tiles: int, columns: int, first: Any, step: Any, *, reverse: bool) -> Mosaic:
    return Mosaic(
        n_tiles=n_tiles,
        tile_rows=size[0],
        tile_columns=size[1],
        grid_columns=columns // size[1],
        position=tuple(float(item) for item in first),
        step_mm=tuple(float(item) for item in step),
        reverse=reverse,
    )


def _csa_numbers(csa: bytes, name: str) -> tuple[float, ...]:
    """Return the numbers of a named element of a Siemens CSA2 header ("SV10")."""
    if csa[:4] != b"SV10" or len(csa) < 16:
        return ()
    offset, wanted = 16, name.encode() + b"\0"
    for _ in range(min(_number(csa, 8)[0], 1000)):
        if offset + _CSA_NAME_BYTES + 20 > len(csa):
            return ()
        is_wanted = csa.startswith(wanted, offset)
        n_items = min(_number(csa, offset + _CSA_NAME_BYTES + 12)[0], 10_000)
        offset += _CSA_NAME_BYTES + 20
        texts = []
        # there are a thousand items before the one that is wanted: they are passed by as quickly as may be
        for _ in range(n_items):
            if offset + 16 > len(csa):
                return ()
            size = _number(csa, offset + 4)[0]
            if is_wanted:
                texts.append(csa[offset + 16 : offset + 16 + size])
            offset += 16 + ((size + 3) & ~3)
        if is_wanted:
            return _as_numbers(texts)
    return ()


def _as_numbers(texts: list[bytes]) -> tuple[float, ...]:
    plain = [item.partition(b"\0")[0].strip() for item in texts]
    try:
        return tuple(float(item) for item in plain if item)
    except ValueError:
        return ()
