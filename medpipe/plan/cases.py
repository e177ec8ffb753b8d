"""Cases: the work of a run, made from recipe, index and what is committed already.

Pure functions over records: nothing here reads an image or writes a file. A plan is of one
range of keys; a run plans its ranges one after the other.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Literal, NamedTuple, Protocol

from medpipe.contracts.records import CaseRecord
from medpipe.keys import digest
from medpipe.plan.choice import Lost, Standing, choose_locally, stand
from medpipe.plan.cohort import Cohort
from medpipe.plan.device import NO_NEED, DeviceNeed, device_need
from medpipe.plan.fallback import NO_ROOM, ON_CPU, Fallback, fallback_of
from medpipe.plan.memory import projected_bytes
from medpipe.plan.pairing import Paired, Pairings
from medpipe.plan.products import Content, Products, Wanted
from medpipe.recipe.lock import LockedRecipe
from medpipe.recipe.recipe import Route

PASSING = frozenset({"E_CHANGED", "E_VANISHED", "E_UNREADABLE"})
"""Files were not as the scan had seen them: a scan that sees them so again says that they can be read."""

MOST_TRIES = 3
"""Runs in a row that try a case again whose code may pass."""

_NOBODY: Mapping[str, Lost] = {}

Why = Literal["new", "files changed", "recipe changed", "tried again", "product is gone"]


class History(Protocol):
    """What the lake has committed so far."""

    def case(self, case_key: str) -> CaseRecord | None:
        """Return the terminal record of a case, or None."""

    def has_product(self, key: str) -> bool:
        """Tell whether a product is committed and still there."""

    def products_of(self, volume_key: str) -> frozenset[str]:
        """Return the keys of all products that cases of a volume stand on or have made."""

    def content_of(self, volume_key: str, source_version: str) -> tuple[str, str] | None:
        """Return (volume digest, companions digest or empty) read at this source version, or None."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """Under which a record of a case that did not end well stands.

    Attributes
    ----------
    numeric_class : str
        Class the cases run in.
    conditions : str
        Digest of code, codecs and limits; a failure under other ones is tried again.
    retry : frozenset of str
        Codes whose cases run again although they ended so before.
    fallback : str
        Class of the CPU that cases may go to which a device has no memory for; empty if they may not.
    """

    numeric_class: str
    conditions: str = ""
    retry: frozenset[str] = frozenset()
    fallback: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """The work for one volume under one route.

    Attributes
    ----------
    key : str
        Identity of the work; equal keys yield equal results.
    volume_key, series_key : str
    route : str
    source_version : str
        Digest of the versions of the files read.
    numeric_class : str
    work : Work or None
        What is to be done; None where the case has ended.
    paired : tuple of Paired
        Its companion images, in the route's order.
    """

    key: str
    volume_key: str
    series_key: str
    route: str
    source_version: str
    numeric_class: str
    work: Work | None = None
    paired: tuple[Paired, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What is to be done for a case that has not ended.

    Attributes
    ----------
    projected_bytes : int
        Memory planned for.
    content : Content or None
        Known if the files were read before at this source version.
    missing : tuple of Wanted
        Products to compute; everything the route wants where the content is not known.
    why : str
        Why the case has to run.
    tries : int
        Runs in a row, this one included, if it ends with a code that may pass.
    conditions : str
    device : DeviceNeed
        Memory of a device planned for.
    fallback : Fallback or None
        Where it may go if a device has no memory for it.
    """

    projected_bytes: int
    content: Content | None
    missing: tuple[Wanted, ...]
    why: Why
    tries: int
    conditions: str
    device: DeviceNeed = NO_NEED
    fallback: Fallback | None = None

    @property
    def opens_files(self) -> bool:
        """Whether the case has to read its files: scores are made of what is committed."""
        return self.content is None or any(wanted.kind != "scores" for wanted in self.missing)


@dataclass(frozen=True, kw_only=True)
class Plan:
    """All cases of a recipe over an index.

    Attributes
    ----------
    cases : tuple of Case
        Every case the snapshot must account for, sorted by key of its series and volume.
    skipped : mapping of str to str
        Volume key to the reason code it is left out for.
    lost : mapping of str to Lost
        Of those of them that another was chosen for, by whom and why.
    """

    cases: tuple[Case, ...]
    skipped: Mapping[str, str]
    lost: Mapping[str, Lost] = field(default_factory=dict)

    @cached_property
    def pending(self) -> tuple[Case, ...]:
        """The cases without a committed record that stands."""
        return tuple(case for case in self.cases if case.work is not None)

    @property
    def planned(self) -> list[tuple[str, str]]:
        """Every volume considered, as (case key, volume key); the case key is empty for one left out."""
        return [(case.key, case.volume_key) for case in self.cases] + [("", key) for key in self.skipped]

    def counts(self) -> dict[str, int]:
        """Return how many products of each kind are to compute (upper bounds where unknown)."""
        works = (case.work for case in self.pending)
        found = Counter(wanted.kind for work in works if work is not None for wanted in work.missing)
        return dict(sorted(found.items()))

    def by_route(self) -> dict[str, int]:
        """Return how many cases each route has."""
        return dict(sorted(Counter(case.route for case in self.cases).items()))


class _Taken(NamedTuple):
    """A route with what is worked out once for it."""

    route: Route
    digest: str
    products: Products


class _Given(NamedTuple):
    """A volume with its companion images, and the rows those are among."""

    volume: Mapping[str, Any]
    paired: tuple[Paired, ...]
    rows: Mapping[str, Mapping[str, Any]]

    def images(self) -> list[tuple[Paired, Mapping[str, Any] | None]]:
        """Return the companion images with their rows."""
        return [(one, self.rows.get(one.volume_key)) for one in self.paired]


class Sifted(NamedTuple):
    """Volumes by what becomes of them: taken by a route, or left out for a code, perhaps for another volume."""

    taken: Mapping[str, _Taken]
    skipped: Mapping[str, str]
    lost: Mapping[str, Lost]


class Planner:
    """Makes plans of a locked recipe; what does not depend on the volume is worked out once.

    Parameters
    ----------
    lock : LockedRecipe
    terms : Terms
    cohort : Cohort, optional
        Other series are left out.
    """

    def __init__(self, lock: LockedRecipe, terms: Terms, cohort: Cohort | None = None) -> None:
        self.terms = terms
        self.cohort = cohort
        self.selections = lock.recipe.selections
        self._all_routes = lock.recipe.routes
        self._has_companions = any(route.companions for route in lock.recipe.routes)
        self._routes = [_Taken(route, lock.route_digest(route), Products(lock, route)) for route in lock.recipe.routes]

    def plan(
        self,
        volumes: Iterable[Mapping[str, Any]],
        versions: Mapping[str, str],
        history: History,
        *,
        chosen: frozenset[str] | None = None,
        lost: Mapping[str, Lost] = _NOBODY,
    ) -> Plan:
        """Plan the cases of volumes.

        Parameters
        ----------
        volumes : iterable of dict
            Rows of the index table ``volumes`` (refused ones included) with what their series
            say, of whole studies.
        versions : mapping of str to str
            Source version by volume key.
        history : History
        chosen : frozenset of str, optional
            Volume keys to keep; others are left out by the user's own choice (``S_LIMIT``).
        lost : mapping of str to Lost
            What choices over whole patients left out.
        """
        rows = sorted(volumes, key=lambda row: (str(row["series_key"]), str(row["volume_key"])))
        sifted = self.sift(rows, lost)
        skipped = dict(sifted.skipped)
        pairings = Pairings(rows if self._has_companions else ())
        by_key = {row["volume_key"]: row for row in rows} if self._has_companions else {}
        cases: list[Case] = []
        for volume in rows:
            key = volume["volume_key"]
            taken = sifted.taken.get(key)
            if taken is None:
                continue
            if chosen is not None and key not in chosen:
                skipped[key] = "S_LIMIT"
            else:
                beside = pairings.of(taken.route, volume)
                cases.append(self._case(taken, _Given(volume, beside, by_key), versions, history))
        return Plan(cases=tuple(cases), skipped=skipped, lost=sifted.lost)

    def sift(self, volumes: Iterable[Mapping[str, Any]], lost: Mapping[str, Lost]) -> Sifted:
        """Tell which volumes of whole studies are worked on, and why the others are not.

        Parameters
        ----------
        volumes : iterable of dict
        lost : mapping of str to Lost
            What choices over whole patients left out.
        """
        taken, skipped, standing = self._routed(volumes)
        found = {**lost, **choose_locally(self.selections, standing)} if self.selections else {}
        found = {key: one for key, one in found.items() if key in taken}
        left_out = {**skipped, **dict.fromkeys(found, "S_NOT_CHOSEN")}
        return Sifted({key: one for key, one in taken.items() if key not in found}, left_out, found)

    def standing(self, volumes: Iterable[Mapping[str, Any]]) -> list[Standing]:
        """Return which volumes stand for choice, and with whom."""
        return self._routed(volumes)[2]

    def _routed(self, volumes: Iterable[Mapping[str, Any]]) -> tuple[dict[str, _Taken], dict[str, str], list[Standing]]:
        taken: dict[str, _Taken] = {}
        skipped: dict[str, str] = {}
        standing: list[Standing] = []
        for volume in volumes:
            if volume["verdict"] == "refused":
                continue
            key = volume["volume_key"]
            route, why = self._route_of(volume)
            if route is None:
                skipped[key] = why
            elif self.cohort is not None and not self.cohort.has(volume):
                skipped[key] = "S_COHORT"
            else:
                taken[key] = route
                place = stand(self.selections, volume, route.route.name)
                standing += [] if place is None else [place]
        return taken, skipped, standing

    def _route_of(self, volume: Mapping[str, Any]) -> tuple[_Taken | None, str]:
        why = "S_NO_ROUTE"
        for taken in self._routes:
            reason = taken.route.where.takes(volume)
            if reason is None:
                return taken, ""
            if reason != "S_NO_ROUTE":
                why = reason
        return None, why

    def _case(self, taken: _Taken, given: _Given, versions: Mapping[str, str], history: History) -> Case:
        volume, version = given.volume, versions[given.volume["volume_key"]]
        numeric_class = self.terms.numeric_class
        identity = {"volume": volume["volume_key"], "version": version, "route": taken.digest, "class": numeric_class}
        if taken.products.uses_suv:
            # times of other images of the series count for the factors, and those are not in the version
            identity["suv"] = _uptake(volume)
        if given.paired:
            # what is in them, not which ones they are: equal images give equal rows
            identity["images"] = [
                [one.code or versions[one.volume_key], *(_uptake(row) if beside.suv is not None else ())]
                for beside, (one, row) in zip(taken.route.companions, given.images(), strict=True)
            ]
        key = digest(identity)
        record = history.case(key)
        case = Case(
            key=key,
            volume_key=volume["volume_key"],
            series_key=volume["series_key"],
            route=taken.route.name,
            source_version=version,
            numeric_class=numeric_class,
            paired=given.paired,
        )
        if has_ended(record, history, self.terms):
            return case
        fallback = fallback_of(identity, self.terms.fallback)
        aside = None if fallback is None else history.case(fallback.key)
        if fallback is not None and ON_CPU not in self.terms.retry and has_ended(aside, history, self.terms):
            return replace(case, key=fallback.key, numeric_class=fallback.numeric_class)
        work = self._work(taken, given, version, record or aside, history=history)
        return replace(case, work=replace(work, fallback=fallback))

    def _work(self, taken: _Taken, given: _Given, version: str, record: CaseRecord | None, *, history: History) -> Work:
        volume = given.volume
        images = [row for _, row in given.images()]
        volume_key, numeric_class = volume["volume_key"], self.terms.numeric_class
        content = taken.products.known_content(history.content_of(volume_key, version), numeric_class)
        wanted = taken.products.wanted(content or Content(volume="", companions="", numeric_class=numeric_class))
        return Work(
            projected_bytes=projected_bytes(taken.route, volume, beside=self._all_routes, images=images),
            content=content,
            missing=wanted if content is None else tuple(one for one in wanted if not history.has_product(one.key)),
            why=_why(volume_key, version, record, history),
            tries=_tries(record, self.terms),
            conditions=self.terms.conditions,
            device=device_need(taken.route, volume, images=images) if numeric_class.startswith("cuda-") else NO_NEED,
        )


def _uptake(volume: Mapping[str, Any] | None) -> list[Any]:
    return [None, None] if volume is None else [volume.get("suv_factor"), volume.get("suv_code")]


def has_ended(record: CaseRecord | None, history: History, terms: Terms) -> bool:
    """Tell whether a case need not run again: its record stands, and all it stands on is there."""
    if record is None:
        return False
    if record.status == "done":
        return _is_there(record, history)
    if record.code in terms.retry or record.conditions != terms.conditions:
        return False
    if record.device == "left" if not terms.fallback else record.code == NO_ROOM:
        return False  # what the CPU said counts where it may be asked, and only there
    return record.code not in PASSING or record.tries >= MOST_TRIES


def _is_there(record: CaseRecord, history: History) -> bool:
    return all(history.has_product(key) for key in record.products)


def _tries(record: CaseRecord | None, terms: Terms) -> int:
    goes_on = record is not None and record.code in PASSING - terms.retry and record.conditions == terms.conditions
    return record.tries + 1 if record is not None and goes_on else 1


def _why(volume_key: str, version: str, record: CaseRecord | None, history: History) -> Why:
    if record is not None:
        return "tried again" if record.status != "done" or _is_there(record, history) else "product is gone"
    if history.content_of(volume_key, version) is not None:
        return "recipe changed"
    return "files changed" if history.products_of(volume_key) else "new"
