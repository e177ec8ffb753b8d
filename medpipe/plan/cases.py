"""Cases: the work of a run, made from recipe, index and what is committed already.

Pure functions over records: nothing here reads an image or writes a file.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from medpipe.contracts.records import CaseRecord
from medpipe.keys import digest
from medpipe.plan.memory import projected_bytes
from medpipe.plan.products import Content, Wanted, wanted_products
from medpipe.recipe.lock import LockedRecipe
from medpipe.recipe.recipe import Route

_PASSING = frozenset({"E_CHANGED", "E_VANISHED"})
"""Files were not as the scan had seen them: a scan that sees them so again says that they can be read."""


class History(Protocol):
    """What the lake has committed so far."""

    def case(self, case_key: str) -> CaseRecord | None:
        """Return the terminal record of a case, or None."""

    def has_product(self, key: str) -> bool:
        """Tell whether a product is committed and still there."""

    def content_of(self, volume_key: str, source_version: str) -> tuple[str, str] | None:
        """Return (volume digest, companions digest or empty) read at this source version, or None."""


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
    projected_bytes : int
        Memory planned for.
    content : Content or None
        Known if the files were read before at this source version.
    missing : tuple of Wanted
        Products to compute; everything the route wants where the content is not known.
    """

    key: str
    volume_key: str
    series_key: str
    route: str
    source_version: str
    numeric_class: str
    projected_bytes: int
    content: Content | None
    missing: tuple[Wanted, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """All cases of a recipe over an index.

    Attributes
    ----------
    cases : tuple of Case
        Every case the snapshot must account for, sorted by key of its series and volume.
    pending : tuple of Case
        Those without a committed record that stands.
    skipped : mapping of str to str
        Volume key to the reason code it is left out for.
    """

    cases: tuple[Case, ...]
    pending: tuple[Case, ...]
    skipped: Mapping[str, str]

    def counts(self) -> dict[str, int]:
        """Return how many products of each kind are to compute (upper bounds where unknown)."""
        found = Counter(wanted.kind for case in self.pending for wanted in case.missing)
        return dict(sorted(found.items()))

    def by_route(self) -> dict[str, int]:
        """Return how many cases each route has."""
        return dict(sorted(Counter(case.route for case in self.cases).items()))


def make_plan(
    lock: LockedRecipe,
    volumes: Iterable[Mapping[str, Any]],
    versions: Mapping[str, str],
    history: History,
    *,
    numeric_class: str,
    chosen: frozenset[str] | None = None,
    retry: frozenset[str] = frozenset(),
) -> Plan:
    """Return the cases of a recipe over the indexed volumes.

    Parameters
    ----------
    lock : LockedRecipe
    volumes : iterable of dict
        Rows of the index table ``volumes`` (refused ones included).
    versions : mapping of str to str
        Source version by volume key.
    history : History
    numeric_class : str
        Class the cases run in.
    chosen : frozenset of str, optional
        Volume keys to keep; others are left out by the user's own choice (``S_LIMIT``).
    retry : frozenset of str
        Codes whose cases run again although they ended so before.
    """
    cases: list[Case] = []
    skipped: dict[str, str] = {}
    for volume in sorted(volumes, key=lambda row: (str(row["series_key"]), str(row["volume_key"]))):
        key = volume["volume_key"]
        if volume["verdict"] == "refused":
            continue
        route, why = _route_of(lock, volume)
        if route is None:
            skipped[key] = why
        elif chosen is not None and key not in chosen:
            skipped[key] = "S_LIMIT"
        else:
            cases.append(_case(lock, route, volume, versions[key], history, numeric_class=numeric_class))
    pending = tuple(case for case in cases if not has_ended(case.key, history, retry=retry))
    return Plan(cases=tuple(cases), pending=pending, skipped=skipped)


def has_ended(case_key: str, history: History, *, retry: frozenset[str] = frozenset()) -> bool:
    """Tell whether a case need not run again: its record stands, and all it stands on is there."""
    record = history.case(case_key)
    if record is None or record.code in _PASSING | retry:
        return False
    return all(history.has_product(key) for key in record.products)


def _route_of(lock: LockedRecipe, volume: Mapping[str, Any]) -> tuple[Route | None, str]:
    why = "S_NO_ROUTE"
    for route in lock.recipe.routes:
        reason = route.where.takes(volume)
        if reason is None:
            return route, ""
        if reason != "S_NO_ROUTE":
            why = reason
    return None, why


def _case(
    lock: LockedRecipe, route: Route, volume: Mapping[str, Any], version: str, history: History, *, numeric_class: str
) -> Case:
    volume_key = volume["volume_key"]
    identity = {"volume": volume_key, "version": version, "route": lock.route_digest(route), "class": numeric_class}
    content = _known_content(route, history.content_of(volume_key, version), numeric_class)
    unknown = Content(volume="", companions="", numeric_class=numeric_class)
    wanted = wanted_products(lock, route, content or unknown)
    missing = wanted if content is None else tuple(one for one in wanted if not history.has_product(one.key))
    return Case(
        key=digest(identity),
        volume_key=volume_key,
        series_key=volume["series_key"],
        route=route.name,
        source_version=version,
        numeric_class=numeric_class,
        projected_bytes=projected_bytes(route, volume, beside=lock.recipe.routes),
        content=content,
        missing=missing,
    )


def _known_content(route: Route, known: tuple[str, str] | None, numeric_class: str) -> Content | None:
    """Return what was read before; None where companions are wanted that nobody has looked at."""
    uses_companions = any(op.uses_companions for op in route.regions)
    if known is None or (uses_companions and not known[1]):
        return None
    return Content(volume=known[0], companions=known[1] if uses_companions else "", numeric_class=numeric_class)


def shards_of(cases: Sequence[Case], *, size: int) -> list[tuple[Case, ...]]:
    """Split cases into shards of at most ``size``, largest memory first within the run.

    Large cases start first, so that none of them is left alone at the end.
    """
    ordered = sorted(cases, key=lambda case: (-case.projected_bytes, case.key))
    return [tuple(ordered[start : start + size]) for start in range(0, len(ordered), size)]
