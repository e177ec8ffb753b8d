"""Digests: the content side of every key.

``*_digest`` names content; ``*_key`` names an identity or a product. All are lower-case hex
SHA-256. No time, host or run ever enters one.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Mapping
from functools import lru_cache
from json.encoder import encode_basestring_ascii
from typing import Any, NamedTuple

import numpy as np


def canonical(value: Any) -> str:
    """Return the one JSON text of a value: sorted keys, no blanks, exact floats.

    Raises
    ------
    TypeError
        For a type JSON cannot hold.
    ValueError
        For NaN or an infinity, which JSON cannot hold either.
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False, default=_plain)


def digest(value: Any) -> str:
    """Return the SHA-256 of a value's canonical JSON."""
    return hashlib.sha256(canonical(value).encode("ascii")).hexdigest()


def pair_digest(one: str, other: str) -> str:
    """Return the :func:`digest` of a list of two texts; a scan takes millions."""
    text = f"[{encode_basestring_ascii(one)},{encode_basestring_ascii(other)}]"
    return hashlib.sha256(text.encode("ascii")).hexdigest()


def bytes_digest(data: bytes | memoryview) -> str:
    """Return the SHA-256 of bytes."""
    return hashlib.sha256(data).hexdigest()


def array_digest(array: np.ndarray[Any, Any]) -> str:
    """Return a digest of an array's shape, type and values.

    The bytes hashed are C order, little endian, so the digest is the same on every host.
    """
    plain = np.ascontiguousarray(array)
    return blocks_digest(plain.shape, plain.dtype, [plain])


def blocks_digest(
    shape: tuple[int, ...], dtype: np.dtype[Any], blocks: Iterable[np.ndarray[Any, Any]], *, zeros: int = 0
) -> str:
    """Return the :func:`array_digest` of an array that comes in blocks.

    Parameters
    ----------
    shape, dtype
        Of the whole array.
    blocks : iterable of array
        Its values in C order, each block a run of whole slices along the first axis.
    zeros : int
        Slices before the blocks, all of them 0: they are hashed once for many masks of one shape.
    """
    little = dtype.newbyteorder("<")
    head = canonical({"shape": list(shape), "dtype": little.str})
    state = (
        hashlib.sha256(head.encode("ascii")) if zeros == 0 else _after_zeros(head, zeros, _slice_bytes(shape, dtype))
    )
    for block in blocks:
        plain = np.ascontiguousarray(block).astype(little, copy=False)
        state.update(plain.reshape(-1).view(np.uint8).data)
    return state.hexdigest()


def _slice_bytes(shape: tuple[int, ...], dtype: np.dtype[Any]) -> int:
    return math.prod(shape[1:]) * dtype.itemsize


def _after_zeros(head: str, slices: int, slice_bytes: int) -> Any:
    """Return the state of a hash after a text and slices of zeros, to go on from."""
    known = _states_of(head, slice_bytes)
    for place in range(1, slices + 1):
        if place not in known:
            state = known[place - 1].copy()
            state.update(bytes(slice_bytes))
            known[place] = state
    return known[slices].copy()


@lru_cache(maxsize=4)
def _states_of(head: str, slice_bytes: int) -> dict[int, Any]:  # noqa: ARG001  # states are of slices of one length
    """Return what is known of a text's states, by the number of slices; to add to."""
    return {0: hashlib.sha256(head.encode("ascii"))}


class Rendered(NamedTuple):
    """A value as its canonical JSON already, so that a spec is rendered once and not per case."""

    text: str


def rendered(value: Any) -> Rendered:
    """Return a value as its canonical JSON."""
    return Rendered(canonical(value))


def product_key(kind: str, /, **parts: Any) -> str:
    """Return the key of a product: a digest of its kind and everything it depends on.

    The same as ``digest({"kind": kind, **parts})``; parts may be :class:`Rendered`.
    """
    named = sorted({"kind": kind, **parts}.items())
    text = ",".join(f'"{name}":{_text(value)}' for name, value in named)
    return hashlib.sha256(f"{{{text}}}".encode("ascii")).hexdigest()


def _text(value: Any) -> str:
    return value.text if isinstance(value, Rendered) else canonical(value)


def combine(digests: Iterable[str]) -> str:
    """Return one digest of several, in the order given."""
    return digest(list(digests))


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, (set, frozenset)):
        return sorted(value)
    raise TypeError(f"cannot put a {type(value).__name__} into a key")


def as_float(value: int) -> float:
    """Return a whole number as a float; an infinity where no float is that large."""
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf


def finite_or_none(value: float) -> float | None:
    """Return a float, or None for NaN and the infinities (JSON has neither)."""
    return float(value) if math.isfinite(value) else None
