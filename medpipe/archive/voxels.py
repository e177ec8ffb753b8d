"""From a stack to its voxels: decode each file once, rescale each frame by its own numbers."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, Protocol, TypeVar

import numpy as np

from medpipe.archive.display import read_displays
from medpipe.archive.doubts import are_timed, frames_of
from medpipe.archive.header import Header, is_unchanged
from medpipe.archive.native import is_native, native_frames
from medpipe.archive.pixels import Pixels, codec_boundary, decode
from medpipe.archive.quantity import quantity_of
from medpipe.archive.real_world import read_maps
from medpipe.archive.stacks import Stack
from medpipe.archive.vendor import Mosaic
from medpipe.errors import Rejected
from medpipe.kernels.rescale import rescale
from medpipe.types import Volume
from medpipe.values import Display, RealWorldValues

Found = TypeVar("Found")

Quantization = tuple[float, float]
"""(slope, intercept): every voxel is an integer times slope plus intercept."""


_MOST_FLOAT32: Final = float(np.finfo(np.float32).max)
_NARROW_BYTES: Final = 2


class Planes(Protocol):
    """What planes can be put into, one by one: a place outside of memory, or an array."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Length of each axis."""

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
    with_display: bool = False,
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
        Takes the planes instead of a new array, and becomes the volume's data: a place outside of
        memory for stacks of planes (z, y, x) only, neither colour nor mosaic.
    with_maps, with_display : bool
        Read the real-world value maps of each member too; how each is to be shown.

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
        read from, ``E_FRAME_COUNT`` if a plane was in no file, ``E_NONFINITE``, ``E_AMBIGUOUS_4D``
        where two times are copies that no temporal element tells apart, or what decoding says.
    """
    if stack.refused:
        raise Rejected(stack.code)
    array: Any = np.empty(stack.shape, dtype=np.float32) if into is None else into
    filling = _Filling(array, stack)
    said = _Said(with_maps=with_maps, with_display=with_display)
    for path, places in _places(stack).items():
        header = headers[path]
        data = open_item(path)
        if not is_unchanged(header, data):
            raise Rejected("E_CHANGED")
        filling.read(header, data, places)
        said.add(header, places, data)
    filling.check()
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
        real_world=_joined(said.maps),
        quantity=quantity_of(said.kinds, modality=stack.modality, unit=stack.unit),
        display=_shown(said.displays),
        stored_reversed=said.is_reversed,
    )
    return volume, filling.scales.pop() if len(filling.scales) == 1 else None


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


class _Said:
    """What headers say of the members beside their values, read file by file."""

    def __init__(self, *, with_maps: bool, with_display: bool) -> None:
        self.kinds: set[tuple[str, tuple[str, ...]]] = set()
        self.maps: dict[int, tuple[RealWorldValues, ...]] = {}
        self.displays: dict[int, Display] = {}
        self.is_reversed = False
        self._with_maps, self._with_display = with_maps, with_display

    def add(self, header: Header, places: list[tuple[int, int]], data: bytes | memoryview) -> None:
        """Take in a file: the class and image type of its frames, and what was asked for beside."""
        self.kinds |= _kinds(header, places)
        self.is_reversed |= header.block is not None and header.block.reverse
        if self._with_maps:
            self.maps |= _by_place(places, header, read_maps, bytes(data))
        if self._with_display:
            self.displays |= _by_place(places, header, read_displays, bytes(data))


def _by_place(
    places: list[tuple[int, int]], header: Header, read: Callable[[bytes, Header], tuple[Found, ...]], data: bytes
) -> dict[int, Found]:
    """Return what is read of each of a file's frames by their place in the stack."""
    with codec_boundary():
        found = read(data, header)
    return {place: found[number] for place, number in _frames(header, places)}


def _joined(maps: Mapping[int, tuple[RealWorldValues, ...]]) -> tuple[tuple[RealWorldValues, ...], ...] | None:
    each = tuple(maps[place] for place in sorted(maps))
    return None if not any(each) else each[:1] if len(set(each)) == 1 else each


def _shown(displays: Mapping[int, Display]) -> tuple[Display, ...] | None:
    each = tuple(displays[place] for place in sorted(displays))
    return None if not each else each[:1] if len(set(each)) == 1 else each


def _kinds(header: Header, places: list[tuple[int, int]]) -> set[tuple[str, tuple[str, ...]]]:
    """Return SOP class and image type of a file's frames."""
    if not header.frames:
        return {(header.sop_class_uid, header.top.image_type)}
    return {(header.sop_class_uid, header.frames[number].image_type) for _, number in _frames(header, places)}


class _Filling:
    """The places of a volume, while the frames of one file after the other are written where they belong.

    Attributes
    ----------
    scales : set
        Slope and intercept of each frame; None for one that is not of integers.
    """

    def __init__(self, array: Any, stack: Stack) -> None:
        self._array = array
        self._stack = stack
        self._planes = _planes(array, stack)
        self._finite = True
        self._filled = 0
        self.scales: set[Quantization | None] = set()

    def check(self) -> None:
        """Raise ``Rejected`` if what was written is no whole volume of finite numbers."""
        if self._filled != math.prod(_shape_of_places(self._array, self._stack)):
            raise Rejected("E_FRAME_COUNT")
        if not self._finite:
            raise Rejected("E_NONFINITE")

    def read(self, header: Header, data: bytes | memoryview, places: list[tuple[int, int]]) -> None:
        """Write the frames of a file where they belong."""
        if is_native(header):
            frames = native_frames(header, data)
            self.rescale(header, frames, places, bits_stored=header.bits_stored, high_bit=header.high_bit)
        else:
            self.take(header, decode(header, bytes(data)), places)

    def take(self, header: Header, frames: Pixels, places: list[tuple[int, int]]) -> None:
        """Write a file's decoded frames where they belong."""
        if self._stack.kind == "colour":
            self._colours(frames, places)
            return
        if frames.dtype.kind in "iu" and frames.dtype.itemsize <= _NARROW_BYTES and frames.dtype.isnative:
            width = 8 * frames.dtype.itemsize
            self.rescale(header, frames, places, bits_stored=width, high_bit=width - 1)
            return
        whole = frames.dtype.kind in "iub"
        for place, number in _frames(header, places):
            slope, intercept = self._scale(header, number)
            self.scales.add((slope, intercept) if whole else None)
            values = _rescaled(frames[number], slope, intercept)
            self._finite &= bool(np.isfinite(values).all())
            self._put(place, values)

    def rescale(
        self, header: Header, frames: Pixels, places: list[tuple[int, int]], *, bits_stored: int, high_bit: int
    ) -> None:
        """Write pixels of at most 16 bits, as they lie in the file or decoded, in one pass.

        Parameters
        ----------
        header : Header
        frames : array of int8, uint8, int16 or uint16 (frames, rows, columns)
        places : list of (int, int)
        bits_stored, high_bit : int
            See :func:`medpipe.kernels.rescale.rescale`.
        """
        planes = self._planes
        if planes is not None and planes.shape[1:] != frames.shape[1:]:
            raise Rejected("E_DIMENSIONS")
        for place, number in _frames(header, places):
            slope, intercept = scale = self._scale(header, number)
            self.scales.add(scale)
            values = np.empty(frames.shape[1:], dtype=np.float32) if planes is None else planes[place]
            rescale(
                frames[number],
                bits_stored=bits_stored,
                high_bit=high_bit,
                slope=slope,
                intercept=intercept,
                out=values,
            )
            # a bound that is no number is none
            is_small = 65536.0 * abs(slope) + abs(intercept) < _MOST_FLOAT32
            self._finite &= is_small or bool(np.isfinite(values).all())
            if planes is None:
                self._put(place, values)
            else:
                self._filled += 1

    def _scale(self, header: Header, number: int) -> Quantization:
        return (1.0, 0.0) if self._stack.kind == "segmentation" else scale_of(header, number)

    def _colours(self, frames: Pixels, places: list[tuple[int, int]]) -> None:
        if frames.ndim != 4:
            raise Rejected("E_DIMENSIONS")
        whole = frames.dtype.kind in "iub"
        for index, frame in places:
            shown = frames if frame < 0 else frames[frame : frame + 1]
            self._array[:, index : index + len(shown)] = np.moveaxis(shown, -1, 0)
            self._finite &= whole or bool(np.isfinite(shown).all())
            self._filled += len(shown)
            self.scales.add((1.0, 0.0) if whole else None)

    def _put(self, index: int, values: np.ndarray[Any, np.dtype[np.float32]]) -> None:
        shape, array = _shape_of_places(self._array, self._stack), self._array
        places = array if len(shape) == 1 else array.reshape(-1, *array.shape[len(shape) :])
        places[index] = _unpacked(values, self._stack.mosaic)
        self._filled += 1


def _frames(header: Header, places: list[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Yield the place of each frame that is wanted of a file, and its number."""
    for index, frame in places:
        if frame >= 0:
            yield index, frame
        else:
            yield from enumerate(range(header.n_frames), index)


def _shape_of_places(array: Any, stack: Stack) -> tuple[int, ...]:
    """Return how many frames go where: a frame of a mosaic is a volume, one of colour has three planes."""
    shape: tuple[int, ...] = array.shape
    return shape[1:2] if stack.kind == "colour" else shape[: -3 if stack.mosaic is not None else -2]


def _planes(array: Any, stack: Stack) -> Pixels | None:
    """Return the planes of an array in memory; None where planes are put in, or tiles are unpacked."""
    if not isinstance(array, np.ndarray) or stack.mosaic is not None:
        return None
    return array.reshape(-1, *array.shape[-2:])


def _rescaled(frame: Pixels, slope: float, intercept: float) -> np.ndarray[Any, np.dtype[np.float32]]:
    values = frame.astype(np.float64)
    with np.errstate(over="ignore", invalid="ignore"):  # what is too large becomes infinite, and that is refused
        values *= slope
        values += intercept
        return values.astype(np.float32)


def scale_of(header: Header, frame: int) -> Quantization:
    """Return (slope, intercept) of a frame; (1, 0) where the header gives none."""
    return (header.frames[frame] if header.frames else header.top).scale


def _unpacked(sheet: np.ndarray[Any, np.dtype[np.float32]], mosaic: Mosaic | None) -> Any:
    if mosaic is None:
        return sheet
    rows, columns = mosaic.tile_rows, mosaic.tile_columns
    tiles = sheet.reshape(sheet.shape[0] // rows, rows, mosaic.grid_columns, columns).swapaxes(1, 2)
    tiles = tiles.reshape(-1, rows, columns)[: mosaic.n_tiles]
    return tiles[::-1] if mosaic.reverse else tiles
