"""Snapshots, tables, and both indexes: held against their digests, and against what they stand on."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from functools import partial

from medpipe.errors import IntegrityError, SecurityError
from medpipe.keys import bytes_digest
from medpipe.lake.audit_moving import listed, named
from medpipe.lake.index import read_generation
from medpipe.lake.lake import Lake
from medpipe.lake.layout import LAYOUT
from medpipe.lake.manifest import Entry, manifest_digest, read_manifest, verify_folder
from medpipe.lake.pieces import live_pieces
from medpipe.lake.results import Results
from medpipe.lake.retention import publications, shown_publication, snapshot_of, snapshot_remedy
from medpipe.lake.segments import list_segments
from medpipe.lake.snapshot import RangeCases, Snapshot, has_range, read_range, read_snapshot
from medpipe.lake.sums import read_packed_with_sum, read_word_with_sum
from medpipe.ranges import Range

Checks = Iterator[tuple[str, Callable[[], object]]]


def results_checks(lake: Lake) -> Checks:
    """Yield checks of the index of results, and that it holds every case of the published snapshots."""
    for path in lake.store.list(LAYOUT.results_folder()):
        yield listed(lake, path, partial(_check_results_file, lake, path))
    read = _ReadResults(lake)
    yield named(LAYOUT.segments(), read.renew)
    for name in sorted(_shown_snapshots(lake)) if read.results is not None else ():
        path = LAYOUT.snapshot(name)
        try:
            snapshot = read_snapshot(lake, name)
        except IntegrityError:
            continue  # its own check says so
        for entry in snapshot.ranges:
            yield named(
                f"{path} {Range(snapshot.bits, entry.number).name}",
                partial(_check_range, lake, read, snapshot, entry.number),
                is_released=partial(_is_not_shown, lake, name),
            )


def snapshot_checks(lake: Lake) -> Checks:
    """Yield checks of all snapshots and of the cases of their ranges."""
    kept = list(lake.store.list(LAYOUT.snapshots()))
    published = {LAYOUT.snapshot(name) for name in _shown_snapshots(lake)}
    for path in sorted({*kept, *published}):
        key = path.rpartition("/")[2].partition(".")[0]
        if path == LAYOUT.snapshot_range(key):
            yield listed(lake, path, partial(_check_range_file, lake, path, key))
        else:
            yield named(
                path, partial(_check_snapshot, lake, path, key), is_released=partial(_is_released, lake, path, key)
            )


def index_checks(lake: Lake) -> Checks:
    """Yield checks of the index of sources."""
    for path in lake.store.list(LAYOUT.index_sources()):
        _, _, source, *_, name = path.split("/")
        if path == LAYOUT.index_pointer(source):
            yield listed(lake, path, partial(_check_index_pointer, lake, path, source))
        elif name.endswith(".json"):
            yield listed(lake, path, partial(read_generation, lake, source, name.removesuffix(".json")))
        else:
            yield listed(lake, path, partial(_check_named, lake, path))


def tables_checks(lake: Lake) -> Checks:
    """Yield checks of all publications, of the pointers to them, and of the link that readers follow."""
    read: dict[tuple[int, int], Entry] = {}
    top = lake.store.absolute(LAYOUT.publications())
    for recipe in sorted(top.iterdir()) if top.is_dir() else ():
        for folder in sorted(entry for entry in recipe.iterdir() if entry.is_dir()):
            path = folder.relative_to(lake.root).as_posix()
            yield listed(lake, path, partial(_check_publication, lake, path, read))
        latest, state = LAYOUT.latest(recipe.name), LAYOUT.published_state(recipe.name)
        if lake.store.exists(latest):
            yield listed(lake, latest, partial(_check_latest, lake, latest))
        if lake.store.exists(state):
            yield listed(lake, state, partial(_check_word, lake, state))
            # a run that was killed on its way to the link is not damage: it sets its state after that
            yield named(LAYOUT.tables(), partial(_check_link, lake))


def _shown(lake: Lake) -> list[str]:
    """Return the folders of current tables; none where a pointer is damaged, which its own check says."""
    try:
        return list(publications(lake).values())
    except IntegrityError:
        return []


def _shown_snapshots(lake: Lake) -> set[str]:
    return {snapshot_of(folder) for folder in _shown(lake)}


def _is_not_shown(lake: Lake, snapshot: str) -> bool:
    return snapshot not in _shown_snapshots(lake)


def _is_released(lake: Lake, path: str, snapshot: str) -> bool:
    return not lake.store.exists(path) and _is_not_shown(lake, snapshot)


class _ReadResults:
    """The results in a lake, as they were when they were read last."""

    def __init__(self, lake: Lake) -> None:
        self.results: Results | None = None
        self._lake = lake
        self._segments: list[str] = []

    def renew(self) -> bool:
        """Read them, unless no segment came or went since; tell whether they were read."""
        segments = list_segments(self._lake)
        if self.results is not None and segments == self._segments:
            return False
        self.results, self._segments = Results.read(self._lake), segments
        return True


def _check_results_file(lake: Lake, path: str) -> None:
    if path != LAYOUT.results_pointer():
        _check_named(lake, path)
    elif not live_pieces(lake):
        raise IntegrityError(f"{path}: it leads to no index of results; the next run makes it again")


def _check_range(lake: Lake, read: _ReadResults, snapshot: Snapshot, number: int) -> None:
    assert read.results is not None, "ranges are checked once results could be read"
    try:
        _check_range_in(lake, read.results, snapshot, number)
    except IntegrityError:
        # a snapshot that was published since may name results that are not among them
        if not read.renew():
            raise
        _check_range_in(lake, read.results, snapshot, number)


def _check_range_in(lake: Lake, results: Results, snapshot: Snapshot, number: int) -> None:
    committed = results.load(Range(snapshot.bits, number))
    try:
        cases = read_range(lake, snapshot, number).cases
    except IntegrityError as error:
        raise IntegrityError(f"{error}; {snapshot_remedy(lake, snapshot.id)}") from None
    lost, gone = 0, set()
    for case in cases:
        record = committed.case(case.case_key)
        if record is None or (case.status == "done" and record.result_digest != case.result_digest):
            lost += 1
            continue
        gone |= {path for key in record.products for path in committed.product(key).stored}
    if lost:
        raise IntegrityError(f"{lost} cases of snapshot {snapshot.id} are in no segment; run again")
    gone = {path for path in gone if not lake.store.exists(LAYOUT.manifest(path))}
    if gone:
        raise IntegrityError(
            f"{len(gone)} volumes of snapshot {snapshot.id} are not in the lake (first: {min(gone)}); run again"
        )


def _check_snapshot(lake: Lake, path: str, key: str) -> None:
    try:
        snapshot = read_snapshot(lake, key)
        read_packed_with_sum(lake.store.get(path), path)
    except IntegrityError as error:
        raise IntegrityError(f"{error}; {snapshot_remedy(lake, key)}") from None
    missing = [one.digest for one in snapshot.ranges if not has_range(lake, one.digest)]
    if missing:
        raise IntegrityError(
            f"{path}: the cases of {len(missing)} ranges are missing (first: {LAYOUT.snapshot_range(missing[0])}); "
            f"{snapshot_remedy(lake, key)}"
        )


def _check_range_file(lake: Lake, path: str, key: str) -> None:
    try:
        found = RangeCases.from_json(json.loads(read_packed_with_sum(lake.store.get(path), path)))
    except (ValueError, KeyError, TypeError, IntegrityError):
        found = None
    if found is None or found.digest != key:
        raise IntegrityError(
            f"{path}: it is torn or altered; remove it and verify again, which says what it belonged to"
        )


def _check_named(lake: Lake, path: str) -> None:
    """Hold a file against the digest in its name."""
    stem = path.rpartition("/")[2]
    found = bytes_digest(lake.store.get(path))[:32]
    if found not in stem.split("."):
        raise IntegrityError(f"{path}: its bytes are not what its name says; remove it, it is made again")


def _check_index_pointer(lake: Lake, path: str, source: str) -> None:
    try:
        found = read_generation(lake, source)
    except (FileNotFoundError, SecurityError):
        found = None
    if found is None or lake.store.get(path) != f"{found.id}\n".encode():
        raise IntegrityError(f"{path}: it leads to no index; delete the lake's index folder and scan again")
    missing = sorted(one for one in found.paths(source) if not lake.store.exists(one))
    if missing:
        raise IntegrityError(f"{path}: {missing[0]} is missing; delete the lake's index folder and scan again")


def _check_publication(lake: Lake, path: str, read: dict[tuple[int, int], Entry]) -> None:
    verify_folder(lake.store, path, read=read)
    found = manifest_digest(read_manifest(lake.store, path))
    if not path.endswith(f"-{found[:16]}"):
        raise IntegrityError(f"{path}: its manifest is not the one its name says; remove the folder and run again")


def _check_latest(lake: Lake, path: str) -> None:
    data = lake.store.get(path)
    folder = data.decode(errors="replace").strip()
    is_there = folder.startswith(path.rpartition("/")[0] + "/") and lake.store.exists(LAYOUT.manifest(folder))
    if not is_there or data != f"{folder}\n".encode():
        raise IntegrityError(f"{path}: it leads to no tables; run again")


def _check_word(lake: Lake, path: str) -> None:
    read_word_with_sum(lake.store.get(path), path)


def _check_link(lake: Lake) -> None:
    # a run killed just before it swapped the link leaves readers with whole tables, the older ones
    shown = shown_publication(lake)
    link = lake.store.absolute(LAYOUT.tables())
    if link.exists() and not link.is_symlink():
        raise IntegrityError("it is no link to published tables; remove it, or move it out of the lake, and run again")
    if shown is None or not lake.store.exists(LAYOUT.manifest(shown)):
        raise IntegrityError("it is missing or leads nowhere, though tables are published; run again")
