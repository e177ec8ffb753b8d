"""The index of results: what all segments hold, sorted by range, so that a part of it can be read.

Segments alone are the truth. What they hold is kept in layers of pieces, as in a merge sort:
new segments become a layer of their own, together with the older layers that are not much
larger. So a result is moved a few times in its life, and a range is in a few pieces.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import tempfile
import weakref
from collections.abc import Iterable
from functools import partial
from pathlib import Path

from medpipe.contracts.records import CaseResult
from medpipe.errors import IntegrityError, LakeError
from medpipe.keys import digest
from medpipe.lake.committed import Committed
from medpipe.lake.durable import ensure_folder
from medpipe.lake.lake import Lake
from medpipe.lake.layout import LAYOUT
from medpipe.lake.lines import Cut, LineSpool, Tally
from medpipe.lake.pieces import Generation, Layer, put_piece, read_generation, read_piece, write_generation
from medpipe.lake.segments import list_segments, read_lines, results_in
from medpipe.ranges import RANGE_VOLUMES, Range, bits_for

PIECE_RESULTS = RANGE_VOLUMES
"""Results a piece holds at most, on average."""

_PREFIX = re.compile(r"[0-9a-f]{2}")


class Results:
    """The results of a lake, by range of the keys of their volumes.

    Made by :meth:`open` for the driver and by :meth:`read` for everybody else. Not to be used
    from several threads at a time.

    Attributes
    ----------
    lake : Lake
    """

    def __init__(self, lake: Lake, generation: Generation) -> None:
        self.lake = lake
        self._generation = generation
        self._loose: tuple[str, ...] | None = None
        self._tally = generation.tally
        self._cuts = [layer.cut(lake) for layer in generation.layers]

    @classmethod
    def open(cls, lake: Lake) -> Results:
        """Open the results of a lake as its driver; an index that cannot be used is made again.

        Raises
        ------
        IntegrityError
            If a segment that must be read is damaged.
        StoppedError
            If the disk is full.
        """
        generation = _usable(lake, set(list_segments(lake)))
        results = cls(lake, generation or Generation())
        if generation is None:
            results.absorb()
        return results

    @classmethod
    def read(cls, lake: Lake) -> Results:
        """Open the results of a lake, those no index covers included; nothing is written to the lake.

        What the index does not cover is sorted in memory, or in a temporary folder of this
        host where it is much.

        Raises
        ------
        IntegrityError
            If a segment that must be read is damaged.
        """
        names = set(list_segments(lake))
        results = cls(lake, _usable(lake, names) or Generation())
        results._loose = ()
        results._sort_aside(names.difference(results._generation.segments))
        return results

    @property
    def covered(self) -> str:
        """Digest of the names of the segments whose results these are."""
        return digest(sorted([*self._generation.segments, *(self._loose or ())]))

    @property
    def n_cases(self) -> int:
        """Number of results; a case that ran twice counts twice."""
        return self._generation.results + sum(results_in(name) for name in self._loose or ())

    def absorb(self) -> int:
        """Take in what was sealed since the last time; return the number of segments.

        Meant for the start and the end of a run. A kill at any instant leaves the old index or
        the new one.

        Raises
        ------
        IntegrityError
            If a segment is damaged.
        StoppedError
            If the disk is full; the old index stays.
        """
        if self._loose is not None:
            raise LakeError("results that were opened for reading take nothing in; report it")
        there, covered = set(list_segments(self.lake)), set(self._generation.segments)
        fresh = sorted(there - covered)
        if not there.issuperset(covered) or (fresh and not self._cover(self._generation, fresh)):
            self._cover(Generation(), sorted(there))
        return len(fresh)

    def digest_of(self, wanted: Range) -> str:
        """Return a digest of the results in a range, the same however often the index is made again."""
        return self._tally.digest_of(wanted)

    def load(self, wanted: Range) -> Committed:
        """Return the results of the volumes in a range.

        Raises
        ------
        IntegrityError
            If two results in the range contradict each other, or a segment that must be read
            is damaged.
        """
        lines = self._lines(wanted)
        if lines is None:
            self._make_again()
            lines = self._lines(wanted)
        if lines is None:
            raise IntegrityError("the index of results was made again and cannot be read back: check the disk")
        committed = Committed(self.lake)
        for line in lines:
            committed.add(CaseResult.from_json(json.loads(line)))
        committed.find_lost()
        return committed

    def _lines(self, wanted: Range) -> list[bytes] | None:
        found: list[bytes] = []
        for cut in self._cuts:
            lines = cut.within(wanted)
            if lines is None:
                return None
            found += lines
        return found

    def _make_again(self) -> None:
        covered = set(list_segments(self.lake)).intersection([*self._generation.segments, *(self._loose or ())])
        if self._loose is None:
            self._cover(Generation(), sorted(covered))
        else:
            self._use(Generation())
            self._sort_aside(covered)

    def _cover(self, old: Generation, fresh: Iterable[str]) -> bool:
        """Make the generation that covers more segments; tell whether the old pieces could be read."""
        names = list(fresh)
        count = sum(results_in(name) for name in names)
        kept, merged = list(old.layers), list[Layer]()
        while kept and kept[-1].results < 2 * count:
            merged.append(kept.pop())
            count += merged[-1].results
        with self.lake.store.attempt("results") as folder:
            spool = LineSpool(partial(_made, folder), bits_for(count, most=PIECE_RESULTS))
            tally = old.tally.copy()
            if not all(_pour(self.lake, layer, spool) for layer in merged):
                return False
            _sort(self.lake, names, spool, tally)
            pieces = {at: put_piece(self.lake, Range(spool.bits, at), spool.read(at)) for at in spool.numbers}
        generation = Generation(
            segments=tuple(sorted([*old.segments, *names])),
            layers=(*kept, Layer(spool.bits, count, pieces)),
            tally=tally,
        )
        write_generation(self.lake, generation)
        self._use(generation)
        return True

    def _use(self, generation: Generation) -> None:
        self._generation = generation
        self._tally = generation.tally
        self._cuts = [layer.cut(self.lake) for layer in generation.layers]

    def _sort_aside(self, names: Iterable[str]) -> None:
        self._loose = tuple(sorted(names))
        if not self._loose:
            return
        spool = LineSpool(self._temporary_folder, bits_for(sum(map(results_in, self._loose)), most=PIECE_RESULTS))
        self._tally = self._generation.tally.copy()
        _sort(self.lake, self._loose, spool, self._tally)
        self._cuts.append(Cut(spool.bits, set(spool.numbers), spool.read))

    def _temporary_folder(self) -> Path:
        folder = Path(tempfile.mkdtemp(prefix="medpipe-results-"))
        weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
        return folder


def stored_listing(lake: Lake) -> tuple[int, str]:
    """Return how many stored volumes there are and a digest of their names.

    No volume is opened: it is equal as long as nobody adds or removes one.
    """
    state, count = hashlib.sha256(), 0
    for prefix in _folders(lake.root / LAYOUT.objects()):
        if _PREFIX.fullmatch(prefix):
            names = _folders(lake.root / LAYOUT.objects() / prefix)
            count += len(names)
            state.update("\0".join([prefix, *names, ""]).encode("ascii"))
    return count, state.hexdigest()


def _folders(folder: Path) -> list[str]:
    try:
        with os.scandir(folder) as entries:
            return sorted(entry.name for entry in entries if entry.is_dir(follow_symlinks=False))
    except FileNotFoundError:
        return []


def _usable(lake: Lake, there: set[str]) -> Generation | None:
    """Return the current generation unless it covers a segment that is gone."""
    generation = read_generation(lake)
    return generation if generation is not None and there.issuperset(generation.segments) else None


def _made(folder: Path) -> Path:
    ensure_folder(folder)
    return folder


def _sort(lake: Lake, names: Iterable[str], spool: LineSpool, tally: Tally) -> None:
    for name in names:
        lines = read_lines(lake, name)
        tally.add(lines)
        spool.add(lines)


def _pour(lake: Lake, layer: Layer, spool: LineSpool) -> bool:
    for number in layer.pieces:
        lines = read_piece(lake, layer, number)
        if lines is None:
            return False
        spool.add(lines)
    return True
