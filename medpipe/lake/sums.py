"""Small files that carry their own sum, so that one altered byte in them is found.

JSON files and lines have a field ``sum``, text files a last line with it; packed files end
with a zstd frame that readers skip. The bytes are compared, not only what they say.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from medpipe.errors import IntegrityError
from medpipe.keys import digest

_SUM = "sum"
_LINE_DIGITS = 16
_LAST_LINE = "# sha256 "
_SKIPPED = b"\x50\x2a\x4d\x18" + (32).to_bytes(4, "little")
"""Head of a frame of 32 bytes that zstd readers skip (RFC 8878, 3.1.2)."""


def with_sum(value: Mapping[str, Any]) -> bytes:
    """Return JSON values as a readable file with their sum."""
    return (json.dumps({**value, _SUM: digest(value)}, indent=1, sort_keys=True) + "\n").encode("ascii")


def read_with_sum(data: bytes, where: str) -> dict[str, Any]:
    """Return what :func:`with_sum` wrote.

    Raises
    ------
    IntegrityError
        If a byte is not as it was.
    """
    value = _parsed(data, where)
    value.pop(_SUM, None)
    if with_sum(value) != data:
        raise _altered(where)
    return value


def line_with_sum(facts: Mapping[str, Any]) -> str:
    """Return JSON values as one line with their sum."""
    return json.dumps({**facts, _SUM: digest(facts)[:_LINE_DIGITS]}, sort_keys=True) + "\n"


def is_whole_line(line: bytes) -> bool:
    """Tell whether a line is as :func:`line_with_sum` made it."""
    try:
        facts = _parsed(line, "")
    except IntegrityError:
        return False
    facts.pop(_SUM, None)
    return line_with_sum(facts).encode("ascii") == line


def word_with_sum(word: str) -> bytes:
    """Return a word, such as a pointer is, as a line with its sum."""
    return f"{word} {hashlib.sha256(word.encode()).hexdigest()[:_LINE_DIGITS]}\n".encode()


def read_word_with_sum(data: bytes, where: str) -> str:
    """Return the word that :func:`word_with_sum` wrote.

    Raises
    ------
    IntegrityError
        If a byte is not as it was.
    """
    word = data.decode(errors="replace").partition(" ")[0]
    if word_with_sum(word) != data:
        raise _altered(where)
    return word


def text_with_sum(text: str) -> str:
    """Return a text whose lines may be comments (``#``) with its sum in the last."""
    body = text if text.endswith("\n") else text + "\n"
    return f"{body}{_LAST_LINE}{hashlib.sha256(body.encode()).hexdigest()}\n"


def read_text_with_sum(data: bytes, where: str) -> str:
    """Return the text that :func:`text_with_sum` made, sum and all.

    Raises
    ------
    IntegrityError
        If a byte is not as it was.
    """
    try:
        text = data.decode()
    except UnicodeDecodeError:
        raise _altered(where) from None
    body = text.rpartition(_LAST_LINE)[0]
    if not body or text_with_sum(body) != text:
        raise _altered(where)
    return text


def packed_with_sum(data: bytes) -> bytes:
    """Return bytes packed by zstd, with the sum of the packed bytes in a frame that readers skip."""
    packed: bytes = pa.compress(data, codec="zstd", asbytes=True)
    return packed + _SKIPPED + hashlib.sha256(packed).digest()


def read_packed_with_sum(data: bytes, where: str) -> bytes:
    """Return the bytes that :func:`packed_with_sum` packed.

    Raises
    ------
    IntegrityError
        If a byte is not as it was.
    """
    packed, tail = data[: -len(_SKIPPED) - 32], data[-len(_SKIPPED) - 32 :]
    if tail != _SKIPPED + hashlib.sha256(packed).digest():
        raise _altered(where)
    unpacked: bytes = pa.CompressedInputStream(pa.BufferReader(packed), "zstd").read()
    return unpacked


def _parsed(data: bytes, where: str) -> dict[str, Any]:
    try:
        value = json.loads(data)
    except ValueError:
        raise _altered(where) from None
    if not isinstance(value, dict):
        raise _altered(where)
    return value


def _altered(where: str) -> IntegrityError:
    return IntegrityError(f"{where}: its bytes differ from its sum; it is torn or altered")
