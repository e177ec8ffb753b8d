"""Frames: JSON values on a pipe, each after its length.

A frame is a big-endian 32-bit count of bytes and that many bytes of UTF-8 JSON. NaN and the
infinities are refused, as JSON has neither.
"""

from __future__ import annotations

import json
import os
import struct
from typing import Any

_HEAD = struct.Struct(">I")
_READ_BYTES = 1 << 20


def encode(value: dict[str, Any]) -> bytes:
    """Return the frame of a value.

    Raises
    ------
    TypeError, ValueError
        If JSON cannot hold the value.
    """
    body = json.dumps(value, separators=(",", ":"), allow_nan=False).encode("utf-8")
    return _HEAD.pack(len(body)) + body


def decode(frame: bytes) -> dict[str, Any]:
    """Return the value of a whole frame."""
    return _parsed(frame[_HEAD.size :])


def read_frame(fd: int) -> dict[str, Any] | None:
    """Read one frame from a blocking pipe; None if the other end closed it."""
    head = _read_exactly(fd, _HEAD.size)
    if head is None:
        return None
    body = _read_exactly(fd, _HEAD.unpack(head)[0])
    return None if body is None else _parsed(body)


def write_frame(fd: int, frame: bytes) -> None:
    """Write a frame to a blocking pipe."""
    rest = memoryview(frame)
    while rest:
        rest = rest[os.write(fd, rest) :]


class FrameBuffer:
    """Collects one frame from a pipe that does not block."""

    def __init__(self) -> None:
        self._bytes = bytearray()

    def fill(self, fd: int) -> bool:
        """Take what the pipe holds; False if the other end closed it."""
        try:
            part = os.read(fd, _READ_BYTES)
        except BlockingIOError:
            return True
        self._bytes += part
        return bool(part)

    def take(self) -> dict[str, Any] | None:
        """Return the frame if all of it has come, else None."""
        if len(self._bytes) < _HEAD.size:
            return None
        end = _HEAD.size + _HEAD.unpack_from(self._bytes)[0]
        if len(self._bytes) < end:
            return None
        body = bytes(self._bytes[_HEAD.size : end])
        del self._bytes[:end]
        return _parsed(body)


def _parsed(body: bytes) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(body)
    return value


def _read_exactly(fd: int, count: int) -> bytes | None:
    parts = bytearray()
    while len(parts) < count:
        part = os.read(fd, min(count - len(parts), _READ_BYTES))
        if not part:
            return None
        parts += part
    return bytes(parts)
