"""Which frame of which file lies where, found anew with pydicom alone.

Each plane of a published array must hold the pixels of the member that the tables place there;
and the header of that frame must say that it lies there.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pydicom

_MOST_MM = 0.01


@lru_cache(maxsize=4)
def _read(path: Path) -> tuple[Any, np.ndarray]:
    dataset = pydicom.dcmread(path, force=True)
    pixels = np.asarray(dataset.pixel_array)
    return dataset, pixels.reshape(-1, *pixels.shape[-2:])


def is_called_lossy(path: Path) -> bool:
    """Tell whether a header says that the pixels went through lossy compression (PS3.3 C.7.6.1.1.5)."""
    dataset = pydicom.dcmread(path, force=True, specific_tags=["LossyImageCompression"])
    return str(dataset.get("LossyImageCompression", "")) == "01"


def planes_wrong(root: Path, places: list[tuple[str, int]], array: np.ndarray, kind: str) -> int:
    """Return how many members are not the pixels at their place of the array.

    Parameters
    ----------
    root : Path
        Of the archive.
    places : list of (str, int)
        Path and frame of each member.
    array : array, (..., y, x)
    kind : str
        In a mosaic, a member is a whole volume.
    """
    part = 3 if kind == "mosaic" else 2
    planes = array.reshape(-1, *array.shape[-part:])
    wrong = abs(len(planes) - len(places))
    for (path, frame), found in zip(places, planes, strict=False):
        dataset, pixels = _read(root / path)
        values = _rescaled(dataset, frame, pixels[frame])
        wrong += not (_is_sheet_of(values, found) if kind == "mosaic" else np.array_equal(values, found))
    return wrong


def places_wrong(
    root: Path, places: list[tuple[str, int]], shape: tuple[int, ...], how: dict[str, Any], kind: str
) -> int:
    """Return how many frames' headers give another position than the array's geometry does."""
    affine = np.array(how["affine_lps"]).reshape(4, 4)
    normal = np.cross(affine[:3, 0], affine[:3, 1])
    normal /= np.linalg.norm(normal)
    offsets = how["slice_positions_mm"]
    wrong = 0
    for index, (path, frame) in enumerate(places):
        dataset, _ = _read(root / path)
        if kind == "mosaic":
            wrong += _is_tile_elsewhere(dataset, affine, shape)
            continue
        position = _position(dataset, frame)
        z = index % shape[-3]
        if offsets is None:
            wrong += bool(np.abs(affine[:3] @ [0, 0, z, 1] - position).max() > _MOST_MM)
        else:
            wrong += bool(abs(position @ normal - offsets[z]) > _MOST_MM)
    return wrong


def _is_tile_elsewhere(dataset: Any, affine: np.ndarray, shape: tuple[int, ...]) -> bool:
    """Tell whether the middle of the sheet, in its own header, is not the middle of a tile's plane.

    A sheet is written as one slice of its full size around the centre of the tiles; where the
    vendor lists the tiles' positions, the first and last of them are the ends of the stack.
    """
    tiles = dataset.get((0x0065, 0x1051))
    if tiles is not None:
        ends = sorted(tuple(affine[:3] @ [0, 0, z, 1]) for z in (0, shape[-3] - 1))
        said = sorted(tuple(np.array(tiles.value[end].ImagePositionPatient, float)) for end in (0, -1))
        return bool(np.abs(np.subtract(ends, said)).max() > _MOST_MM)
    across, down = np.array(dataset.ImageOrientationPatient, float).reshape(2, 3)
    row_step, column_step = map(float, dataset.PixelSpacing)
    corner = np.array(dataset.ImagePositionPatient, float)
    centre = corner + across * column_step * dataset.Columns / 2 + down * row_step * dataset.Rows / 2
    ends = [affine[:3] @ [shape[-1] / 2, shape[-2] / 2, z, 1] for z in (0, shape[-3] - 1)]
    return bool(min(np.abs(end - centre).max() for end in ends) > _MOST_MM)


def _rescaled(dataset: Any, frame: int, stored: np.ndarray) -> np.ndarray:
    slope, intercept = 1.0, 0.0
    for level in (*_groups(dataset, frame, "PixelValueTransformationSequence"), dataset):
        if "RescaleSlope" in level:
            slope, intercept = float(level.RescaleSlope), float(level.RescaleIntercept)
            break
    return (stored.astype(np.float64) * slope + intercept).astype(np.float32)


def _position(dataset: Any, frame: int) -> np.ndarray:
    for level in (*_groups(dataset, frame, "PlanePositionSequence"), dataset):
        if "ImagePositionPatient" in level:
            return np.array(level.ImagePositionPatient, float)
    return np.full(3, np.nan)


def _groups(dataset: Any, frame: int, keyword: str) -> list[Any]:
    frames = dataset.get("PerFrameFunctionalGroupsSequence") or []
    levels = [*frames[frame : frame + 1], *(dataset.get("SharedFunctionalGroupsSequence") or [])]
    return [item for level in levels for item in level.get(keyword) or []]


def _is_sheet_of(sheet: np.ndarray, tiles: np.ndarray) -> bool:
    n, rows, columns = tiles.shape
    cut = sheet.reshape(sheet.shape[0] // rows, rows, sheet.shape[1] // columns, columns).swapaxes(1, 2)
    cut = cut.reshape(-1, rows, columns)[:n]
    return np.array_equal(cut, tiles) or np.array_equal(cut[::-1], tiles)
