"""What is fitted over a cohort: observations of cases, merged in exact arithmetic, frozen into a standard.

An observation is a row of numbers. States are sums of fractions, so the order in which cases
come, and how they are dealt out, changes no bit of the result.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise

from medpipe.errors import ConfigError

NYUL = "nyul"
"""Kind of a fit whose landmarks stand for a standard scale from 1 to 100."""

QUANTILES = "quantiles"
"""Kind of a fit that is the mean quantiles of a cohort, in the unit of the images."""

KINDS = (NYUL, QUANTILES)

SCALE = (1, 100)
"""Ends of the standard scale of Nyul and Udupa."""


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """Observations that were merged.

    Attributes
    ----------
    count : int
    sums : tuple of Fraction
        Sum of each landmark.
    """

    count: int
    sums: tuple[Fraction, ...]


def observe(landmarks: Sequence[float], *, kind: str) -> State:
    """Return the state of one case.

    Parameters
    ----------
    landmarks : sequence of float
        Percentiles of its image, rising, the first below the last.
    kind : {"nyul", "quantiles"}
        ``nyul`` maps the first and the last to the ends of the standard scale, and those between
        linearly; each is rounded once to float64, so that sums of many stay small.

    Raises
    ------
    ConfigError
        If the landmarks do not rise from the first to the last.
    """
    exact = [Fraction(value) for value in landmarks]
    if len(exact) < 2 or exact[0] >= exact[-1] or any(after < before for before, after in pairwise(exact)):
        raise ConfigError("landmarks of an image must rise")
    if kind == NYUL:
        low, high = SCALE
        by = Fraction(high - low) / (exact[-1] - exact[0])
        exact = [Fraction(float(low + (value - exact[0]) * by)) for value in exact]
    return State(count=1, sums=tuple(exact))


def merge(one: State, other: State) -> State:
    """Return the state of all cases of two states.

    Raises
    ------
    ConfigError
        If they have not the same number of landmarks.
    """
    if len(one.sums) != len(other.sums):
        raise ConfigError("observations of different landmarks cannot be merged")
    sums = tuple(mine + theirs for mine, theirs in zip(one.sums, other.sums, strict=True))
    return State(count=one.count + other.count, sums=sums)


def freeze(state: State, *, kind: str) -> tuple[float, ...]:
    """Return the standard: the mean of each landmark, rounded once to float64.

    Raises
    ------
    ConfigError
        If the means of a ``nyul`` fit do not rise strictly.
    """
    values = tuple(float(total / state.count) for total in state.sums)
    if kind == NYUL and any(after <= before for before, after in pairwise(values)):
        raise ConfigError("the landmarks of the cohort do not rise: take fewer percentiles")
    return values
