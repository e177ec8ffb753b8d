"""An encoder of lossless JPEG (T.81 annex H, process 14) that can do all the standard allows; small and slow.

It exists to have streams whose pixels are known without any decoder.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

import numpy as np

# T.81 table H.1: what is predicted from the samples to the left, above, and above to the left
_PREDICTORS = {
    1: lambda left, above, corner: left,
    2: lambda left, above, corner: above,
    3: lambda left, above, corner: corner,
    4: lambda left, above, corner: left + above - corner,
    5: lambda left, above, corner: left + ((above - corner) >> 1),
    6: lambda left, above, corner: above + ((left - corner) >> 1),
    7: lambda left, above, corner: (left + above) >> 1,
}
_CODE_BITS = 5


def encode(
    image: np.ndarray,
    *,
    bits: int,
    predictor: int = 1,
    point_transform: int = 0,
    restart_rows: int = 0,
    interleaved: bool = True,
    wraps: bool = False,
) -> bytes:
    """Return an image as a stream of process 14.

    Parameters
    ----------
    image : array of int, (rows, columns) or (rows, columns, components)
        0 to 2**bits - 1; the lowest `point_transform` bits are lost.
    bits : int
        Precision in the stream, 2 to 16.
    predictor : int
        1 to 7.
    point_transform, restart_rows : int
        A restart marker follows each so many rows; 0 for none.
    interleaved : bool
        One scan for all components; else one each.
    wraps : bool
        Differences leave the range of samples where the sum comes back into it modulo 2**bits,
        as some devices write them.
    """
    planes = np.atleast_3d(image).astype(np.int64) >> point_transform
    rows, columns, components = planes.shape
    head = b"\xff\xd8"
    head += _segment(
        0xC3,
        struct.pack(">BHHB", bits, rows, columns, components)
        + b"".join(bytes([1 + one, 0x11, 0]) for one in range(components)),
    )
    # 17 categories of differences, each with a code of five bits
    counts = [0] * 16
    counts[_CODE_BITS - 1] = 17
    head += _segment(0xC4, bytes([0, *counts, *range(17)]))
    if restart_rows:
        head += _segment(0xDD, struct.pack(">H", restart_rows * columns))
    scans = [list(range(components))] if interleaved else [[one] for one in range(components)]
    for scan in scans:
        said = bytes([len(scan)]) + b"".join(bytes([1 + one, 0]) for one in scan)
        head += _segment(0xDA, said + bytes([predictor, 0, point_transform]))
        differences = [
            differences_of(planes[..., one], bits - point_transform, predictor, restart_rows, wraps=wraps)
            for one in scan
        ]
        head += _entropy_coded(differences, restart_rows)
    return head + b"\xff\xd9"


def _segment(marker: int, payload: bytes) -> bytes:
    return bytes([0xFF, marker]) + struct.pack(">H", len(payload) + 2) + payload


def differences_of(plane: np.ndarray, bits: int, predictor: int, restart_rows: int, *, wraps: bool) -> np.ndarray:
    found = np.empty_like(plane)
    for row, column in np.ndindex(plane.shape):
        begins = row == 0 or (restart_rows and row % restart_rows == 0)
        if begins and column == 0:
            expected = 1 << (bits - 1)
        elif begins:
            expected = plane[row, column - 1]
        elif column == 0:
            expected = plane[row - 1, column]
        else:
            expected = _PREDICTORS[predictor](
                plane[row, column - 1], plane[row - 1, column], plane[row - 1, column - 1]
            )
        difference = int(plane[row, column]) - int(expected)
        if wraps:
            difference += -(1 << bits) if difference > 0 else (1 << bits)
        # modulo 65536, as -32767 to 32768
        found[row, column] = (difference + 32767) % 65536 - 32767
    return found


def _entropy_coded(planes: list[np.ndarray], restart_rows: int) -> bytes:
    rows = planes[0].shape[0]
    step = restart_rows or rows
    intervals = []
    for number, row in enumerate(range(0, rows, step)):
        part = np.stack([plane[row : row + step].ravel() for plane in planes], axis=-1).ravel()
        if number:
            intervals.append(bytes([0xFF, 0xD0 + (number - 1) % 8]))
        intervals.append(_packed("".join(_coded(part))))
    return b"".join(intervals)


def _coded(differences: np.ndarray) -> Iterator[str]:
    for difference in map(int, differences):
        category = abs(difference).bit_length()
        yield format(category, f"0{_CODE_BITS}b")
        if 0 < category < 16:
            magnitude = difference if difference > 0 else difference + (1 << category) - 1
            yield format(magnitude, f"0{category}b")


def _packed(bits: str) -> bytes:
    bits += "1" * (-len(bits) % 8)
    return int(bits, 2).to_bytes(len(bits) // 8, "big").replace(b"\xff", b"\xff\0")
