"""Dates and times of day of a header as numbers: DA, TM and DT of PS3.5 6.2."""

from __future__ import annotations

import datetime as dt
import re
from typing import Any, Final, NamedTuple

from medpipe.archive.elements import Tag, text
from medpipe.archive.integers import Integer

DAY_S: Final = 86_400.0

# colons and dots are of ACR-NEMA
_DATE: Final = re.compile(r"(\d{4})\.?(\d{2})\.?(\d{2})")
_CLOCK: Final = re.compile(r"(\d{2}):?(\d{2}):?(\d{2}(?:\.\d{1,6})?)?")
_ZONE: Final = re.compile(r"([+-])(\d{2})(\d{2})")


class Instant(NamedTuple):
    """A point in time.

    Attributes
    ----------
    day : int or None
        Number of the day (1 is the first of year 1); None where only the time of day is known.
    clock_s : float
        Seconds since midnight.
    """

    day: Integer | None
    clock_s: float


def clock_of(dataset: Any, tag: Tag) -> float | None:
    """Return a time of day (TM) in seconds since midnight, or None."""
    return _clock_s(text(dataset, tag))


def instant_of(dataset: Any, date: Tag, time: Tag) -> Instant | None:
    """Return what a date (DA) and a time of day (TM) say; None without the time."""
    return instant_said(text(dataset, date), text(dataset, time))


def instant_said(date: str, time: str) -> Instant | None:
    """Return what the texts of a date (DA) and a time of day (TM) say; see :func:`instant_of`."""
    clock_s = _clock_s(time)
    return None if clock_s is None else Instant(_day(date), clock_s)


def moment_of(dataset: Any, tag: Tag, *, top: Any) -> Instant | None:
    """Return what a DT says, by the clocks of the object; None where date or time of day is missing.

    Parameters
    ----------
    dataset : pydicom.Dataset
        The object, or an item in it.
    tag : Tag
    top : pydicom.Dataset
        The object: an offset from UTC counts where it says its own (Timezone Offset From UTC).
    """
    said = text(dataset, tag)
    plain, zone = said, _ZONE.search(said)
    if zone is not None:
        plain = said[: zone.start()]
    day, clock_s = _day(plain[:8]), _clock_s(plain[8:])
    if day is None or clock_s is None:
        return None
    own = _ZONE.fullmatch(text(top, "TimezoneOffsetFromUTC"))
    shift_s = 0.0 if zone is None or own is None else _offset_s(own) - _offset_s(zone)
    days, clock_s = divmod(clock_s + shift_s, DAY_S)
    return Instant(day + int(days), clock_s)


def _day(said: str) -> int | None:
    found = _DATE.fullmatch(said)
    try:
        return None if found is None else dt.date(*map(int, found.groups())).toordinal()
    except ValueError:
        return None


def _clock_s(said: str) -> float | None:
    found = _CLOCK.fullmatch(said)
    if found is None:
        return None
    hours, minutes, seconds = int(found[1]), int(found[2]), float(found[3] or 0.0)
    # a leap second is one
    return hours * 3600.0 + minutes * 60.0 + seconds if hours < 24 and minutes < 60 and seconds < 61 else None


def _offset_s(zone: re.Match[str]) -> float:
    minutes = int(zone[2]) * 60 + int(zone[3])
    return 60.0 * (-minutes if zone[1] == "-" else minutes)
