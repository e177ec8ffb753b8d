"""Decoding: a file's pixel data to an array, by one named codec per transfer syntax.

What may be decoded is checked before a codec sees a byte; whatever a codec does in return,
short of ending the process, becomes ``Rejected`` at one place.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from typing import Any

import numpy as np
from pydicom.encaps import generate_fragments, generate_frames, parse_basic_offsets
from pydicom.pixels import apply_color_lut, apply_modality_lut, get_decoder

from medpipe.archive.codestream import begins_stream, stream_size
from medpipe.archive.dct_jpeg import decode_dct
from medpipe.archive.elements import items, numbers, parse, quiet
from medpipe.archive.gate import DEFLATED, EXPLICIT_LITTLE, inspect
from medpipe.archive.header import Header
from medpipe.archive.limits import LOSSLESS_JPEG, NATIVE, PLUGINS, RLE, check_stream, is_read_twice
from medpipe.archive.other.door import decode_other, read_any
from medpipe.archive.padding import is_beyond, stored_limits
from medpipe.errors import Rejected

Pixels = np.ndarray[Any, np.dtype[Any]]


@contextmanager
def codec_boundary() -> Iterator[None]:
    """Turn whatever parsing and codecs raise into ``Rejected``; let interrupts through."""
    try:
        with quiet():
            yield
    except (Rejected, KeyboardInterrupt, SystemExit, GeneratorExit):
        raise
    except MemoryError:
        raise Rejected("E_OOM") from None
    except NotImplementedError:
        raise Rejected("E_UNSUPPORTED_TS") from None
    except Exception:  # noqa: BLE001  # codecs raise anything, and their messages quote the data
        raise Rejected("E_CODEC_ERROR") from None
    except BaseException:  # noqa: BLE001  # panics of Rust codecs derive from BaseException
        raise Rejected("E_CODEC_PANIC") from None


def decode(header: Header, data: bytes) -> Pixels:
    """Return all frames of a file.

    Parameters
    ----------
    header : Header
        Of this very file.
    data : bytes
        The whole file.

    Returns
    -------
    array, (frames, rows, columns) or (frames, rows, columns, 3)
        Stored values: unused bits cleared but for padding beyond the stored bits, signs extended,
        colour as RGB; where the file has a modality LUT, what it maps to. Segmentations keep
        their stored numbers.

    Raises
    ------
    Rejected
        ``header.code`` if there is one, ``E_DIMENSIONS`` if stream and header differ, else
        the reason the codec failed.
    """
    if header.code or not header.has_pixels:
        raise Rejected(header.code or "E_MISSING_TAG")
    with codec_boundary():
        if header.format:
            return decode_other(header, data)
        dataset = parse(inspect(data).data)
        if header.n_fragments >= 0:
            _check_streams(header, dataset)
        frames = _decoded(header, dataset)
        if frames.shape != _expected_shape(header):
            raise Rejected("E_DIMENSIONS")
        return frames


def decode_each(header: Header, dataset: Any) -> Iterator[Pixels]:
    """Yield the frames of a segmentation one by one, as :func:`decode` gives them all at once.

    Parameters
    ----------
    header : Header
    dataset : pydicom.Dataset
        Of the same file, parsed.

    Raises
    ------
    Rejected
        As :func:`decode`.
    """
    if header.code or not header.has_pixels:
        raise Rejected(header.code or "E_MISSING_TAG")
    with codec_boundary():
        if header.n_fragments >= 0:
            _check_streams(header, dataset)
        frames = _frames(header, dataset)
    shape = (header.rows, header.columns)
    for _ in range(header.n_frames):
        with codec_boundary():
            frame = next(frames)
            if frame.shape != shape:
                raise Rejected("E_DIMENSIONS")
        yield frame


def _frames(header: Header, dataset: Any) -> Iterator[Pixels]:
    syntax = header.transfer_syntax
    if header.bits_allocated == 1 and syntax in NATIVE:
        # frames follow each other without a gap, so one may begin within a byte (PS3.5 8.1.1)
        packed, size = np.frombuffer(dataset.PixelData, dtype=np.uint8), header.rows * header.columns
        for first in range(0, header.n_frames * size, size):
            bits = np.unpackbits(packed[first // 8 : -(-(first + size) // 8)], bitorder="little")
            yield bits[first % 8 : first % 8 + size].reshape(header.rows, header.columns)
        return
    plain = syntax in NATIVE or syntax == RLE
    dataset.NumberOfFrames = header.n_frames
    found = get_decoder(EXPLICIT_LITTLE if syntax == DEFLATED else syntax).iter_array(
        dataset,
        decoding_plugin=PLUGINS.get(syntax, ""),
        **({"correct_unused_bits": False} if plain else {}),
    )
    for frame, _ in found:
        yield _without_unused_bits(header, frame) if plain else frame


def _expected_shape(header: Header) -> tuple[int, ...]:
    shape = (header.n_frames, header.rows, header.columns)
    return (*shape, 3) if header.is_colour and not header.is_segmentation else shape


def pixel_digest(data: bytes) -> str:
    """Return a digest of a file's decoded pixels, whatever their encoding.

    Raises
    ------
    Rejected
        As :func:`decode`.
    """
    header = read_any(data, path="", size=len(data), version="")
    frames = decode(header, data)
    wide = np.dtype("<f8" if frames.dtype.kind == "f" else "<i8")
    state = hashlib.sha256(repr(frames.shape).encode())
    for frame in frames:
        state.update(np.ascontiguousarray(frame, dtype=wide).data)
    return state.hexdigest()


def _decoded(header: Header, dataset: Any) -> Pixels:
    syntax = header.transfer_syntax
    plain = syntax in NATIVE or syntax == RLE
    # whatever text the element held, the checks were made with this number
    dataset.NumberOfFrames = header.n_frames
    if is_read_twice(syntax, header.samples):
        _hand_over(header, dataset)
        syntax = EXPLICIT_LITTLE
    # unused bits of plain data are cleared here by HighBit, which pydicom does not look at
    frames, _ = get_decoder(EXPLICIT_LITTLE if syntax == DEFLATED else syntax).as_array(
        dataset,
        decoding_plugin=PLUGINS.get(syntax, ""),
        allow_excess_frames=False,
        **({"correct_unused_bits": False} if plain else {}),
    )
    # one frame comes without the axis of frames, whatever NumberOfFrames says
    frames = frames.reshape(-1, header.rows, header.columns, *([3] if header.samples == 3 else []))
    if plain:
        frames = _without_unused_bits(header, frames)
    if header.photometric == "PALETTE COLOR" and not header.is_segmentation:
        return _palette_colours(header, frames, dataset)
    if "ModalityLUTSequence" in dataset and not header.is_segmentation:
        _check_table(dataset)
        return np.asarray(apply_modality_lut(frames, dataset))
    return np.asarray(frames)


def _without_unused_bits(header: Header, frames: Pixels) -> Pixels:
    if frames.dtype.kind not in "iu" or header.samples != 1:
        return frames
    cleared = clear_unused_bits(
        frames, bits_allocated=header.bits_allocated, bits_stored=header.bits_stored, high_bit=header.high_bit
    )
    if not is_beyond(header.padding, bits_stored=header.bits_stored, signed=header.signed):
        return cleared
    # cut to its stored bits it would be a value like any other; a range that begins within them has no more than its
    # end beyond them, since what lies between may be pixels with something in their unused bits
    least, most = stored_limits(header.bits_stored, signed=header.signed)
    low, high = header.padding
    ends = [end for end in (low, high) if not least <= end <= most]
    kept = (frames >= low) & (frames <= high) if len(ends) > 1 else frames == ends[0]
    return np.where(kept, frames, cleared)


def _hand_over(header: Header, dataset: Any) -> None:
    """Put samples on which two decoders agree in the place of their streams, as plain data."""
    from medpipe.archive.lossless_jpeg import decode_lossless

    stored = np.dtype(f"<u{header.bits_allocated // 8}")
    plain = bytearray()
    for frame in generate_frames(dataset.PixelData, number_of_frames=header.n_frames):
        if header.transfer_syntax in LOSSLESS_JPEG:
            found = decode_lossless(frame, rows=header.rows, columns=header.columns, samples=header.samples)
        else:
            found = decode_dct(frame, rows=header.rows, columns=header.columns)
        if found.max(initial=0) > np.iinfo(stored).max:
            raise Rejected("E_DIMENSIONS")
        plain += found.astype(stored).tobytes()
    dataset.PixelData = bytes(plain)
    dataset.file_meta.TransferSyntaxUID = EXPLICIT_LITTLE
    dataset["PixelData"].is_undefined_length = False
    dataset["PixelData"].VR = "OW"
    if header.samples == 3:
        dataset.PlanarConfiguration = 0
        # each component came in full size
        dataset.PhotometricInterpretation = header.photometric.replace("YBR_FULL_422", "YBR_FULL")


def clear_unused_bits(frames: Pixels, /, *, bits_allocated: int, bits_stored: int, high_bit: int) -> Pixels:
    """Return integers made of the stored bits alone, sign extended (DICOM PS3.5 8.1.1).

    Parameters
    ----------
    frames : array of int
        Signed for signed pixels, else unsigned.
    bits_allocated, bits_stored, high_bit : int
        The stored bits are ``high_bit`` down to ``high_bit + 1 - bits_stored``.
    """
    width = frames.dtype.itemsize * 8
    if bits_allocated != width or not 0 < bits_stored <= high_bit + 1 <= width or bits_stored == width:
        return frames
    up = frames.dtype.type(width - high_bit - 1)
    down = frames.dtype.type(width - bits_stored)
    return np.asarray((frames << up) >> down)


def _palette_colours(header: Header, frames: Pixels, dataset: Any) -> Pixels:
    colours = np.asarray(apply_color_lut(frames, dataset))
    # 16-bit entries of an 8-bit image carry the colour in their high byte (PS3.3 C.7.6.3.1.6),
    # unless the writer left the high bytes empty
    if header.bits_allocated == 8 and colours.dtype.itemsize == 2 and colours.max(initial=0) > 0xFF:
        return colours >> np.uint16(8)
    return colours


def _check_table(dataset: Any) -> None:
    (table, *others) = items(dataset, "ModalityLUTSequence") or (None,)
    descriptor = () if table is None else numbers(table, "LUTDescriptor")
    if others or len(descriptor) != 3 or "LUTData" not in table:
        raise Rejected("E_RESCALE")
    entries = table["LUTData"].value
    n_entries = len(entries) // 2 if isinstance(entries, bytes) else len(entries)
    # zero stands for 65536 (PS3.3 C.11.1.1.1); entries of 8 bits may come two in a word
    if n_entries < (descriptor[0] or 1 << 16) / (2 if descriptor[2] == 8 else 1):
        raise Rejected("E_RESCALE")


def _check_streams(header: Header, dataset: Any) -> None:
    """Refuse more streams than frames, and a stream of another size than the header says, or of none."""
    # a frame may lie in several fragments, but each frame begins a stream of its own
    fragments = BytesIO(dataset.PixelData)
    parse_basic_offsets(fragments)
    begun = sum(begins_stream(fragment) for fragment in generate_fragments(fragments))
    if begun > header.n_frames:
        raise Rejected("E_FRAME_COUNT")
    for frame in generate_frames(dataset.PixelData, number_of_frames=header.n_frames):
        code = check_stream(
            stream_size(frame),
            rows=header.rows,
            columns=header.columns,
            samples=header.samples,
            transfer_syntax=header.transfer_syntax,
            stream_bytes=len(frame),
        )
        if code:
            raise Rejected(code)
