"""Everything in a lake that can be read and held against its digest."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple

from medpipe.errors import IntegrityError
from medpipe.lake.committed import Committed
from medpipe.lake.lake import Lake
from medpipe.lake.layout import LAYOUT
from medpipe.lake.manifest import verify_folder
from medpipe.lake.models import model_files
from medpipe.lake.query import read_table, table_names
from medpipe.lake.segments import list_segments, read_segment
from medpipe.lake.snapshot import read_snapshot
from medpipe.lake.tables import latest_publication, published_state


class Check(NamedTuple):
    """Something to verify.

    Attributes
    ----------
    kind : str
        ``volume``, ``segment``, ``results``, ``snapshot``, ``index``, ``tables``, ``link`` or
        ``model``.
    what : str
        Its path or key.
    check : callable
        Reads it whole; raises :class:`~medpipe.errors.IntegrityError` if it is damaged.
    """

    kind: str
    what: str
    check: Callable[[], object]


def audited(lake: Lake) -> Iterator[Check]:
    """Yield a check for every committed thing, one kind after the other."""
    for kind, pattern in (("volume", "[0-9a-f][0-9a-f]/*"), ("index", "*/*"), ("tables", "*/*")):
        top = {"volume": LAYOUT.objects(), "index": LAYOUT.index_sources(), "tables": LAYOUT.publications()}[kind]
        for folder in _folders(lake, top, pattern):
            yield Check(kind, folder, partial(verify_folder, lake.store, folder))
    for name in list_segments(lake):
        yield Check("segment", name, partial(read_segment, lake, name))
    yield Check("results", LAYOUT.segments(), partial(_check_results, lake))
    kept = {path.rpartition("/")[2].partition(".")[0] for path in lake.store.list(LAYOUT.snapshots())}
    for snapshot in sorted(kept | set(_published_snapshots(lake))):
        yield Check("snapshot", snapshot, partial(read_snapshot, lake, snapshot))
    for folder in _folders(lake, LAYOUT.models(), "*"):
        if folder != LAYOUT.model_register():
            digest = folder.rpartition("/")[2]
            yield Check("model", digest, partial(model_files, lake, digest))
    # a run that was killed on its way to the link is not damage: the next one gets there
    if lake.store.exists(LAYOUT.tables()) or any(published_state(lake, recipe) for recipe in _recipes(lake)):
        yield Check("link", LAYOUT.tables(), partial(_check_links, lake))


def _check_results(lake: Lake) -> None:
    """Check that segments agree with each other, and hold every case of the published snapshots."""
    committed = Committed.load(lake)
    for one in _published_snapshots(lake):
        try:
            snapshot = read_snapshot(lake, one)
        except IntegrityError:
            continue  # its own check says so
        lost = sum(committed.case(case.case_key) is None for case in snapshot.cases)
        if lost:
            raise IntegrityError(
                f"{lost} of {len(snapshot.cases)} cases of snapshot {one} are in no segment; "
                "run again, they are recomputed"
            )


def _published_snapshots(lake: Lake) -> list[str]:
    """Return the snapshots that the recipes' current tables were derived from."""
    folders = (latest_publication(lake, recipe) or "" for recipe in _recipes(lake))
    return sorted({folder.rpartition("/")[2].partition("-")[0] for folder in folders})


def _recipes(lake: Lake) -> list[str]:
    pointers = (path.split("/") for path in lake.store.list(LAYOUT.publications()))
    return [parts[1] for parts in pointers if parts[2:] == ["LATEST"]]


def _folders(lake: Lake, top: str, pattern: str) -> Iterator[str]:
    for path in sorted(lake.store.absolute(top).glob(pattern)):
        if path.is_dir():
            yield path.relative_to(lake.store.root).as_posix()


def _check_links(lake: Lake) -> None:
    """Check that readers find the published tables, and every volume these name."""
    if not lake.store.exists(LAYOUT.tables()):
        raise IntegrityError("it is missing or leads nowhere, though tables are published; run again")
    if "volumes" not in table_names(lake):
        return
    table = read_table(lake, "volumes", columns=["store", "final_store"])
    named = {path for column in table.columns for path in column.to_pylist() if path is not None}
    missing = sorted(path for path in named if not lake.store.exists(LAYOUT.manifest(path)))
    if missing:
        raise IntegrityError(
            f"{len(missing)} volumes that the tables name are not in the lake (first: {missing[0]}); run again"
        )
