"""Times of the places of a series: whether the first of one place belongs to the first of another, and so on."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Final, Literal

import numpy as np

from medpipe.archive.frames import Plane

COUNTED: Final = ("TemporalPositionIdentifier", "TemporalPositionIndex")
MEASURED: Final = ("FrameReferenceTime", "TriggerTime")
"""Elements that order the images of a place, in milliseconds; those that count come before them."""

_NEAR_PART: Final = 0.25
_EQUAL_PART: Final = 0.01
_LATE_PART: Final = 0.5
_MOST_STRETCHED: Final = 1.5
_FAR_STRETCHED: Final = 1.9
"""Heart rates of one examination seldom differ by more than the one; at twice the length every other image may be missing."""

Agreement = Literal["agree", "doubtful", "contradict"]
Times = np.ndarray[Any, np.dtype[np.float64]]


def telling(places: Sequence[Sequence[Plane]]) -> str:
    """Return the first temporal element that tells the images of every place apart, or an empty string."""
    return next((one for one in (*COUNTED, *MEASURED) if all(map(_is_distinct, times_of(places, one)))), "")


def times_of(places: Sequence[Sequence[Plane]], keyword: str) -> list[list[float]]:
    """Return what a temporal element says of each image, place by place; NaN where it is not there."""
    return [[dict(plane.temporal).get(keyword, math.nan) for plane in place] for place in places]


def agreement(times: Sequence[Sequence[float]]) -> Agreement:
    """Tell whether the n-th times of all places are one time.

    They are if places are imaged one after the other in one turn, so that a place is always as
    much later than another; or in heart beats of several lengths, so that the course of a place
    is that of another, stretched. If not, and a time of a place is that of another place, at
    another rank, images are missing at different times.

    Parameters
    ----------
    times : sequence of sequence of float
        Of each place, ascending and distinct; places in order.
    """
    known = np.array(times, dtype=np.float64)
    if known.shape[0] < 2 or known.shape[1] < 2 or _follow(known):
        return "agree"
    stretch = _stretch(known)
    if stretch < _FAR_STRETCHED:
        return "agree" if stretch <= _MOST_STRETCHED else "doubtful"
    least = float(np.diff(known, axis=1).min())
    return "contradict" if any(_meet(one, other, least) for one, other in pairwise(known)) else "doubtful"


def _follow(times: Times) -> bool:
    later = times - times[0]
    least = float(np.diff(times, axis=1).min())
    # of n places the last is imaged when the n-th part of a turn is left
    turn = (1.0 - 1.0 / len(times) + _EQUAL_PART) * least
    apart = bool((times.max(axis=0)[:-1] < times.min(axis=0)[1:]).all())
    return apart and float(np.ptp(later, axis=1).max()) <= _NEAR_PART * least and float(np.ptp(later[:, 0])) <= turn


def _stretch(times: Times) -> float:
    """Return how much longer the longest course is than the shortest; infinity where they differ in more."""
    lasts = times[:, -1] - times[:, 0]
    shares = (times - times[:, :1]) / lasts[:, None]
    least = float(np.diff(times, axis=1).min())
    alike = float(np.ptp(shares, axis=0).max()) <= _NEAR_PART * float(np.diff(shares, axis=1).min())
    is_late = float(np.ptp(times[:, 0])) > _LATE_PART * least
    return float(lasts.max() / lasts.min()) if alike and not is_late else math.inf


def _meet(one: Times, other: Times, least: float) -> bool:
    """Tell whether a time of a place is one of another place at another rank, and not at its own."""
    after = np.clip(np.searchsorted(other, one), 1, len(other) - 1)
    nearest = np.where(np.abs(other[after - 1] - one) <= np.abs(other[after] - one), after - 1, after)
    elsewhere = (nearest != np.arange(len(one))) & (np.abs(other[nearest] - one) <= _EQUAL_PART * least)
    return bool((elsewhere & (np.abs(other - one) > _NEAR_PART * least)).any())


def _is_distinct(times: Sequence[float]) -> bool:
    return len(set(times)) == len(times) and not any(map(math.isnan, times))
