"""Streams of JPEG process 14, read twice: by a codec, and by a plain reading of the standard.

One codec alone has been seen to return other pixels than were stored, without a word.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from imagecodecs import jpeg8_decode

from medpipe.errors import Rejected
from medpipe.kernels.lossless_jpeg import add_up, code_table, read_differences

Samples = np.ndarray[Any, np.dtype[np.uint16]]

_SOF3, _DHT, _SOS, _EOI, _DRI = 0xC3, 0xC4, 0xDA, 0xD9, 0xDD
_OTHER_FRAMES: Final = frozenset(range(0xC0, 0xD0)) - {_SOF3, _DHT, 0xC8, 0xCC}
_MOST_SEGMENTS: Final = 1000
_MOST_COMPONENTS: Final = 4


def decode_lossless(frame: bytes, *, rows: int, columns: int, samples: int) -> Samples:
    """Return the samples of a stream on which two decoders agree.

    Parameters
    ----------
    frame : bytes
        A stream of the size that follows, which must have been looked up before.
    rows, columns, samples : int

    Returns
    -------
    array of uint16, (rows, columns, samples)

    Raises
    ------
    Rejected
        ``E_CODEC_ERROR`` if the stream breaks the standard, ``E_CODEC_DISAGREE`` if the two
        differ.
    """
    # colours are the header's business: no conversion, whatever markers are in the stream
    space = "RGB" if samples == 3 else None
    stream = _Stream(frame, np.zeros((rows, columns, samples), dtype=np.uint16))
    ours = stream.decode()
    theirs = np.asarray(jpeg8_decode(frame, colorspace=space, outcolorspace=space)).reshape(ours.shape)
    # where sums leave the range of samples, a codec may keep the bits above it
    if not np.array_equal(ours, theirs & ((1 << stream.bits) - 1)):
        raise Rejected("E_CODEC_DISAGREE")
    return ours


@dataclass(slots=True)
class _Stream:
    """A stream while its segments are read (T.81 B.2)."""

    frame: bytes
    out: Samples
    bits: int = 0
    components: list[int] = field(default_factory=list)
    tables: dict[int, Any] = field(default_factory=dict)
    restart_interval: int = 0
    decoded: set[int] = field(default_factory=set)

    def decode(self) -> Samples:
        at = 2
        for _ in range(_MOST_SEGMENTS):
            marker, payload, after = self._segment(at)
            if marker == _EOI:
                break
            at = self._scan(payload, after) if marker == _SOS else after
            if marker == _SOF3:
                self._frame_header(payload)
            elif marker == _DHT:
                self._huffman_tables(payload)
            elif marker == _DRI:
                (self.restart_interval,) = struct.unpack(">H", payload)
            elif marker in _OTHER_FRAMES:
                raise Rejected("E_CODEC_ERROR")
        if not self.components or self.decoded != set(range(len(self.components))):
            raise Rejected("E_CODEC_ERROR")
        return self.out

    def _segment(self, at: int) -> tuple[int, bytes, int]:
        """Return marker, payload and the place after it; bytes of fill may stand before a marker."""
        while self.frame[at : at + 2] == b"\xff\xff":
            at += 1
        if self.frame[at : at + 1] != b"\xff" or at + 2 > len(self.frame):
            raise Rejected("E_CODEC_ERROR")
        marker = self.frame[at + 1]
        if marker == _EOI:
            return marker, b"", at + 2
        length = int.from_bytes(self.frame[at + 2 : at + 4], "big")
        payload = self.frame[at + 4 : at + 2 + length]
        if length < 2 or len(payload) != length - 2:
            raise Rejected("E_CODEC_ERROR")
        return marker, payload, at + 2 + length

    def _frame_header(self, payload: bytes) -> None:
        rows, columns, samples = self.out.shape
        bits, lines, width, count = struct.unpack_from(">BHHB", payload)
        # lines may be said after the first scan; the size was compared before
        fits = (lines in {0, rows}) and (width, count) == (columns, samples)
        if not fits or self.components or not 2 <= bits <= 16 or len(payload) != 6 + 3 * count:
            raise Rejected("E_CODEC_ERROR")
        # of a single component, the sampling factors have no meaning (T.81 A.2.2)
        if count > 1 and len(set(payload[7::3])) > 1:
            raise Rejected("E_CODEC_ERROR")
        self.bits, self.components = bits, list(payload[6::3])

    def _huffman_tables(self, payload: bytes) -> None:
        while payload:
            counts = np.frombuffer(payload[1:17], dtype=np.uint8)
            n_codes = int(counts.sum())
            symbols = np.frombuffer(payload[17 : 17 + n_codes], dtype=np.uint8)
            if len(counts) != 16 or len(symbols) != n_codes or _room_taken(counts) > 1 << 16:
                raise Rejected("E_CODEC_ERROR")
            self.tables[payload[0]] = code_table(counts, symbols)
            payload = payload[17 + n_codes :]

    def _scan(self, payload: bytes, start: int) -> int:
        count = payload[0] if payload else 0
        if not 1 <= count <= _MOST_COMPONENTS or len(payload) != 4 + 2 * count:
            raise Rejected("E_CODEC_ERROR")
        named, chosen = payload[1 : 1 + 2 * count : 2], payload[2 : 2 + 2 * count : 2]
        predictor, _, transform = payload[-3:]
        bits = self.bits - (transform & 0x0F)
        places = [self.components.index(name) for name in named if name in self.components]
        tables = [self.tables[which >> 4] for which in chosen if which >> 4 in self.tables]
        repeated = self.decoded.intersection(places) or len(set(places)) != count
        if repeated or len(tables) != count or not 1 <= predictor <= 7 or bits < 1:
            raise Rejected("E_CODEC_ERROR")
        rows, columns, _ = self.out.shape
        # rows are whole between restarts (T.81 H.1.1)
        restart_rows, odd = divmod(self.restart_interval, columns)
        found = np.empty((rows, columns, count), dtype=np.int32)
        data = np.frombuffer(self.frame, dtype=np.uint8)
        end = read_differences(data, start, np.stack(tables), self.restart_interval, found.reshape(-1, count))
        if end < 0 or odd:
            raise Rejected("E_CODEC_ERROR")
        add_up(found, bits, predictor, restart_rows)
        self.out[..., places] = found << (transform & 0x0F)
        self.decoded.update(places)
        return int(end)


def _room_taken(counts: Any) -> int:
    return sum(int(count) << (15 - place) for place, count in enumerate(counts))
