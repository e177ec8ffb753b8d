"""Choices: which of the volumes that stand for choice together is worked on, and why not the others.

A choice goes through the preferences in order; each keeps the volumes that are as good as the
best of those left. What is equal in all of them is told apart by its key. So a choice depends
on the volumes alone, not on the order in which they were found.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from medpipe.keys import digest
from medpipe.ranges import Range
from medpipe.recipe.selection import Selection

BY_KEY = "key"
"""What decided where all preferences found volumes equal."""

_GROUP_DIGITS = 32
_LOST = [("key", "S32"), ("winner", "S32"), ("by", "i2")]
_HELD = 10_000
"""Lost volumes that are held as objects before they become rows of an array."""


class Candidate(NamedTuple):
    """A volume that stands for choice: its keys, and its number for each preference."""

    volume_key: str
    series_key: str
    numbers: tuple[float | None, ...]


class Lost(NamedTuple):
    """A volume that was not chosen: the key of the one that was, and the preference that decided."""

    winner: str
    by: str


def choose(candidates: Sequence[Candidate], selection: Selection) -> dict[str, Lost]:
    """Return the volumes that are not chosen among some that stand for choice together.

    Parameters
    ----------
    candidates : sequence of Candidate
    selection : Selection

    Returns
    -------
    dict of str to Lost
        By volume key; all but one, or all but those of one series.
    """
    left = sorted(candidates, key=lambda one: (one.series_key, one.volume_key))
    decided: dict[str, str] = {}
    for place, preference in enumerate(selection.prefer):
        if len(left) < 2:
            break
        good = preference.best([one.numbers[place] for one in left])
        decided |= {one.volume_key: preference.label for one, is_good in zip(left, good, strict=True) if not is_good}
        left = [one for one, is_good in zip(left, good, strict=True) if is_good]
    winner, *rest = left
    decided |= {one.volume_key: BY_KEY for one in rest}
    own = {one.volume_key for one in candidates if one.series_key == winner.series_key}
    kept = own if selection.keeps_series else set()
    return {key: Lost(winner.volume_key, by) for key, by in decided.items() if key not in kept}


class Standing(NamedTuple):
    """A volume of an index with where it stands for choice: number of the selection, and its group."""

    selection: int
    group: tuple[str, ...]
    candidate: Candidate


def stand(selections: Sequence[Selection], volume: Mapping[str, Any], route: str) -> Standing | None:
    """Return where a volume that a route takes stands for choice: in the first selection that fits, or nowhere."""
    for number, one in enumerate(selections):
        if one.takes(volume, route):
            candidate = Candidate(volume["volume_key"], volume["series_key"], one.numbers(volume))
            return Standing(number, one.group(volume, route), candidate)
    return None


def choose_locally(selections: Sequence[Selection], standing: Iterable[Standing]) -> dict[str, Lost]:
    """Return the volumes that are not chosen, of whole studies; choices over patients are left out."""
    groups: dict[tuple[int, tuple[str, ...]], list[Candidate]] = {}
    for one in standing:
        if not selections[one.selection].is_per_patient:
            groups.setdefault((one.selection, one.group), []).append(one.candidate)
    lost: dict[str, Lost] = {}
    for (number, _), candidates in groups.items():
        lost |= choose(candidates, selections[number])
    return lost


@dataclass(frozen=True, slots=True, kw_only=True)
class Losers:
    """What choices over whole patients left out: a few dozen bytes a volume, over all ranges.

    Attributes
    ----------
    keys : array of bytes
        Keys of the volumes, sorted.
    winners : array of bytes
        Beside them, the keys of the chosen ones.
    by : array of int
        Beside them, the places of what decided in `labels`.
    labels : tuple of str
    """

    keys: NDArray[np.bytes_]
    winners: NDArray[np.bytes_]
    by: NDArray[np.int16]
    labels: tuple[str, ...]

    @classmethod
    def none(cls) -> Losers:
        """Return what no choice over patients leaves out."""
        nothing = np.array([], dtype=np.bytes_)
        return cls(keys=nothing, winners=nothing, by=np.array([], dtype=np.int16), labels=())

    def within(self, one: Range) -> dict[str, Lost]:
        """Return the volumes of a range that are not chosen."""
        # a letter after the digits stands behind every key that begins with them
        low, high = np.searchsorted(self.keys, np.array([one.low, f"{one.high}g"], dtype=np.bytes_))
        return {
            key.decode(): Lost(winner.decode(), self.labels[by])
            for key, winner, by in zip(
                self.keys[low:high], self.winners[low:high], self.by[low:high].tolist(), strict=True
            )
        }


class PatientChoices:
    """Collects the volumes that stand for choice with others of their patient, range by range.

    Parameters
    ----------
    selections : sequence of Selection
    """

    def __init__(self, selections: Sequence[Selection]) -> None:
        self._selections = selections
        self._parts: dict[int, list[NDArray[np.void]]] = {}

    def add(self, standing: Iterable[Standing]) -> None:
        """Take the volumes of a range."""
        found: dict[int, list[tuple[Any, ...]]] = {}
        for one in standing:
            if self._selections[one.selection].is_per_patient:
                numbers = [np.nan if number is None else number for number in one.candidate.numbers]
                group = digest(list(one.group))[:_GROUP_DIGITS]
                keys = one.candidate.volume_key, one.candidate.series_key
                found.setdefault(one.selection, []).append((group, *keys, numbers))
        for selection, rows in found.items():
            layout = [("group", "S32"), ("volume", "S32"), ("series", "S32"), ("numbers", "f8", (len(rows[0][3]),))]
            self._parts.setdefault(selection, []).append(np.array(rows, dtype=layout))

    def chosen(self) -> Losers:
        """Return what is left out once all ranges were taken; what was taken is let go."""
        labels = tuple(dict.fromkeys([BY_KEY, *(one.label for each in self._selections for one in each.prefer)]))
        places = {label: place for place, label in enumerate(labels)}
        found: list[NDArray[np.void]] = [np.array([], dtype=_LOST)]
        held: list[tuple[str, str, int]] = []
        for number in list(self._parts):
            for candidates in _groups(_joined(self._parts.pop(number))):
                lost = choose(candidates, self._selections[number])
                held += [(key, one.winner, places[one.by]) for key, one in lost.items()]
                if len(held) >= _HELD:
                    found.append(np.array(held, dtype=_LOST))
                    held = []
        table = _joined([*found, np.array(held, dtype=_LOST)])
        order = np.argsort(table["key"])
        return Losers(keys=table["key"][order], winners=table["winner"][order], by=table["by"][order], labels=labels)


def _joined(parts: list[NDArray[np.void]]) -> NDArray[np.void]:
    """Return parts as one array; each is let go once it is copied, so that hardly more than one copy is there."""
    whole = np.empty(sum(map(len, parts)), dtype=parts[0].dtype)
    end = len(whole)
    while parts:
        part = parts.pop()
        whole[end - len(part) : end] = part
        end -= len(part)
    return whole


def _groups(rows: NDArray[np.void]) -> Iterator[list[Candidate]]:
    """Yield the volumes of each group that has more than one."""
    order = np.argsort(rows["group"], kind="stable")
    ends = np.flatnonzero(rows["group"][order[1:]] != rows["group"][order[:-1]]) + 1
    for start, end in pairwise([0, *ends.tolist(), len(order)]):
        if end - start > 1:
            group = rows[order[start:end]]
            numbers = [tuple(None if math.isnan(one) else one for one in each) for each in group["numbers"].tolist()]
            keys = zip(group["volume"].tolist(), group["series"].tolist(), numbers, strict=True)
            yield [Candidate(volume.decode(), series.decode(), each) for volume, series, each in keys]
