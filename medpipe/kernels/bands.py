"""Bands of the separable wavelet transform in which no value is left out (a trous).

References
----------
IBSI 2 reference manual, "Separable wavelets" (code 25BO), arXiv:2006.05470.
"""

from __future__ import annotations

from medpipe.kernels.boundary import Boundary
from medpipe.kernels.laws import Pooling
from medpipe.kernels.rotations import (
    Turn,
    group_mean,
    mean_of_turns,
    right_angle_turns,
    term_of,
    turned_kernels,
    turned_terms,
)
from medpipe.kernels.separable import Joined, Taps, convolved
from medpipe.types import Array
from medpipe.xp import backend_of


def wavelet_names() -> tuple[str, ...]:
    """Return the names of all discrete wavelets (``haar``, ``db3``, ``coif1``, ``sym4``, ``bior1.3``, ...)."""
    import pywt

    return tuple(pywt.wavelist(kind="discrete"))


def wavelet_taps(wavelet: str, /) -> dict[str, Taps]:
    """Return the decomposition filters of a wavelet: low-pass ``L`` and high-pass ``H``."""
    import pywt

    found = pywt.Wavelet(wavelet)
    return {"L": tuple(map(float, found.dec_lo)), "H": tuple(map(float, found.dec_hi))}


def spread_taps(taps: Taps, /, *, level: int) -> Taps:
    """Return the filter of a level: so many zeros after each tap, and one more where the length is even.

    That zero stands behind the last tap before a kernel is turned round, so that the middle of the turned kernel is that
    of the kernel.
    """
    step = 2 ** (level - 1)
    spread = tuple(value for tap in taps for value in (tap, *(0.0,) * (step - 1)))
    return spread if len(spread) % 2 else (*spread, 0.0)


def band_reach(taps: dict[str, Taps], /, *, level: int) -> int:
    """Return how far a band of a level looks along an axis that is transformed, in voxels."""
    low = sum(len(spread_taps(taps["L"], level=one)) // 2 for one in range(1, level))
    return low + len(spread_taps(taps["L"], level=level)) // 2


def band(
    x: Array,
    passes: str,
    /,
    *,
    taps: dict[str, Taps],
    level: int,
    rotation_invariant: bool,
    pooling: Pooling,
    boundary: Boundary,
) -> Array:
    """Return a band of a wavelet transform, of the size of the image.

    Parameters
    ----------
    x : array of float32 (z, y, x)
    passes : str
        ``L`` or ``H`` along x and y (in the slice), or along x, y and z.
    taps : dict
        See :func:`wavelet_taps`; both filters are of one length.
    level : int
        1 for the finest; below it the image goes through the low-pass along all these axes, level by level.
    rotation_invariant : bool
        Whether responses to all right-angle rotations (4 or 24) of the kernels are pooled.
    pooling : {"max", "mean"}
    boundary : {"constant", "nearest", "wrap", "reflect"}

    Returns
    -------
    array of float32 (z, y, x)
    """
    xp = backend_of(x).xp
    kernels = tuple(spread_taps(taps[one], level=level) for one in passes)
    if level == 1 and rotation_invariant and pooling == "mean":
        return convolved(x, mean_of_turns(kernels), joined="sum", boundary=boundary)
    turns = right_angle_turns(len(passes))
    turns = turns if rotation_invariant else turns[:1]
    joined: Joined = "max" if pooling == "max" else "sum"
    result = None
    # what is smooth depends on which kernels are turned round, not on where they stand
    for group in _alike(turns) if level > 1 else [turns]:
        smooth = x
        for below in range(1, level):
            low = (spread_taps(taps["L"], level=below),) * len(passes)
            smooth = convolved(smooth, [term_of(turned_kernels(low, group[0]))], joined="sum", boundary=boundary)
        terms = turned_terms(kernels, group) if pooling == "max" else group_mean(kernels, group, len(turns))
        made = convolved(smooth, terms, joined=joined, boundary=boundary)
        if result is None:
            result = made
        elif pooling == "max":
            xp.maximum(result, made, out=result)
        else:
            result += made
        del made, smooth
    return result


def _alike(turns: tuple[Turn, ...]) -> list[tuple[Turn, ...]]:
    """Return rotations in groups that turn the same axes round."""
    groups: dict[tuple[bool, ...], list[Turn]] = {}
    for turn in turns:
        groups.setdefault(turn.turned, []).append(turn)
    return [tuple(group) for group in groups.values()]
