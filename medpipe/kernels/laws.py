"""Laws' kernels: level, edge, spot, wave and ripple, and the energy of what they respond to.

References
----------
Laws 1980, "Textured image segmentation"; IBSI 2 reference manual, "Laws kernels" (code JTXT; energy PQSD),
arXiv:2006.05470.
"""

from __future__ import annotations

import math
from typing import Literal

from medpipe.kernels.boundary import Boundary
from medpipe.kernels.rotations import mean_of_turns, right_angle_turns, term_of, turned_terms
from medpipe.kernels.separable import Joined, Taps, Term, convolved, mean_term
from medpipe.types import Array
from medpipe.xp import backend_of

Pooling = Literal["max", "mean"]


def _normalised(*taps: int) -> Taps:
    norm = math.sqrt(sum(tap * tap for tap in taps))
    return tuple(tap / norm for tap in taps)


KERNELS: dict[str, Taps] = {
    "L5": _normalised(1, 4, 6, 4, 1),
    "E5": _normalised(-1, -2, 0, 2, 1),
    "S5": _normalised(-1, 0, 2, 0, -1),
    "W5": _normalised(-1, 2, 0, -2, 1),
    "R5": _normalised(1, -4, 6, -4, 1),
    "L3": _normalised(1, 2, 1),
    "E3": _normalised(-1, 0, 1),
    "S3": _normalised(-1, 2, -1),
}
"""By name; the sum of their squares is 1."""


def laws_names(names: str, /) -> tuple[str, ...]:
    """Return the names in a text such as ``L5E5S5``, or nothing where one of them is none."""
    found = tuple(names[place : place + 2] for place in range(0, len(names), 2))
    return found if all(name in KERNELS for name in found) else ()


def laws_terms(names: tuple[str, ...], /, *, rotation_invariant: bool, pooling: Pooling) -> tuple[list[Term], Joined]:
    """Return the terms of kernels along x, y (and z), in all right-angle rotations or as they stand, and how to join them."""
    kernels = tuple(KERNELS[name] for name in names)
    if not rotation_invariant:
        return [term_of(kernels)], "sum"
    if pooling == "mean":
        return mean_of_turns(kernels), "sum"
    turned = turned_terms(kernels, right_angle_turns(len(names)))
    terms = list(dict.fromkeys(_signed(term, 1) for term in turned))
    # where each response comes with its opposite, the largest is the largest size
    halves = {frozenset((term, _signed(term, -1))): term for term in terms}
    return (list(halves.values()), "size") if 2 * len(halves) == len(terms) else (terms, "max")


def _signed(term: Term, sign: int) -> Term:
    """Return a term, or its opposite, with the sign of all its kernels gathered in the last."""
    signs = [1 if next(tap for tap in taps if tap) > 0 else -1 for taps in term]
    along_z, along_y, along_x = (tuple(tap * one for tap in taps) for taps, one in zip(term, signs, strict=True))
    gathered = sign * math.prod(signs)
    return along_z, along_y, tuple(tap * gathered for tap in along_x)


def laws(
    x: Array,
    names: tuple[str, ...],
    /,
    *,
    rotation_invariant: bool,
    pooling: Pooling,
    delta: int | None,
    boundary: Boundary,
) -> Array:
    """Return the response to Laws' kernels, or its energy.

    Parameters
    ----------
    x : array of float32 (z, y, x)
    names : tuple of str
        Kernels along x and y (in the slice), or x, y and z.
    rotation_invariant : bool
        Whether responses to all right-angle rotations (4 or 24) are pooled.
    pooling : {"max", "mean"}
    delta : int or None
        Half the edge of the window over which absolute values of the pooled response are averaged, in voxels; None for
        the response itself.
    boundary : {"constant", "nearest", "wrap", "reflect"}

    Returns
    -------
    array of float32 (z, y, x)
    """
    terms, joined = laws_terms(names, rotation_invariant=rotation_invariant, pooling=pooling)
    response = convolved(x, terms, joined=joined, boundary=boundary)
    if delta is None:
        return response
    backend_of(response).xp.abs(response, out=response)
    window = mean_term(2 * delta + 1, by_slice=len(names) == 2)
    return convolved(response, [window], joined="sum", boundary=boundary)
