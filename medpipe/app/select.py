"""``--only``, ``--sample`` and ``--limit``: which volumes a partial run takes."""

from __future__ import annotations

import heapq
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

from medpipe.app.index import Index, LakeIndex
from medpipe.contracts.tables import SERIES, VOLUMES
from medpipe.errors import ConfigError
from medpipe.keys import digest
from medpipe.lake.query import filter_rows
from medpipe.plan.cases import Planner
from medpipe.plan.choice import Losers, Lost, PatientChoices
from medpipe.ranges import all_ranges, bits_for

_QUERY = """
    SELECT volumes.volume_key
    FROM volumes
    LEFT JOIN (SELECT series_key, * EXCLUDE (series_key, modality) FROM series) AS series USING (series_key)
    WHERE (CONDITION)
    ORDER BY volumes.series_key, volumes.volume_key
"""

AT_ONCE = 50_000
"""Volumes that a condition is asked of at a time; a study is never cut."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What part of the volumes a run was asked for.

    Attributes
    ----------
    only : str or None
        SQL condition over the columns of ``volumes`` and ``series``.
    sample : int or None
        So many volumes the recipe would take, the same ones each time.
    limit : int or None
        At most so many, in the order of series and volume keys.
    """

    only: str | None = None
    sample: int | None = None
    limit: int | None = None

    @property
    def is_partial(self) -> bool:
        """Whether anything is left out by it."""
        return any(part is not None for part in (self.only, self.sample, self.limit))


def check_condition(only: str) -> None:
    """Refuse a condition that is no SQL over the columns, before anything is scanned.

    Raises
    ------
    ConfigError
    """
    _matching([], [], only)


def patient_losers(index: LakeIndex, planner: Planner) -> Losers:
    """Return what the recipe's choices over whole patients leave out, over all ranges."""
    if not any(one.is_per_patient for one in planner.selections):
        return Losers.none()
    choices = PatientChoices(planner.selections)
    for one in all_ranges(bits_for(index.n_volumes)):
        choices.add(planner.standing(index.load(one).candidates()))
    return choices.chosen()


def chosen_volumes(
    index: LakeIndex, planner: Planner, wish: Wish, losers: Callable[[], Losers] = Losers.none
) -> frozenset[str] | None:
    """Return the volume keys a wish chooses, or None where it chooses all.

    A part is a part of the whole run: a recipe's selections are made first.

    Raises
    ------
    ConfigError
        If the condition is no SQL over these columns, holds a query of its own where the
        archive is too large to be asked at once, or fits no volume: tables of nothing would
        take the place of those that readers have.
    """
    if not wish.is_partial:
        return None
    keys = _eligible(index, planner, wish, losers)
    if wish.sample is not None:
        keys = iter(sorted(heapq.nsmallest(wish.sample, keys, key=lambda key: digest(["sample", key]))))
    chosen = frozenset(keys if wish.limit is None else islice(keys, wish.limit))
    if not chosen and wish.only is not None:
        taken = " that the recipe takes" if _is_sifted(planner, wish) else ""
        raise ConfigError(f"no volume{taken} fits --only {wish.only!r}: nothing was run, the tables are as they were")
    return chosen


def _eligible(index: LakeIndex, planner: Planner, wish: Wish, losers: Callable[[], Losers]) -> Iterator[str]:
    """Yield the keys the condition takes, in order; of a sample only those that would be worked on."""
    whole = index.n_volumes <= AT_ONCE
    if wish.only is not None and not whole and re.search(r"\bselect\b", wish.only, re.IGNORECASE):
        raise ConfigError(f"--only: with more than {AT_ONCE} volumes a condition cannot hold a query of its own")
    is_sifted = _is_sifted(planner, wish)
    for volumes, series, lost in _groups(index, losers):
        taken = None if wish.only is None else set(_matching(volumes, series, wish.only))
        worked_on = planner.sift(volumes, lost).taken if is_sifted else None
        for row in sorted(volumes, key=lambda row: (row["series_key"], row["volume_key"])):
            key = row["volume_key"]
            if (taken is None or key in taken) and (worked_on is None or key in worked_on):
                yield key


def _is_sifted(planner: Planner, wish: Wish) -> bool:
    """Tell whether only volumes that are worked on count."""
    return wish.sample is not None or bool(planner.selections) or planner.cohort is not None


def _groups(
    index: LakeIndex, losers: Callable[[], Losers]
) -> Iterator[tuple[list[dict[str, Any]], list[dict[str, Any]], dict[str, Lost]]]:
    volumes: list[dict[str, Any]] = []
    series: list[dict[str, Any]] = []
    lost: dict[str, Lost] = {}
    for one in all_ranges(bits_for(index.n_volumes)):
        found: Index = index.load(one)
        volumes += found.candidates()
        series += found.series
        lost |= losers().within(one)
        if len(volumes) >= AT_ONCE:
            yield volumes, series, lost
            volumes, series, lost = [], [], {}
    yield volumes, series, lost


def _matching(volumes: list[dict[str, Any]], series: list[dict[str, Any]], only: str) -> list[str]:
    tables = {"volumes": (VOLUMES, volumes), "series": (SERIES, series)}
    try:
        return [row["volume_key"] for row in filter_rows(tables, _QUERY.replace("CONDITION", only))]
    except ConfigError as error:
        raise ConfigError(f"--only: {error}") from None
