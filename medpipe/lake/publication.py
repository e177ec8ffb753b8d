"""A publication in the making: rows by range in, a folder of tables out.

What the recipe's last publication holds already is not made again: a part all of whose ranges
have the rows they had is linked, and the other parts take the rows of unchanged ranges from
there.
"""

from __future__ import annotations

import heapq
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from operator import itemgetter
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from medpipe.contracts.schema import TableSchema
from medpipe.errors import IntegrityError
from medpipe.lake.arrow import Row, place_of, refuse_identifiers, to_table, write_parquet
from medpipe.lake.durable import ensure_folder, storage_faults, write_file
from medpipe.lake.failpoints import hit
from medpipe.lake.jobs import Job, PartJobs, numbers_in
from medpipe.lake.lake import Lake
from medpipe.lake.last import Last, latest_publication, within
from medpipe.lake.layout import LAYOUT
from medpipe.lake.manifest import Entry, manifest_digest, publish_with_manifest, write_manifest
from medpipe.lake.parts import (
    NO_MODALITY,
    PARTS_LIST,
    Content,
    Part,
    PartsList,
    RangeEntry,
    by_digits,
    most_rows,
    writer_name,
)
from medpipe.lake.spool import RowSpool
from medpipe.lake.summaries import RangeSummary
from medpipe.ranges import Range, all_ranges

Tables = Mapping[str, tuple[TableSchema, Iterable[Row]]]


class Publication(NamedTuple):
    """Published tables.

    Attributes
    ----------
    path : str
        Folder in the lake.
    digest : str
        Digest of all its files; equal tables have equal digests.
    new : bool
        False if the same bytes had been published before.
    written : tuple of str
        The parts that were written; the others are linked from the publication before.
    """

    path: str
    digest: str
    new: bool
    written: tuple[str, ...]


class PublishedRanges:
    """The ranges of a recipe's last publication; made by :func:`read_ranges`."""

    def __init__(self, last: Last) -> None:
        self._last = last

    @property
    def bits(self) -> int:
        """How finely its keys are cut."""
        return self._last.list.bits

    @property
    def basis(self) -> str:
        """Digest of what the rows of all its ranges depend on beside index and results."""
        return self._last.list.basis

    @property
    def snapshot(self) -> str:
        """Id of the snapshot it was derived from."""
        return self._last.list.snapshot

    def summary(self, one: Range, state: str) -> RangeSummary | None:
        """Return what it holds of a range in numbers; None if that was derived from another state."""
        found = self._last.range(one.bits, one.number, state=state)
        return None if found is None else found.summary

    def snapshots(self) -> Iterator[str]:
        """Yield the digest of each range's cases, in the order of keys."""
        return (entry.summary.snapshot for entry in self._last.list.ranges)

    def summaries(self) -> Iterator[RangeSummary]:
        """Yield what each range holds in numbers, in the order of keys."""
        return (entry.summary for entry in self._last.list.ranges)


def read_ranges(lake: Lake, recipe_name: str) -> PublishedRanges | None:
    """Return the ranges of a recipe's last publication; None if there is none, or it cannot be relied on."""
    last = last_publication(lake, recipe_name)
    return None if last is None else PublishedRanges(last)


def last_publication(lake: Lake, recipe_name: str) -> Last | None:
    """Return a recipe's current publication; None if there is none, or it cannot be relied on."""
    folder = latest_publication(lake, recipe_name)
    return None if folder is None else Last.open(lake.store, folder)


@contextmanager
def new_publication(
    lake: Lake, recipe_name: str, *, schemas: Mapping[str, TableSchema], bits: int, basis: str, last: Last | None
) -> Iterator[NewPublication]:
    """Give a publication to fill; what it needs on the disk meanwhile is removed.

    Parameters
    ----------
    lake : Lake
    recipe_name : str
    schemas : mapping of str to TableSchema
        The tables that are cut by keys.
    bits : int
        Of the ranges that rows come in.
    basis : str
        Digest of what all rows depend on beside the states of the ranges.
    last : Last or None
        What may be taken over from.
    """
    with storage_faults(f"the tables of {recipe_name}"), lake.store.attempt("spool") as folder:
        ensure_folder(folder)
        spool = RowSpool(folder)
        try:
            yield NewPublication(lake, recipe_name, schemas=schemas, bits=bits, basis=basis, last=last, spool=spool)
        finally:
            spool.close()


class NewPublication:
    """A publication in the making; given by :func:`new_publication`.

    Every range is either kept or added, in any order; then :meth:`publish`.
    """

    def __init__(
        self,
        lake: Lake,
        recipe_name: str,
        *,
        schemas: Mapping[str, TableSchema],
        bits: int,
        basis: str,
        last: Last | None,
        spool: RowSpool,
    ) -> None:
        self._lake, self._recipe_name = lake, recipe_name
        self._schemas, self._bits, self._basis = schemas, bits, basis
        self._last, self._spool = last, spool
        self._may_keep = (
            last is not None
            and (last.list.basis, last.list.writer) == (basis, writer_name())
            and all(last.has_columns(schema) for schema in schemas.values())
        )
        self._ranges: dict[int, RangeEntry] = {}

    def keep(self, number: int, state: str) -> RangeEntry | None:
        """Take a range over from the last publication; None if it has to be added."""
        known = self._last.range(self._bits, number, state=state) if self._last and self._may_keep else None
        if known is not None:
            self._ranges[number] = known
        return known

    def add(self, number: int, state: str, summary: RangeSummary, rows: Mapping[str, Iterable[Row]]) -> None:
        """Take the rows of a range, in any order.

        Raises
        ------
        IntegrityError
            If a row does not fit its schema, or lies in another range.
        SecurityError
            For identifying values in a pseudonymized lake.
        """
        entry = RangeEntry(state=state, summary=summary)
        for name, schema in self._schemas.items():
            table = to_table(schema, rows.get(name, ()))
            refuse_identifiers(table, privacy=self._lake.privacy, name=name)
            for modality, some in _by_modality(table):
                self._add_content(entry, schema, modality, some, number=number)
        self._ranges[number] = entry

    def publish(self, snapshot: str, singles: Tables) -> Publication | None:
        """Write the parts and make them the tables readers see.

        Parameters
        ----------
        snapshot : str
            Id of the snapshot the rows were derived from.
        singles : mapping of str to (TableSchema, iterable of mapping)
            Tables that are not cut by keys.

        Returns
        -------
        Publication or None
            None if a file of the last publication is needed and damaged: nothing was changed,
            and it takes another beginning, without the last.

        Raises
        ------
        StoppedError
            If the disk is full; readers go on seeing the tables from before.
        """
        self._spool.seal()
        all_jobs = PartJobs(self._schemas, bits=self._bits, ranges=self._ranges, last=self._last)
        jobs = list(all_jobs.all())
        linked = {job.file for job in jobs if all_jobs.is_unchanged(job)}
        if not self._is_sound(jobs, linked):
            return None
        with self._lake.store.attempt("tables") as attempt:
            ensure_folder(attempt)
            for job in jobs:
                self._make(attempt / job.file, job, is_linked=job.file in linked)
            alone = list(self._write_singles(attempt, singles, {job.table for job in jobs}))
            parts = [Part(job.table, job.file, job.modality, job.node.low, job.node.high, job.rows) for job in jobs]
            self._write_list(attempt, snapshot, singles, (*parts, *alone))
            entries = write_manifest(attempt, linked=self._entries_of(linked))
            path = LAYOUT.publication(self._recipe_name, snapshot, manifest_digest(entries))
            hit("tables.before_publish")
            new = publish_with_manifest(self._lake.store, attempt, path, entries)
        self._show(path)
        written = tuple(sorted({job.file for job in jobs} - linked))
        return Publication(path, manifest_digest(entries), new, written)

    def _add_content(
        self, entry: RangeEntry, schema: TableSchema, modality: str, table: pa.Table, *, number: int
    ) -> None:
        places = place_of(schema, table)
        self._check_places(schema, places, number)
        digest = self._spool.add((schema.name, modality), number, table)
        entry.contents.setdefault(schema.name, {})[modality] = Content(table.num_rows, digest)
        if table.num_rows > most_rows(schema):
            entry.fine.setdefault(schema.name, {})[modality] = by_digits(places.to_pylist())

    def _check_places(self, schema: TableSchema, places: pa.ChunkedArray, number: int) -> None:
        own = Range(self._bits, number)
        # sorted: the first and the last stand for all
        if self._bits and not (places[0].as_py() in own and places[-1].as_py() in own):
            raise IntegrityError(f"table {schema.name}: a row lies outside range {own.name}; report it")

    def _kept(self, job: Job) -> list[int]:
        """Return the ranges of a part whose rows are in the last publication only."""
        fresh = self._spool.numbers((job.table, job.modality))
        numbers = (number for number in numbers_in(job.node, self._bits) if number not in fresh)
        return [number for number in numbers if self._ranges[number].content(job.table, job.modality)]

    def _is_sound(self, jobs: list[Job], linked: set[str]) -> bool:
        """Check what is taken from the last publication."""
        if self._last is None:
            return True
        mixed = [job for job in jobs if job.file not in linked and self._kept(job)]
        parts = {part.file for job in mixed for part in self._last.parts_of(job.table, job.modality, job.node)}
        return self._last.is_sound(linked=linked, read=parts)

    def _make(self, target: Path, job: Job, *, is_linked: bool) -> None:
        ensure_folder(target.parent)
        if is_linked and self._last is not None:
            _link(self._last.root / job.file, target)
            return
        if write_parquet(target, self._schemas[job.table], self._rows(job)) != job.rows:
            raise IntegrityError(f"{job.file}: its ranges have another number of rows than was counted; report it")
        hit("tables.after_part")

    def _rows(self, job: Job) -> Iterator[pa.Table]:
        """Yield the rows of a part in order, from the spool and from the last publication."""
        key, schema = (job.table, job.modality), self._schemas[job.table]
        fresh = self._spool.numbers(key)
        spooled = (
            (number, self._spool.read(key, number)) for number in numbers_in(job.node, self._bits) if number in fresh
        )
        for _, table in heapq.merge(spooled, self._old_rows(job), key=itemgetter(0)):
            yield within(schema, table, job.node)

    def _old_rows(self, job: Job) -> Iterator[tuple[int, pa.Table]]:
        kept = self._kept(job)
        if self._last is None or not kept:
            return iter(())
        parts = self._last.parts_of(job.table, job.modality, job.node)
        return self._last.rows(self._schemas[job.table], parts, [Range(self._bits, number) for number in kept])

    def _write_singles(self, attempt: Path, singles: Tables, there: set[str]) -> Iterator[Part]:
        """Write the tables that are one file: those not cut by keys, and those without rows."""
        empty: Tables = {name: (schema, ()) for name, schema in self._schemas.items() if name not in there}
        for name, (schema, rows) in {**empty, **singles}.items():
            table = to_table(schema, rows)
            refuse_identifiers(table, privacy=self._lake.privacy, name=name)
            file = LAYOUT.part(name, 0)
            ensure_folder((attempt / file).parent)
            write_parquet(attempt / file, schema, [table])
            whole = Range(0, 0)
            yield Part(name, file, "", whole.low, whole.high, table.num_rows)

    def _write_list(self, attempt: Path, snapshot: str, singles: Tables, parts: tuple[Part, ...]) -> None:
        made = PartsList(
            writer=writer_name(),
            basis=self._basis,
            snapshot=snapshot,
            bits=self._bits,
            ranges=tuple(self._ranges[one.number] for one in all_ranges(self._bits)),
            schemas={**self._schemas, **{name: schema for name, (schema, _) in singles.items()}},
            parts=parts,
        )
        write_file(attempt / PARTS_LIST, made.to_bytes())

    def _entries_of(self, linked: set[str]) -> dict[str, Entry]:
        return {} if self._last is None else {file: self._last.entries[file] for file in linked}

    def _show(self, path: str) -> None:
        store = self._lake.store
        hit("tables.before_latest")
        self._lake.refuse_if_superseded()
        store.swap_pointer(LAYOUT.latest(self._recipe_name), f"{path}\n".encode())
        hit("tables.before_swap")
        self._lake.refuse_if_superseded()
        store.swap_link(LAYOUT.tables(), path)
        hit("tables.after_swap")


def _by_modality(table: pa.Table) -> Iterator[tuple[str, pa.Table]]:
    """Yield the rows of each modality in their order."""
    column = table["modality"]
    modalities = pc.unique(column).to_pylist()
    for modality in modalities:
        if len(modalities) == 1:
            yield modality or NO_MODALITY, table
        else:
            chosen = column.is_null() if modality is None else pc.equal(column, modality)
            yield modality or NO_MODALITY, table.filter(chosen)


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:
        # no hard links here, or too many: a copy is held against its entry by verify, as a link is
        shutil.copyfile(source, target)
