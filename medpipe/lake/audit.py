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
    yield Check("results", LAYOUT.segments(), partial(Committed.load, lake))
    for path in lake.store.list(LAYOUT.snapshots()):
        snapshot = path.rpartition("/")[2].partition(".")[0]
        yield Check("snapshot", snapshot, partial(read_snapshot, lake, snapshot))
    for folder in _folders(lake, LAYOUT.models(), "*"):
        if folder != LAYOUT.model_register():
            digest = folder.rpartition("/")[2]
            yield Check("model", digest, partial(model_files, lake, digest))
    if lake.store.exists(LAYOUT.tables()):
        yield Check("link", LAYOUT.tables(), partial(_check_links, lake))


def _folders(lake: Lake, top: str, pattern: str) -> Iterator[str]:
    for path in sorted(lake.store.absolute(top).glob(pattern)):
        if path.is_dir():
            yield path.relative_to(lake.store.root).as_posix()


def _check_links(lake: Lake) -> None:
    """Check that every volume the published tables name is there."""
    if "volumes" not in table_names(lake):
        return
    table = read_table(lake, "volumes", columns=["store", "final_store"])
    named = {path for column in table.columns for path in column.to_pylist() if path is not None}
    missing = sorted(path for path in named if not lake.store.exists(LAYOUT.manifest(path)))
    if missing:
        raise IntegrityError(
            f"{len(missing)} volumes that the tables name are not in the lake (first: {missing[0]}); run again"
        )
