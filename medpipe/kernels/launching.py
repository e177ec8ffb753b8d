"""CUDA kernels of our own: source files beside this module, compiled by CuPy where they are called."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from medpipe.types import Array
from medpipe.xp import backend_of

EXACT = ("--fmad=false",)
"""Every product is rounded before it is added, as on the host: the same numbers to the last bit."""

_MOST_NARROW = 1 << 30
"""Voxels of the largest arrays whose places are counted in 32 bits."""

_SOURCES = Path(__file__).parent / "cuda"


def launch(
    like: Array,
    kernel: str,
    /,
    *,
    blocks: int,
    threads: tuple[int, int],
    arguments: Sequence[Any],
    constants: Mapping[str, int] | None = None,
    options: tuple[str, ...] = (),
) -> None:
    """Run a kernel on the device of an array.

    Parameters
    ----------
    like : array
        Of CuPy.
    kernel : str
        File and function, such as ``median.median_of_27``.
    blocks : int
        Blocks of threads; one axis, since the others end at 65,535.
    threads : (int, int)
        Of a block along (x, y).
    arguments : sequence
        Arrays that are contiguous, and NumPy scalars of the very types that the kernel takes: nothing checks them.
    constants : mapping of str to int, optional
        Names that the source leaves to the compiler.
    options : tuple of str
        Of the compiler beside these.
    """
    given = tuple(f"-D{name}={value}" for name, value in (constants or {}).items())
    compiled = _compiled(backend_of(like).xp.RawKernel, kernel, (*options, *given))
    compiled((blocks, 1, 1), (*threads, 1), tuple(arguments))


def tiles(shape: tuple[int, ...], tile: tuple[int, ...], /) -> int:
    """Return how many tiles cover an array."""
    return math.prod(-(-n // part) for n, part in zip(shape, tile, strict=True))


def wide(*arrays: Array) -> dict[str, int]:
    """Return what a source is told of how it counts places: 64 bits only where it must, since they cost time."""
    return {"WIDE": int(max(array.size for array in arrays) > _MOST_NARROW)}


def source_of(file: str, /) -> str:
    """Return the text of a source file, named without its ending."""
    return (_SOURCES / f"{file}.cu").read_text(encoding="utf-8")


@cache
def _compiled(raw_kernel: Any, kernel: str, options: tuple[str, ...]) -> Any:
    file, _, name = kernel.partition(".")
    return raw_kernel(source_of(file), name, options=options)
