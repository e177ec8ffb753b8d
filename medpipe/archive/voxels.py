"""From a stack to its voxels: decode each file once, rescale each frame by its own numbers."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol

import numpy as np

from medpipe.archive.doubts import are_timed, frames_of
from medpipe.archive.header import Header, is_unchanged
from medpipe.archive.native import is_native, native_frames
from medpipe.archive.pixels import Pixels, codec_boundary, decode
from medpipe.archive.real_world import read_maps
from medpipe.archive.stacks import Stack
from medpipe.archive.vendor import Mosaic
from medpipe.errors import Rejected
from medpipe.kernels.rescale import rescale
from medpipe.types import RealWorldValues, Volume

Quantization = tuple[float, float]
"""(slope, intercept): every voxel is an integer times slope plus intercept."""


_MOST_FLOAT32: Final = float(np.finfo(np.float32).max)


class Planes(Protocol):
    """What planes can be put into, one by one: a place outside of memory, or an array."""

    @property
    def ndim(self) -> int:
        """Number of axes."""

    def __setitem__(self, place: int, plane: np.ndarray[Any, np.dtype[np.float32]]) -> None:
        """Take the plane of a place."""


def load_volume(
    stack: Stack,
    headers: Mapping[str, Header],
    open_item: Callable[[str], bytes | memoryview],
    *,
    frame_of_reference_key: str | None = None,
    into: Planes | None = None,
    with_maps: bool = False,
) -> tuple[Volume, Quantization | None]:
    """Read a stack's voxels.

    Value = stored x slope + intercept, in float64 and by frame, then float32. Polarity
    (MONOCHROME1) is kept as stored; colour and segmentations are not rescaled.

    Parameters
    ----------
    stack : Stack
    headers : mapping
        Path to header, at least of the stack's files.
    open_item : callable
        Path to bytes, which need not be there any more when another file is opened.
    frame_of_reference_key : str, optional
        Pseudonym for the geometry.
    into : Planes, optional
        Takes the planes instead of an array in memory, and becomes the volume's data; only
        for stacks of planes (z, y, x), neither colour nor mosaic.
    with_maps : bool
        Read the real-world value maps of each member too.

    Returns
    -------
    volume : Volume
        float32 of ``stack.shape``; colour is (3, frames, y, x).
    quantization : (float, float) or None
        Where all members are integers under one slope and intercept.

    Raises
    ------
    Rejected
        ``stack.code`` of a refused stack, ``E_CHANGED`` if a file is not what its header was
        read from, ``E_NONFINITE``, ``E_AMBIGUOUS_4D`` where two times are copies that no
        temporal element tells apart, or what decoding says.
    """
    if stack.refused:
        raise Rejected(stack.code)
    array: Any = np.empty(stack.shape, dtype=np.float32) if into is None else into
    scales: set[Quantization | None] = set()
    finite = True
    maps: dict[int, tuple[RealWorldValues, ...]] = {}
    for path, places in _places(stack).items():
        header = headers[path]
        data = open_item(path)
        if not is_unchanged(header, data):
            raise Rejected("E_CHANGED")
        if is_native(header):
            found, is_finite = _fill_native(array, stack, header, native_frames(header, data), places)
        else:
            found, is_finite = _fill(array, stack, header, decode(header, bytes(data)), places)
        scales |= found
        finite &= is_finite
        if with_maps:
            maps |= _maps_of(places, header, bytes(data))
    if not finite:
        raise Rejected("E_NONFINITE")
    # localizers of one place are pictures, not times
    is_timed = stack.kind != "series4d" or "W_LOCALIZER" in stack.flags or _are_timed(stack, headers)
    if not is_timed and _repeats(array):
        raise Rejected("E_AMBIGUOUS_4D")
    volume = Volume(
        data=array,
        geometry=stack.geometry(frame_of_reference_key),
        unit=stack.unit,
        modality=stack.modality,
        verdict=stack.verdict,
        suv=stack.suv,
        padding=stack.padding,
        real_world=_joined(maps),
    )
    return volume, scales.pop() if len(scales) == 1 else None


def _repeats(array: Any) -> bool:
    """Tell whether two volumes of a series are equal, voxel by voxel."""
    middle = array.shape[1] // 2
    seen: dict[bytes, list[int]] = {}
    for time, volume in enumerate(array):
        alike = seen.setdefault(hashlib.sha256(volume[middle].tobytes()).digest(), [])
        if any(np.array_equal(array[other], volume) for other in alike):
            return True
        alike.append(time)
    return False


def _are_timed(stack: Stack, headers: Mapping[str, Header]) -> bool:
    """Tell whether temporal elements tell the times of a series apart."""
    frames = frames_of(stack, headers)
    return all(are_timed(frames[place :: stack.shape[1]]) for place in range(stack.shape[1]))


def _places(stack: Stack) -> dict[str, list[tuple[int, int]]]:
    places: dict[str, list[tuple[int, int]]] = {}
    for index, member in enumerate(stack.members):
        places.setdefault(member.path, []).append((index, member.frame))
    return places


def _maps_of(places: list[tuple[int, int]], header: Header, data: bytes) -> dict[int, tuple[RealWorldValues, ...]]:
    """Return the real-world value maps of a file's frames by their place in the stack."""
    with codec_boundary():
        found = read_maps(data, header)
    return {
        index + offset: found[number]
        for index, frame in places
        for offset, number in enumerate(range(header.n_frames) if frame < 0 else (frame,))
    }


def _joined(maps: Mapping[int, tuple[RealWorldValues, ...]]) -> tuple[tuple[RealWorldValues, ...], ...] | None:
    each = tuple(maps[place] for place in sorted(maps))
    return None if not any(each) else each[:1] if len(set(each)) == 1 else each


def _fill(
    array: Any, stack: Stack, header: Header, frames: Pixels, places: list[tuple[int, int]]
) -> tuple[set[Quantization | None], bool]:
    """Write a file's frames where they belong; return the scales used, and whether all is finite."""
    scales: set[Quantization | None] = set()
    finite = True
    whole = frames.dtype.kind in "iub"
    for index, frame in places:
        if stack.kind == "colour":
            finite &= _fill_colour(array, frames, index, frame)
            scales.add((1.0, 0.0) if whole else None)
            continue
        numbers = range(header.n_frames) if frame < 0 else (frame,)
        for offset, number in enumerate(numbers):
            slope, intercept = (1.0, 0.0) if stack.kind == "segmentation" else scale_of(header, number)
            scales.add((slope, intercept) if whole else None)
            values = _rescaled(frames[number], slope, intercept)
            finite &= bool(np.isfinite(values).all())
            _put(array, stack, index + offset, values)
    return scales, finite


def _fill_native(
    array: Any, stack: Stack, header: Header, frames: Pixels, places: list[tuple[int, int]]
) -> tuple[set[Quantization | None], bool]:
    """Do what :func:`_fill` does with pixels as they lie in the file: clear and rescale them in one pass."""
    scales: set[Quantization | None] = set()
    finite = True
    for index, frame in places:
        for offset, number in enumerate(range(header.n_frames) if frame < 0 else (frame,)):
            slope, intercept = scale_of(header, number)
            scales.add((slope, intercept))
            place = _place(array, stack, index + offset)
            values = np.empty(frames.shape[1:], dtype=np.float32) if place is None else place
            rescale(
                frames[number],
                bits_stored=header.bits_stored,
                high_bit=header.high_bit,
                slope=slope,
                intercept=intercept,
                out=values,
            )
            finite &= _is_small(frames.dtype, slope, intercept) or bool(np.isfinite(values).all())
            if place is None:
                _put(array, stack, index + offset, values)
    return scales, finite


def _is_small(stored: np.dtype[Any], slope: float, intercept: float) -> bool:
    """Tell whether no stored integer can become infinite."""
    most = float(1 << 8 * stored.itemsize)
    return most * abs(slope) + abs(intercept) < _MOST_FLOAT32


def _place(array: Any, stack: Stack, index: int) -> Pixels | None:
    """Return the place of a plane in an array in memory; None where planes are put in, or tiles are unpacked."""
    if not isinstance(array, np.ndarray) or stack.mosaic is not None:
        return None
    return np.asarray(array.reshape(-1, *array.shape[-2:])[index])


def _rescaled(frame: Pixels, slope: float, intercept: float) -> np.ndarray[Any, np.dtype[np.float32]]:
    values = frame.astype(np.float64)
    with np.errstate(over="ignore", invalid="ignore"):  # what is too large becomes infinite, and that is refused
        values *= slope
        values += intercept
        return values.astype(np.float32)


def scale_of(header: Header, frame: int) -> Quantization:
    """Return (slope, intercept) of a frame; (1, 0) where the header gives none."""
    return (header.frames[frame] if header.frames else header.top).scale


def _fill_colour(array: Any, frames: Pixels, index: int, frame: int) -> bool:
    if frames.ndim != 4:
        raise Rejected("E_DIMENSIONS")
    shown = frames if frame < 0 else frames[frame : frame + 1]
    array[:, index : index + len(shown)] = np.moveaxis(shown, -1, 0)
    return shown.dtype.kind in "iub" or bool(np.isfinite(shown).all())


def _put(array: Any, stack: Stack, index: int, values: np.ndarray[Any, np.dtype[np.float32]]) -> None:
    # a member of a mosaic is a whole volume; of anything else, one slice
    part = 3 if stack.mosaic is not None else 2
    places = array if array.ndim == part + 1 else array.reshape(-1, *array.shape[-part:])
    places[index] = _unpacked(values, stack.mosaic)


def _unpacked(sheet: np.ndarray[Any, np.dtype[np.float32]], mosaic: Mosaic | None) -> Any:
    if mosaic is None:
        return sheet
    rows, columns = mosaic.tile_rows, mosaic.tile_columns
    tiles = sheet.reshape(sheet.shape[0] // rows, rows, mosaic.grid_columns, columns).swapaxes(1, 2)
    tiles = tiles.reshape(-1, rows, columns)[: mosaic.n_tiles]
    return tiles[::-1] if mosaic.reverse else tiles
