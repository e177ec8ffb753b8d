"""Which snapshots and runs are kept: the rules a site may set, and what follows from them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from medpipe.errors import IntegrityError
from medpipe.lake.lake import Lake
from medpipe.lake.last import latest_publication
from medpipe.lake.layout import LAYOUT
from medpipe.lake.runs import Run, run_names
from medpipe.lake.snapshot import has_snapshot, snapshot_of_run

_PUBLICATION = re.compile(r"[0-9a-f]{16,64}-[0-9a-f]{16}")
_STAMP = "%Y%m%dT%H%M%S%f"


@dataclass(frozen=True, slots=True, kw_only=True)
class Retention:
    """What gc may let go beside what nothing reaches; by default nothing.

    Attributes
    ----------
    snapshots : int or None
        Newest snapshots kept per recipe; None keeps all.
    days : int or None
        Younger snapshots are kept whatever their number.
    runs : int or None
        Newest run folders kept; None keeps all. Those of kept snapshots stay.
    keep_superseded_volumes, keep_superseded_results : bool
        Whether what no kept snapshot reaches stays, since it spares work when its input comes
        back. Volumes go with the results that name them.
    """

    snapshots: int | None = None
    days: int | None = None
    runs: int | None = None
    keep_superseded_volumes: bool = True
    keep_superseded_results: bool = True


class Kept(NamedTuple):
    """What stays.

    Attributes
    ----------
    snapshots : frozenset of str
        Ids of snapshots.
    runs : frozenset of str
        Runs whose folder stays.
    unfinished : frozenset of str
        Runs that came after the last of their recipe that ended: what they sealed, the next one takes up.
    newest : str
        The newest run; empty if nothing ever ran.
    """

    snapshots: frozenset[str]
    runs: frozenset[str]
    unfinished: frozenset[str]
    newest: str


class _Ended(NamedTuple):
    run: str
    recipe: str
    snapshot: str


def kept(lake: Lake, rules: Retention, *, at: datetime) -> Kept:
    """Return what stays under the rules.

    The snapshots readers see now, the one the newest run of a recipe ended with, and the newest
    run folder stay under any rules.
    """
    names = run_names(lake)
    ended = sorted(_ended(lake, names), reverse=True)
    shown = shown_publication(lake)
    folders = [*publications(lake).values(), *([shown] if shown is not None else [])]
    snapshots = {snapshot_of(folder) for folder in folders}
    by_recipe: dict[str, list[_Ended]] = {}
    for one in ended:
        by_recipe.setdefault(one.recipe, []).append(one)
    for of_recipe in by_recipe.values():
        snapshots |= _newest(of_recipe, rules, at=at)
    runs = set(names if rules.runs is None else names[-rules.runs :])
    runs |= set({one.snapshot: one.run for one in reversed(ended) if one.snapshot in snapshots}.values())
    unfinished = _unfinished(lake, names, by_recipe)
    return Kept(frozenset(snapshots), frozenset(runs) | unfinished, unfinished, names[-1] if names else "")


def publications(lake: Lake) -> dict[str, str]:
    """Return the folder of each recipe's current tables.

    Raises
    ------
    IntegrityError
        If a pointer holds no name of such a folder.
    """
    top = lake.store.absolute(LAYOUT.publications())
    names = sorted(entry.name for entry in top.iterdir() if entry.is_dir()) if top.is_dir() else []
    found = {name: latest_publication(lake, name) for name in names}
    for name, folder in found.items():
        if folder is not None and not _PUBLICATION.fullmatch(folder.removeprefix(f"{LAYOUT.publications()}/{name}/")):
            raise IntegrityError(f"{LAYOUT.latest(name)}: it leads to no tables; run again")
    return {name: folder for name, folder in found.items() if folder is not None}


def shown_publication(lake: Lake) -> str | None:
    """Return the folder of the tables that readers see; a killed run may have left them at older ones."""
    link = lake.store.absolute(LAYOUT.tables())
    if not link.is_symlink():
        return None
    target = link.resolve()
    top = lake.root.resolve()
    folder = target.relative_to(top).as_posix() if target.is_relative_to(top) else ""
    return folder if folder.startswith(f"{LAYOUT.publications()}/") else None


def snapshot_remedy(lake: Lake, snapshot: str) -> str:
    """Return what to do about a snapshot that is damaged, or cases of which are, for a message."""
    own = LAYOUT.snapshot(snapshot)
    folders = [*publications(lake).values(), shown_publication(lake) or ""]
    recipes = sorted({folder.split("/")[1] for folder in folders if folder and snapshot_of(folder) == snapshot})
    if not recipes:
        return f"remove {own}, which no tables are made of any more"
    if snapshot_of(folders[-1]) == snapshot:
        return f"remove what is damaged and run recipe {recipes[0]} again"
    known = " and ".join([own, *(f"{LAYOUT.publications()}/{recipe}" for recipe in recipes)])
    return f"remove what is damaged and run recipe {recipes[0]} again; if nobody will any more, remove {known} instead"


def shown_run(lake: Lake) -> str | None:
    """Return the newest run that ended with what readers see; None where that is not kept."""
    folder = shown_publication(lake)
    if folder is None:
        return None
    snapshot = snapshot_of(folder)
    return next((name for name in reversed(run_names(lake)) if snapshot_of_run(lake, name) == snapshot), None)


def snapshot_of(publication: str) -> str:
    """Return the id of the snapshot that the tables of a folder were derived from."""
    return publication.rpartition("/")[2].partition("-")[0]


def _ended(lake: Lake, names: list[str]) -> Iterator[_Ended]:
    """Yield the runs that ended, and whose snapshot an earlier pass of gc has not removed."""
    for name in names:
        run = Run(lake, name)
        summary = run.summary()
        if summary is not None and has_snapshot(lake, summary["snapshot"]):
            yield _Ended(name, str(run.info().get("recipe", "")), str(summary["snapshot"]))


def _unfinished(lake: Lake, names: list[str], ended: Mapping[str, list[_Ended]]) -> frozenset[str]:
    last = {recipe: of_recipe[0].run for recipe, of_recipe in ended.items()}
    return frozenset(name for name in names if name > last.get(str(Run(lake, name).info().get("recipe", "")), ""))


def _newest(ended: list[_Ended], rules: Retention, *, at: datetime) -> set[str]:
    """Return the snapshots of one recipe that stay; `ended` is newest first."""
    found: dict[str, str] = {}
    for one in ended:
        found.setdefault(one.snapshot, one.run)
    return {
        snapshot
        for place, (snapshot, run) in enumerate(found.items())
        if place < 1
        or rules.snapshots is None
        or place < rules.snapshots
        or (rules.days is not None and at - started(run) < timedelta(days=rules.days))
    }


def started(run: str) -> datetime:
    """Return when a run began, from its id; an id that tells no time counts as old."""
    try:
        return datetime.strptime(run.partition("-")[0], _STAMP).replace(tzinfo=UTC)
    except ValueError:
        return datetime.min.replace(tzinfo=UTC)
