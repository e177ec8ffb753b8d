"""Which volume of a study is the companion image of a case."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from medpipe.plan.choice import Candidate, choose
from medpipe.recipe.recipe import Route
from medpipe.recipe.selection import Selection

Row = Mapping[str, Any]

NONE_FITS = "S_NO_COMPANION"


class Paired(NamedTuple):
    """A companion image of a case: its name, and the volume it is; or the code why there is none."""

    name: str
    volume_key: str
    code: str = ""


class Pairings:
    """Companion images of volumes, in a time that grows with the number of volumes.

    Parameters
    ----------
    volumes : iterable of mapping
        ``volumes`` rows with what their series say, and ``frame_key``, of whole studies.
    """

    def __init__(self, volumes: Iterable[Row]) -> None:
        self._studies: dict[str, list[Row]] = {}
        for row in volumes:
            if row["verdict"] != "refused":
                self._studies.setdefault(_study(row), []).append(row)
        self._fitting: dict[tuple[str, str], list[_Fitting]] = {}

    def of(self, route: Route, volume: Row) -> tuple[Paired, ...]:
        """Return the companion images of a volume that a route takes.

        Returns
        -------
        tuple of Paired
            In the order of the route's companions. Of the volumes of the study that fit, one in the frame of
            reference of the volume comes before others, then preferences decide, and last the keys.
        """
        place = _study(volume), route.name
        if place not in self._fitting:
            study = self._studies.get(place[0], [])
            self._fitting[place] = [_Fitting(one.selection, study) for one in route.companions]
        found = (fitting.best_for(volume) for fitting in self._fitting[place])
        return tuple(
            Paired(one.name, key or "", "" if key else NONE_FITS)
            for one, key in zip(route.companions, found, strict=True)
        )


def _study(row: Row) -> str:
    return str(row.get("study_key"))


class _Fitting:
    """The volumes of a study that fit a companion."""

    def __init__(self, selection: Selection, study: Iterable[Row]) -> None:
        # a localizer is chosen among localizers alone, whatever its frame
        first, *others = selection.prefer
        after = replace(selection, prefer=tuple(others))
        whole: dict[float, list[Candidate]] = {}
        framed: dict[tuple[float, Any], list[Candidate]] = {}
        for row in study:
            if selection.where.takes(row) is not None:
                continue
            rank = first.number(row) or 0.0
            one = Candidate(row["volume_key"], row["series_key"], after.numbers(row))
            whole.setdefault(rank, []).append(one)
            if row.get("frame_key") is not None:
                framed.setdefault((rank, row["frame_key"]), []).append(one)
        self._whole = {rank: _Pool(found, after) for rank, found in sorted(whole.items())}
        self._framed = {place: _Pool(found, after) for place, found in framed.items()}

    def best_for(self, volume: Row) -> str | None:
        """Return the key of the best of them that is not the volume itself, or None."""
        own, frame = str(volume["volume_key"]), volume.get("frame_key")
        for rank, pool in self._whole.items():
            found = pool.best_but(own)
            if found is not None:
                near = self._framed.get((rank, frame))
                return (None if near is None else near.best_but(own)) or found
        return None


class _Pool:
    """Volumes of which one is chosen, now and then without one of them.

    Without a volume that was the only best one of no preference, and that was not chosen, the choice is the same.
    """

    def __init__(self, candidates: list[Candidate], selection: Selection) -> None:
        self._candidates = candidates
        self._selection = selection
        self._best = _winner(candidates, selection)
        self._decisive = {self._best, *_only_best(candidates, selection)}
        self._without: dict[str, str | None] = {}

    def best_but(self, own: str) -> str | None:
        """Return the key of the one that is chosen if one of them, or none, is left out; None if nothing is left."""
        if own not in self._decisive:
            return self._best
        if own not in self._without:
            rest = [one for one in self._candidates if one.volume_key != own]
            self._without[own] = _winner(rest, self._selection) if rest else None
        return self._without[own]


def _winner(candidates: Sequence[Candidate], selection: Selection) -> str:
    lost = choose(candidates, selection)
    (winner,) = (one.volume_key for one in candidates if one.volume_key not in lost)
    return winner


def _only_best(candidates: Sequence[Candidate], selection: Selection) -> Iterator[str]:
    """Yield the keys of volumes that, alone, are the best by a preference, of those that are left when it decides."""
    left = list(candidates)
    for place, preference in enumerate(selection.prefer):
        known = [one.numbers[place] for one in left]
        least = min((number for number in known if number is not None), default=None)
        if least is not None and known.count(least) == 1:
            yield left[known.index(least)].volume_key
        left = [one for one, is_good in zip(left, preference.best(known), strict=True) if is_good]
