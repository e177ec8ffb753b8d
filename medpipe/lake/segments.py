"""Segments: sealed files of case results, the only way a result becomes part of a lake.

A segment is zstd over lines of canonical JSON, one per case result, and a last line with their
number and the SHA-256 of what stands before it. Its name carries the number of its results and
the digest of its bytes.
"""

from __future__ import annotations

import hashlib
import json
import threading
from types import TracebackType
from typing import Any, Self

import pyarrow as pa

from medpipe.contracts.records import CaseResult
from medpipe.errors import IntegrityError, LakeError
from medpipe.keys import bytes_digest, canonical
from medpipe.lake.failpoints import hit
from medpipe.lake.lake import Lake
from medpipe.lake.layout import LAYOUT

MOST_CASES = 256
MOST_S = 2.0
_DIGEST_DIGITS = 32


class SegmentWriter:
    """Collects case results and seals them: at 256, or 2 seconds after the first.

    A result is acknowledged when its segment is sealed; a kill costs what is not. Safe to use
    from several threads. As a context manager it is closed at the end.

    Parameters
    ----------
    lake : Lake
    run : str
        Id of the run.
    writer : str
        Id of this writer, never used by another of the run.
    most_cases : int
        Results after which a segment is sealed at once.
    most_s : float
        Seconds after the first result of a segment at which it is sealed.
    """

    def __init__(
        self, lake: Lake, run: str, writer: str, *, most_cases: int = MOST_CASES, most_s: float = MOST_S
    ) -> None:
        self._lake = lake
        self._run = run
        self._writer = writer
        self._most_cases = most_cases
        self._most_s = most_s
        self._lock = threading.RLock()
        self._waiting: list[CaseResult] = []
        self._number = 0
        self._closed = False
        self._timer: threading.Timer | None = None
        self._problem: Exception | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def add(self, result: CaseResult) -> None:
        """Take a result; seal if the segment is full.

        Raises
        ------
        StoppedError
            If sealing failed, now or in the background; what was not sealed is kept.
        LakeError
            If the writer is closed.
        """
        with self._lock:
            self._raise_problem()
            if self._closed:
                raise LakeError(f"segment writer {self._writer} is closed; report it")
            self._waiting.append(result)
            if len(self._waiting) >= self._most_cases:
                self._seal()
            elif self._timer is None:
                self._timer = threading.Timer(self._most_s, self._on_time)
                self._timer.daemon = True
                self._timer.start()

    def flush(self) -> None:
        """Seal what is waiting; afterwards every result taken is acknowledged."""
        with self._lock:
            self._problem = None
            self._seal()

    def close(self) -> None:
        """Seal what is waiting and take no more."""
        with self._lock:
            self._closed = True
            self.flush()

    def _on_time(self) -> None:
        with self._lock:
            try:
                self._seal()
            except Exception as error:  # noqa: BLE001  # a timer has no caller: the next add or flush raises it
                self._problem = error

    def _seal(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if not self._waiting:
            return
        data = encode_segment(self._waiting)
        found = bytes_digest(data)[:_DIGEST_DIGITS]
        name = LAYOUT.segment(self._run, self._writer, self._number + 1, len(self._waiting), found)
        hit("segment.before_seal")
        self._lake.store.put_if_absent(name, data)
        hit("segment.after_seal")
        self._number += 1
        self._waiting.clear()

    def _raise_problem(self) -> None:
        problem, self._problem = self._problem, None
        if problem is not None:
            raise problem


def list_segments(lake: Lake) -> list[str]:
    """Return the names of all segments, sorted."""
    return [name for name in lake.store.list(LAYOUT.segments()) if name.endswith(".jsonl.zst")]


def results_in(name: str) -> int:
    """Return how many results a segment holds, by its name alone.

    Raises
    ------
    IntegrityError
        If the name is not one that a segment bears.
    """
    count = name.split(".")[-4:-3]
    if not count or not count[0].isdecimal():
        raise _damaged(name)
    return int(count[0])


def read_segment(lake: Lake, name: str) -> list[CaseResult]:
    """Return the results of a segment.

    Parameters
    ----------
    lake : Lake
    name : str
        As :func:`list_segments` gives it.

    Raises
    ------
    IntegrityError
        If the segment is torn, altered or bears another segment's name.
    """
    return _parsed(read_lines(lake, name), name)


def read_lines(lake: Lake, name: str) -> list[bytes]:
    """Return the results of a segment as its lines of JSON, whole but not parsed.

    Raises
    ------
    IntegrityError
        As :func:`read_segment`.
    """
    try:
        data = lake.store.get(name)
    except FileNotFoundError:
        raise IntegrityError(f"{name}: the segment is gone; run again, its cases are recomputed") from None
    if name.split(".")[-3] != bytes_digest(data)[:_DIGEST_DIGITS]:
        raise _damaged(name)
    lines = _whole_lines(data, name)
    if len(lines) != results_in(name):
        raise _damaged(name)
    return lines


def encode_segment(results: list[CaseResult]) -> bytes:
    """Return the bytes of a segment."""
    body = "".join(canonical(result.to_json()) + "\n" for result in results).encode("ascii")
    trailer = canonical({"count": len(results), "sha256": hashlib.sha256(body).hexdigest()})
    packed: bytes = pa.compress(body + trailer.encode("ascii") + b"\n", codec="zstd", asbytes=True)
    return packed


def decode_segment(data: bytes, name: str) -> list[CaseResult]:
    """Return the results that :func:`encode_segment` wrote.

    Raises
    ------
    IntegrityError
        If the bytes are torn or altered.
    """
    return _parsed(_whole_lines(data, name), name)


def _whole_lines(data: bytes, name: str) -> list[bytes]:
    try:
        text: bytes = pa.CompressedInputStream(pa.BufferReader(data), "zstd").read()
        *lines, last = text.splitlines(keepends=True)
        trailer: dict[str, Any] = json.loads(last)
    except (OSError, ValueError):
        raise _damaged(name) from None
    # the body is the text before the trailer: no second copy of it is made
    body = memoryview(text)[: len(text) - len(last)]
    if trailer != {"count": len(lines), "sha256": hashlib.sha256(body).hexdigest()}:
        raise _damaged(name)
    return lines


def _parsed(lines: list[bytes], name: str) -> list[CaseResult]:
    try:
        return [CaseResult.from_json(json.loads(line)) for line in lines]
    except (ValueError, KeyError, TypeError):
        raise _damaged(name) from None


def _damaged(name: str) -> IntegrityError:
    return IntegrityError(f"{name}: the segment is torn or altered; remove it and run again, its cases are recomputed")
