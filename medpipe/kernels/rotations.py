"""Right-angle rotations of separable kernels: transposed and turned round, never rotated as arrays."""

from __future__ import annotations

from collections import Counter
from itertools import permutations, product
from typing import NamedTuple

from medpipe.kernels.separable import ALONE, Taps, Term


class Turn(NamedTuple):
    """A rotation by right angles.

    Attributes
    ----------
    axes : tuple of int
        Kernel that stands along x, y (and z) after the rotation, by its number.
    turned : tuple of bool
        Whether it is turned round there.
    """

    axes: tuple[int, ...]
    turned: tuple[bool, ...]


def right_angle_turns(dimensions: int, /) -> tuple[Turn, ...]:
    """Return the 4 rotations of a square, or the 24 of a cube, without mirror images; the first leaves all as it is."""
    found = []
    for axes in permutations(range(dimensions)):
        found += [
            Turn(axes, turned)
            for turned in product((False, True), repeat=dimensions)
            if (_swaps(axes) + sum(turned)) % 2 == 0
        ]
    return tuple(found)


def turned_kernels(kernels: tuple[Taps, ...], turn: Turn, /) -> tuple[Taps, ...]:
    """Return kernels along x, y (and z) after a rotation."""
    return tuple(
        kernels[axis][::-1] if is_turned else kernels[axis]
        for axis, is_turned in zip(turn.axes, turn.turned, strict=True)
    )


def term_of(kernels: tuple[Taps, ...], /) -> Term:
    """Return kernels along x, y (and z) as a term along z, y, x."""
    along_z = kernels[2] if len(kernels) == 3 else ALONE
    return along_z, kernels[1], kernels[0]


def turned_terms(kernels: tuple[Taps, ...], turns: tuple[Turn, ...], /) -> list[Term]:
    """Return the terms that rotations make of kernels, each once."""
    return list(dict.fromkeys(term_of(turned_kernels(kernels, turn)) for turn in turns))


def group_mean(kernels: tuple[Taps, ...], group: tuple[Turn, ...], turns: int, /) -> list[Term]:
    """Return terms whose sum is what some rotations contribute to the mean over a number of them."""
    counts = Counter(term_of(turned_kernels(kernels, turn)) for turn in group)
    return [_weighted(term, count / turns) for term, count in counts.items()]


def mean_of_turns(kernels: tuple[Taps, ...], /) -> list[Term]:
    """Return terms whose sum is the mean over all right-angle rotations.

    Parameters
    ----------
    kernels : tuple of Taps
        Along x, y (and z).

    Notes
    -----
    With ``k = s + a`` the even and odd part of a kernel, the rotations with the kernels in one order (4 of a cube's, 2
    of a square's) have the mean ``s s s + p a a a``, p the order's parity: of the other products each occurs as often
    with either sign. What two orders share is made once, or cancels.
    """
    even = [tuple((one + other) / 2 for one, other in zip(taps, taps[::-1], strict=True)) for taps in kernels]
    odd = [tuple((one - other) / 2 for one, other in zip(taps, taps[::-1], strict=True)) for taps in kernels]
    weights: Counter[tuple[Taps, ...]] = Counter()
    orders = list(permutations(range(len(kernels))))
    for order in orders:
        weights[tuple(even[axis] for axis in order)] += 1
        weights[tuple(odd[axis] for axis in order)] += (-1) ** _swaps(order)
    made = [(term_of(along), weight) for along, weight in weights.items() if weight and all(map(any, along))]
    # nothing may be left, as of two edge kernels
    return [_weighted(term, weight / len(orders)) for term, weight in made] or [_weighted(term_of(kernels), 0.0)]


def _weighted(term: Term, weight: float) -> Term:
    along_z, along_y, along_x = term
    return along_z, along_y, tuple(tap * weight for tap in along_x)


def _swaps(order: tuple[int, ...]) -> int:
    return sum(order[i] > order[j] for i in range(len(order)) for j in range(i + 1, len(order)))
