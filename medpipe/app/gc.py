"""``medpipe gc``: what nothing reaches is marked, and removed by a later pass."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from medpipe.app.keyed import open_keyed
from medpipe.app.progress import Progress, Silent
from medpipe.app.scan_state import live_index, live_private
from medpipe.app.site import Site
from medpipe.lake.lake import Lake
from medpipe.lake.live import live_of
from medpipe.lake.removal import ORDER, bytes_freed, remove
from medpipe.lake.removal_list import read_removal_list, write_removal_list
from medpipe.lake.results import Results
from medpipe.lake.retention import Kept, Retention
from medpipe.lake.sweep import ATTEMPT, FOREIGN, STALE, Found, stale_results, unreached

GRACE = timedelta(hours=24)
"""Time between the pass that marks and the one that removes."""

ATTEMPT_GRACE = timedelta(hours=1)
"""Time nobody has touched an attempt after which its writer is taken for dead, at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sweep:
    """What a pass of gc did, or would do.

    Attributes
    ----------
    kept : Kept
    removed, marked, foreign : tuple of Found
        Removed now; out of reach, for a later pass; not the lake's own, left alone.
    sizes : mapping of str to int
        Bytes freed by removing a path.
    is_keyed : bool
        Whether the private room could be looked into.
    """

    kept: Kept
    removed: tuple[Found, ...]
    marked: tuple[Found, ...]
    foreign: tuple[Found, ...]
    sizes: Mapping[str, int] = field(repr=False)
    is_keyed: bool

    def facts(self) -> dict[str, Any]:
        """Return the pass as plain values, in reading order."""
        facts: dict[str, Any] = {
            "kept": {"snapshots": len(self.kept.snapshots), "runs": len(self.kept.runs)},
            "removed": self._counted(self.removed),
            "marked for a later pass": self._counted(self.marked),
        }
        if self.foreign:
            facts["not of the lake, left alone"] = [one.path for one in self.foreign[:20]]
        if not self.is_keyed:
            facts["note"] = "without the lake's key (--site) sealed blobs and the index of sources are left as they are"
        return facts

    def to_json(self) -> dict[str, Any]:
        """Return the pass as JSON values, with every path."""
        return {
            "kept": {"snapshots": sorted(self.kept.snapshots), "runs": sorted(self.kept.runs)},
            "removed": self._listed(self.removed),
            "marked": self._listed(self.marked),
            "foreign": [one.path for one in self.foreign],
            "private_room_opened": self.is_keyed,
        }

    def _listed(self, found: Sequence[Found]) -> list[dict[str, Any]]:
        return [{"kind": one.kind, "path": one.path, "bytes": self.sizes[one.path]} for one in found]

    def _counted(self, found: Sequence[Found]) -> dict[str, str]:
        counts: dict[str, list[int]] = {}
        for one in found:
            counts.setdefault(one.kind, []).append(self.sizes[one.path])
        return {kind: f"{len(sizes)} ({sum(sizes) / 1e6:.1f} MB)" for kind, sizes in counts.items()}


def collect_garbage(root: Path, site: Site, progress: Progress, *, grace: timedelta = GRACE) -> Sweep:
    """Mark what is out of reach; remove what an earlier pass marked, and attempts of dead writers.

    What is removed was out of reach both times, `grace` apart at least, under the site's
    retention as it is now.

    Raises
    ------
    StoppedError
        If a run is working on the lake.
    IntegrityError
        If what says what is reached is damaged: nothing was removed.
    """
    lake, is_keyed = open_keyed(root, site)
    with lake.driver():
        results = Results.open(lake)
        results.absorb()
        at = datetime.now(UTC)
        marks = read_removal_list(lake)
        sweep = _judged(lake, results, site.retention.rules(), progress, at=at, is_keyed=is_keyed, grace=grace)
        remove(lake, sweep.removed)
        # what was removed just now may still stand in the old list if this is where it ends: no harm
        write_removal_list(lake, {one.path: marks.get(one.path, at) for one in sweep.marked if one.kind != ATTEMPT})
        if any(one.kind == "segment" for one in sweep.removed):
            Results.open(lake)
            remove(lake, list(stale_results(lake)))
    return sweep


def garbage(root: Path, site: Site, progress: Progress, *, grace: timedelta = GRACE) -> Sweep:
    """Return what :func:`collect_garbage` would do now; nothing is changed."""
    lake, is_keyed = open_keyed(root, site)
    rules = site.retention.rules()
    return _judged(lake, Results.read(lake), rules, progress, at=datetime.now(UTC), is_keyed=is_keyed, grace=grace)


def orphans(root: Path, site: Site) -> list[str]:
    """Return the paths of everything in a lake's folder that no rule accounts for, attempts included.

    A lake nobody works on has none after two passes of gc.
    """
    found = garbage(root, site, Silent())
    return sorted(one.path for one in (*found.removed, *found.marked, *found.foreign))


def _judged(
    lake: Lake,
    results: Results,
    rules: Retention,
    progress: Progress,
    *,
    at: datetime,
    is_keyed: bool,
    grace: timedelta,
) -> Sweep:
    progress.stage("gc", None)
    live = live_of(
        lake,
        results,
        rules,
        at=at,
        index=frozenset(live_index(lake)) if is_keyed else None,
        private=frozenset(live_private(lake)) if is_keyed else None,
        tick=progress.advance,
    )
    found = sorted(unreached(lake, live), key=_order)
    marks = read_removal_list(lake)
    own = [one for one in found if one.kind != FOREIGN]
    due = {one.path for one in own if _is_due(lake, one, marks.get(one.path), at=at, grace=grace)}
    return Sweep(
        kept=live.kept,
        removed=tuple(one for one in own if one.path in due),
        marked=tuple(one for one in own if one.path not in due),
        foreign=tuple(one for one in found if one.kind == FOREIGN),
        sizes=_sizes(lake, own),
        is_keyed=is_keyed,
    )


def _is_due(lake: Lake, one: Found, marked: datetime | None, *, at: datetime, grace: timedelta) -> bool:
    if one.kind == STALE:
        return True  # made of segments, and made again of them by a reader that misses it
    if one.kind == ATTEMPT:
        return at - _touched(lake.store.absolute(one.path)) >= min(grace, ATTEMPT_GRACE)
    return marked is not None and at - marked >= grace


def _touched(path: Path) -> datetime:
    """Return when something in a path was written last."""
    times = [path.lstat().st_mtime, *(inner.lstat().st_mtime for inner in path.rglob("*"))]
    return datetime.fromtimestamp(max(times), UTC)


def _order(found: Found) -> tuple[int, str]:
    return (ORDER.index(found.kind) if found.kind in ORDER else len(ORDER)), found.path


def _sizes(lake: Lake, found: Iterable[Found]) -> dict[str, int]:
    return {one.path: bytes_freed(lake, one.path) for one in found}
