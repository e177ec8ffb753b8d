"""What is in a lake's folder and out of reach.

Every entry is judged by the rule of the folder it is in. What no rule knows is not the lake's
own: it is told and left alone.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import NamedTuple

from medpipe.lake.lake import Lake
from medpipe.lake.layout import LAYOUT
from medpipe.lake.pieces import live_pieces
from medpipe.lake.reach import Reach
from medpipe.lake.retention import Kept, snapshot_of

FOREIGN = "foreign"
ATTEMPT = "attempt"
STALE = "results"

_FIXED = {
    LAYOUT.description(),
    LAYOUT.driver_lock(),
    LAYOUT.driver_epoch(),
    LAYOUT.removal_list(),
    LAYOUT.tables(),
    LAYOUT.results_pointer(),
}
_HEX = re.compile(r"[0-9a-f]{16,64}")
_RUN_FILES = re.compile(r"recipe\.lock\.toml|info\.json|SNAPSHOT|events/[0-9]+\.jsonl")
_PLAN_FILES = re.compile(r"plan/[0-9]+\.(parquet|sha256)")


class Found(NamedTuple):
    """Something nothing needs: what it is, and its path (a file, or a folder as a whole)."""

    kind: str
    path: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Live:
    """What must stay, by what tells it.

    Attributes
    ----------
    kept : Kept
    reach : Reach
    loose_segments : set of str
        Segments that need not stay.
    publications : set of str
        Recipes' current publications.
    index : set of str or None
        Paths of the index of sources in use; None where that is not known without the key.
    models : set of str
        Digests that a locked recipe or a name refers to.
    private : set of str or None
        Names of sealed blobs in use; None where that is not known without the key.
    """

    kept: Kept
    reach: Reach
    loose_segments: AbstractSet[str]
    publications: AbstractSet[str]
    index: AbstractSet[str] | None
    models: AbstractSet[str]
    private: AbstractSet[str] | None


def unreached(lake: Lake, live: Live) -> Iterator[Found]:
    """Yield all that is out of reach, attempts under ``tmp/`` and what is not the lake's own included."""
    rooms: dict[str, Callable[[Lake, str, Live], Iterator[Found]]] = {
        LAYOUT.attempts(): lambda lake, top, _: (Found(ATTEMPT, path) for path, _ in _entries(lake, top)),
        LAYOUT.objects(): _objects,
        LAYOUT.index(): _index,
        LAYOUT.private_folder(): _private,
        LAYOUT.models(): _models,
        LAYOUT.runs(): _runs,
        LAYOUT.publications(): _publications,
        LAYOUT.fits(): _fits,
    }
    for path, is_folder in _entries(lake, ""):
        if path in rooms and is_folder:
            yield from rooms[path](lake, path, live)
        elif is_folder and path == "locks":
            yield from _foreign(file for file in lake.store.list(path) if file not in _FIXED)
        elif path not in _FIXED:
            yield Found(FOREIGN, path)


def stale_results(lake: Lake) -> Iterator[Found]:
    """Yield what the current index of results does not consist of."""
    live = {*live_pieces(lake), LAYOUT.results_pointer()}
    return (Found(STALE, path) for path in lake.store.list(LAYOUT.results_folder()) if path not in live)


# one rule per folder ------------------------------------------------------------------------------


def _objects(lake: Lake, top: str, live: Live) -> Iterator[Found]:
    for path, is_folder in _entries(lake, top):
        if path == LAYOUT.segments():
            yield from _segments(lake, path, live)
        elif path == LAYOUT.snapshots():
            yield from _snapshots(lake, path, live)
        elif is_folder and len(_name(path)) == 2:
            for volume, _ in _entries(lake, path):
                known = _HEX.fullmatch(_name(volume)) and _name(volume)[:2] == _name(path)
                if not known or _name(volume) not in live.reach.volumes:
                    yield Found("volume" if known else FOREIGN, volume)
        else:
            yield Found(FOREIGN, path)


def _segments(lake: Lake, top: str, live: Live) -> Iterator[Found]:
    for path in lake.store.list(top):
        if not path.endswith(".jsonl.zst"):
            yield Found(FOREIGN, path)
        elif path in live.loose_segments:
            yield Found("segment", path)


def _snapshots(lake: Lake, top: str, live: Live) -> Iterator[Found]:
    ranges = LAYOUT.snapshot_range("0" * 16).rpartition("/")[0]
    for path in lake.store.list(top):
        key = _name(path).partition(".")[0]
        if not path.endswith(".json.zst") or not _HEX.fullmatch(key):
            yield Found(FOREIGN, path)
        elif path.startswith(f"{ranges}/"):
            if key not in live.reach.ranges:
                yield Found("snapshot range", path)
        elif key not in live.kept.snapshots:
            yield Found("snapshot", path)


def _index(lake: Lake, top: str, live: Live) -> Iterator[Found]:
    yield from stale_results(lake)
    for path in lake.store.list(top):
        is_known = live.index is None or path in live.index
        if not is_known and not path.startswith(f"{LAYOUT.results_folder()}/"):
            yield Found("index", path)


def _private(lake: Lake, top: str, live: Live) -> Iterator[Found]:
    for path in lake.store.list(top):
        name = path.removeprefix(f"{top}/").removesuffix(".sealed")
        if not path.endswith(".sealed"):
            yield Found(FOREIGN, path)
        elif name.startswith("plan/"):
            if not _is_plan_kept(name.split("/")[1], name.rpartition("/")[2], live):
                yield Found("plan", path)
        elif live.private is not None and name not in live.private:
            yield Found("private", path)


def _is_plan_kept(run: str, part: str, live: Live) -> bool:
    """Tell whether a sealed part of a plan stays: shards of the newest run, requests and cohorts of all kept ones."""
    return run == live.kept.newest or (part in ("request", "cohort") and run in live.kept.runs)


def _models(lake: Lake, top: str, live: Live) -> Iterator[Found]:
    for path, is_folder in _entries(lake, top):
        if path == LAYOUT.model_register():
            continue
        if not is_folder or not _HEX.fullmatch(_name(path)):
            yield Found(FOREIGN, path)
        elif _name(path) not in live.models:
            yield Found("model", path)


def _fits(lake: Lake, top: str, _: Live) -> Iterator[Found]:
    # a fit stays whatever names it: recipes outside of the lake pin fits, and it is not made again by a run
    yield from _foreign(path for path in lake.store.list(top) if not re.fullmatch(r"[0-9a-f]+\.json", _name(path)))


def _runs(lake: Lake, top: str, live: Live) -> Iterator[Found]:
    for run, is_folder in _entries(lake, top):
        if not is_folder:
            yield Found(FOREIGN, run)
        elif _name(run) not in live.kept.runs:
            yield Found("run", run)
        else:
            for path in lake.store.list(run):
                inner = path.removeprefix(f"{run}/")
                if _PLAN_FILES.fullmatch(inner):
                    if _name(run) != live.kept.newest:
                        yield Found("plan", path)
                elif not _RUN_FILES.fullmatch(inner):
                    yield Found(FOREIGN, path)


def _publications(lake: Lake, top: str, live: Live) -> Iterator[Found]:
    for recipe, is_folder in _entries(lake, top):
        if not is_folder:
            yield Found(FOREIGN, recipe)
            continue
        for path, is_tables in _entries(lake, recipe):
            if not is_tables:
                if path not in {LAYOUT.latest(_name(recipe)), LAYOUT.published_state(_name(recipe))}:
                    yield Found(FOREIGN, path)
            elif not _is_publication_kept(path, live):
                yield Found("publication", path)


def _is_publication_kept(path: str, live: Live) -> bool:
    """Tell whether tables stay: those readers see, and those of other kept snapshots."""
    snapshot = snapshot_of(path)
    shown = {snapshot_of(one) for one in live.publications}
    return path in live.publications or (snapshot in live.kept.snapshots and snapshot not in shown)


def _foreign(paths: Iterable[str]) -> Iterator[Found]:
    return (Found(FOREIGN, path) for path in paths)


def _entries(lake: Lake, folder: str) -> list[tuple[str, bool]]:
    """Return the paths in a folder, sorted, and whether each is a folder itself."""
    top = lake.store.absolute(folder) if folder else lake.root
    if not top.is_dir():
        return []
    with os.scandir(top) as entries:
        found = [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries]
    return sorted((f"{folder}/{name}" if folder else name, is_folder) for name, is_folder in found)


def _name(path: str) -> str:
    return path.rpartition("/")[2]
