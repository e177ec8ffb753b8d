"""Lossless JPEG (process 14): entropy decoding and prediction of a scan.

Huffman codes give differences, and sums of differences and predictions give samples; ITU-T T.81
annexes F.2 and H.2. A plain reading of the standard, to be held against a codec.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numba import njit
from numpy.typing import NDArray

STARVED: Final = -1
"""The entropy-coded data ends before the samples do."""
BAD_CODE: Final = -2
"""Bits that are no code of the table."""
NO_RESTART: Final = -3
"""Something else where a restart marker must be."""
LEFT_OVER: Final = -4
"""The entropy-coded data goes on after the last sample."""

_CODE_BITS: Final = 16


def code_table(counts: NDArray[np.uint8], symbols: NDArray[np.uint8], /) -> NDArray[np.int32]:
    """Return what each 16 bits begin with: 256 x length of the code + symbol, 0 for no code.

    Parameters
    ----------
    counts : array of uint8, (16,)
        Codes of 1 to 16 bits.
    symbols : array of uint8
        As many, in the order of their codes (T.81 annex C).

    Returns
    -------
    array of int32, (65536,)
    """
    table = np.zeros(1 << _CODE_BITS, dtype=np.int32)
    at, place = 0, 0
    for bits, count in enumerate(counts.tolist(), start=1):
        width = 1 << (_CODE_BITS - bits)
        for symbol in symbols[place : place + count].tolist():
            table[at : at + width] = bits << 8 | symbol
            at += width
        place += count
    return table


@njit(cache=True, nogil=True)
def read_differences(
    data: NDArray[np.uint8], start: int, tables: NDArray[np.int32], restart_interval: int, out: NDArray[np.int32]
) -> int:
    """Decode the differences of a scan into `out`; return where in `data` it ends, or why it cannot be decoded.

    Parameters
    ----------
    data : array of uint8
        The stream.
    start : int
        First byte after the header of the scan.
    tables : array of int32, (components, 65536)
        For each component of the scan, see :func:`code_table`.
    restart_interval : int
        Pixels between restart markers; 0 for none.
    out : array of int32, (pixels, components)

    Returns
    -------
    int
        Place of the first byte after the scan, or :data:`STARVED`, :data:`BAD_CODE`,
        :data:`NO_RESTART`, :data:`LEFT_OVER`.
    """
    pixels, components = out.shape
    held, n_held, n_missing, at = np.uint64(0), 0, 0, start
    for pixel in range(pixels):
        if restart_interval and pixel and pixel % restart_interval == 0:
            marker = 0xD0 + (pixel // restart_interval - 1) % 8
            # bits that fill up the last byte are dropped; a whole byte is one too many
            if n_held - n_missing >= 8 or at + 1 >= data.size or data[at] != 0xFF or data[at + 1] != marker:
                return NO_RESTART
            held, n_held, n_missing, at = np.uint64(0), 0, 0, at + 2
        for component in range(components):
            # the longest code and the longest difference take 31 bits
            while n_held < 32:
                held <<= np.uint64(8)
                n_held += 8
                if at < data.size and (data[at] != 0xFF or (at + 1 < data.size and data[at + 1] == 0)):
                    held |= np.uint64(data[at])
                    at += 1 if data[at] != 0xFF else 2
                else:
                    n_missing += 8
            found = tables[component, (held >> np.uint64(n_held - 16)) & np.uint64(0xFFFF)]
            category = found & 0xFF
            if found == 0 or category > 16:
                return BAD_CODE
            n_held -= found >> 8
            difference = np.int64(32768)
            if category < 16:
                n_held -= category
                difference = np.int64((held >> np.uint64(n_held)) & np.uint64((1 << category) - 1))
                if category and difference < 1 << (category - 1):
                    difference -= (1 << category) - 1
            if n_held < n_missing:
                return STARVED
            out[pixel, component] = difference
    return at if n_held - n_missing < 8 else LEFT_OVER


@njit(cache=True, nogil=True)
def add_up(out: NDArray[np.int32], bits: int, predictor: int, restart_rows: int) -> None:
    """Turn differences into samples in place: prediction plus difference, modulo 2**bits as in the encoder.

    Parameters
    ----------
    out : array of int32, (rows, columns, components)
    bits : int
        Precision of the samples, less the point transform.
    predictor : int
        1 to 7 (T.81 table H.1).
    restart_rows : int
        Rows after which prediction begins anew; 0 for never.
    """
    rows, columns, components = out.shape
    mask = (1 << bits) - 1
    for row in range(rows):
        begins = row == 0 or (restart_rows != 0 and row % restart_rows == 0)
        for column in range(columns):
            for component in range(components):
                if begins:
                    expected = int(out[row, column - 1, component]) if column else 1 << (bits - 1)
                elif column == 0:
                    expected = int(out[row - 1, 0, component])
                else:
                    expected = _predicted(
                        predictor,
                        int(out[row, column - 1, component]),
                        int(out[row - 1, column, component]),
                        int(out[row - 1, column - 1, component]),
                    )
                out[row, column, component] = (expected + int(out[row, column, component])) & mask


@njit(cache=True, nogil=True, inline="always")
def _predicted(predictor: int, left: int, above: int, corner: int) -> int:
    if predictor < 4:
        return left if predictor == 1 else above if predictor == 2 else corner
    if predictor == 4:
        return left + above - corner
    if predictor == 5:
        return left + ((above - corner) >> 1)
    return above + ((left - corner) >> 1) if predictor == 6 else (left + above) >> 1
