"""How much of the activity given to a patient counts for an image: half-lives, times and their doubts."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from medpipe.archive.instants import DAY_S, Instant
from medpipe.archive.pet import Pet
from medpipe.errors import Rejected

HALF_LIVES_S: Final = {
    "F-18": 6586.2,
    "Ga-68": 4057.7,
    "C-11": 1223.0,
    "N-13": 598.0,
    "O-15": 122.24,
    "Cu-64": 45721.0,
    "Zr-89": 282240.0,
    "I-124": 360806.0,
    "Rb-82": 76.4,
}
_SAME_HALF_LIFE: Final = 0.1
_LONGEST_F18_S: Final = 6 * 3600.0
_MOST_HALF_LIVES: Final = 10.0
"""A thousandth is left then, and nothing is imaged."""

_DISAGREE_S: Final = 60.0
_ROUNDED_S: Final = 1.0
"""By what times may differ because one is written without fractions of a second."""

_LEAST_IN_BQ: Final = 1e5
_DOSES_BQ: Final = (1e3, 1e12)
_FRAMES_S: Final = (1e-3, 1e6)
_HALF_LIVES: Final = (1.0, 1e9)


@dataclass(frozen=True, slots=True)
class Left:
    """The part of the activity given that the values of each plane are to be divided by.

    Attributes
    ----------
    bq : tuple of float
        One for all planes, or one for each.
    flags : tuple of str
    """

    bq: tuple[float, ...]
    flags: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Tracer:
    half_life_s: float
    longest_s: float

    @property
    def per_s(self) -> float:
        return math.log(2.0) / self.half_life_s


def activity_left(planes: Sequence[Pet], series: Iterable[Pet]) -> Left:
    """Return what the activity given counts for the planes of a stack.

    ``ADMIN``: D. ``START``: D exp(-lambda (t_ref - t_adm)), where t_ref is the series' time if that
    is not after its first acquisition, else the vendor's, else the acquisition's less the frame
    reference time, else the first acquisition's; of a multi-frame image, what it says. ``NONE``: for
    each plane D exp(-lambda (t_acq - t_adm)) (1 - exp(-lambda T)) / (lambda T) with its frame's
    duration T.

    Parameters
    ----------
    planes : sequence of Pet
        In array order; all but their times and factors are alike.
    series : iterable of Pet
        All images of the series, whose first acquisition counts.

    Raises
    ------
    Rejected
        ``E_SUV_NO_DOSE``, ``E_SUV_DECAY``, ``E_SUV_HALF_LIFE`` or ``E_SUV_BAD_TIMES``.
    """
    flags: set[str] = set()
    dose_bq = _dose_bq(planes[0], flags)
    decay = planes[0].decay
    if decay not in {"ADMIN", "START", "NONE"}:
        raise Rejected("E_SUV_DECAY")
    if (decay == "NONE") == ("DECY" in planes[0].corrected):
        flags.add("W_SUV_DECAY")
    if decay == "ADMIN":
        return Left((dose_bq,), tuple(sorted(flags)))
    tracer = _tracer(planes[0], flags)
    clock = _Clock.of(series, tracer)
    given_s = clock.given_s(planes[0], flags)
    if decay == "START":
        waited_s = clock.reference_s(planes, flags) - given_s
        if not 0 <= waited_s <= tracer.longest_s:
            raise Rejected("E_SUV_BAD_TIMES")
        return Left((dose_bq * math.exp(-tracer.per_s * waited_s),), tuple(sorted(flags)))
    parts = tuple(_part_in_frame(plane, tracer, given_s) for plane in planes)
    return Left(tuple(dose_bq * part for part in parts), tuple(sorted(flags)))


def _dose_bq(pet: Pet, flags: set[str]) -> float:
    said = pet.dose_bq
    if pet.n_injections != 1 or said is None or said <= 0:
        raise Rejected("E_SUV_NO_DOSE")
    dose_bq = said if said >= _LEAST_IN_BQ else said * 1e6
    if not _is_within(dose_bq, _DOSES_BQ):
        raise Rejected("E_SUV_NO_DOSE")
    if dose_bq != said:
        flags.add("W_SUV_UNIT_GUESSED")
    return dose_bq


def _tracer(pet: Pet, flags: set[str]) -> _Tracer:
    known = HALF_LIVES_S.get(pet.nuclide)
    half_life_s = pet.half_life_s if pet.half_life_s is not None and pet.half_life_s > 0 else None
    if half_life_s is None and known is not None:
        flags.add("W_SUV_HALF_LIFE")
        half_life_s = known
    if half_life_s is None or not _is_within(half_life_s, _HALF_LIVES):
        raise Rejected("E_SUV_HALF_LIFE")
    if known is not None and abs(half_life_s / known - 1) > _SAME_HALF_LIFE:
        raise Rejected("E_SUV_HALF_LIFE")
    is_f18 = abs(half_life_s / HALF_LIVES_S["F-18"] - 1) <= _SAME_HALF_LIFE
    return _Tracer(half_life_s, _LONGEST_F18_S if is_f18 else _MOST_HALF_LIVES * half_life_s)


def _part_in_frame(pet: Pet, tracer: _Tracer, given_s: float) -> float:
    """Return the mean part of the activity given that is left during a plane's frame."""
    if pet.acquired is not None and _is_within(pet.frame_s, _FRAMES_S):
        began, decayed = pet.acquired, tracer.per_s * float(pet.frame_s or 0.0)
        within = -math.expm1(-decayed) / decayed
    elif pet.mean_at is not None:
        began, within = pet.mean_at, 1.0
    else:
        raise Rejected("E_SUV_BAD_TIMES")
    waited_s = _seconds(began) - given_s
    if not 0 <= waited_s <= tracer.longest_s:
        raise Rejected("E_SUV_BAD_TIMES")
    return math.exp(-tracer.per_s * waited_s) * within


@dataclass(frozen=True, slots=True)
class _Clock:
    """Instants of a series in seconds: since the first of year 1, or since midnight where it has no dates."""

    has_dates: bool
    first_s: float
    tracer: _Tracer

    @classmethod
    def of(cls, series: Iterable[Pet], tracer: _Tracer) -> _Clock:
        acquired = [when for pet in series for when in (pet.acquired or pet.mean_at,) if when is not None]
        dated = {instant.day is not None for instant in acquired}
        if len(dated) != 1:
            raise Rejected("E_SUV_BAD_TIMES")
        seconds = [_seconds(instant) for instant in acquired]
        has_dates = dated.pop()
        # without dates a midnight within the series is not told from a day
        if not has_dates and max(seconds) - min(seconds) > DAY_S / 2:
            raise Rejected("E_SUV_BAD_TIMES")
        return cls(has_dates, min(seconds), tracer)

    def before(self, instant: Instant) -> float | None:
        """Return the time of something that came before the first acquisition, or None if it cannot have been."""
        is_dated = self.has_dates and instant.day is not None
        said_s = _seconds(instant) if is_dated else self._on_the_day(instant.clock_s)
        return said_s if -_ROUNDED_S <= self.first_s - said_s <= self.tracer.longest_s else None

    def _on_the_day(self, clock_s: float) -> float:
        """Return a time of day on the day of the first acquisition, or on the day before if that is later."""
        on_day_s = self.first_s // DAY_S * DAY_S + clock_s
        return on_day_s - DAY_S if on_day_s > self.first_s + _ROUNDED_S else on_day_s

    def given_s(self, pet: Pet, flags: set[str]) -> float:
        """Return when the activity was given."""
        clock_s = pet.given_clock_s
        given = pet.given or (None if clock_s is None else Instant(None, clock_s)) or pet.vendor_given
        if given is None:
            raise Rejected("E_SUV_BAD_TIMES")
        has_date = self.has_dates and given.day is not None
        said_s = self.before(given) if has_date else None
        if said_s is not None:
            return said_s
        # dates that were shifted apart; of a tracer that lasts for days the time of day says too little
        same_day = has_date and _day(given) == self.first_s // DAY_S
        said_s = None if same_day or self.tracer.longest_s >= DAY_S else self.before(Instant(None, given.clock_s))
        if said_s is None:
            raise Rejected("E_SUV_BAD_TIMES")
        if given.day is not None:
            flags.add("W_SUV_DATES")
        return said_s

    def reference_s(self, planes: Sequence[Pet], flags: set[str]) -> float:
        """Return the instant to which decay is corrected."""
        corrected_to = planes[0].corrected_to
        if corrected_to is not None:
            return _seconds(corrected_to)
        computed = self._computed_s(planes)
        computed_s = statistics.median(computed) if computed else None
        stated = min((pet.series for pet in planes if pet.series is not None), key=_seconds, default=None)
        vendor = min((pet.scan_start for pet in planes if pet.scan_start is not None), key=_seconds, default=None)
        found = [self.before(instant) for instant in (stated, vendor) if instant is not None]
        if computed_s is not None and -_DISAGREE_S <= self.first_s - computed_s <= self.tracer.longest_s:
            found.append(computed_s)
        reference_s = next((one for one in found if one is not None), None)
        if reference_s is None:
            flags.add("W_SUV_START")
            reference_s = self.first_s
        if any(abs(reference_s - one) > _DISAGREE_S for one in computed):
            flags.add("W_SUV_TIMES")
        return reference_s

    def _computed_s(self, planes: Sequence[Pet]) -> list[float]:
        """Return the instants that acquisition and frame reference time give; nothing if a plane lacks one.

        The mean activity of a frame of duration T is that of ln(lambda T / (1 - exp(-lambda T))) / lambda
        after its start, and the frame reference time is that long after the instant looked for.
        """
        found = [
            _seconds(pet.acquired) + _mean_s(float(pet.frame_s or 0.0), self.tracer) - pet.frame_reference_s
            for pet in planes
            if pet.acquired is not None and _is_within(pet.frame_s, _FRAMES_S) and pet.frame_reference_s is not None
        ]
        return found if len(found) == len(planes) else []


def _mean_s(frame_s: float, tracer: _Tracer) -> float:
    decayed = tracer.per_s * frame_s
    return math.log(decayed / -math.expm1(-decayed)) / tracer.per_s


def _is_within(measured: float | None, bounds: tuple[float, float]) -> bool:
    return measured is not None and bounds[0] <= measured <= bounds[1]


def _seconds(instant: Instant) -> float:
    return (instant.day or 0) * DAY_S + instant.clock_s


def _day(instant: Instant) -> float:
    return float(instant.day or 0)
