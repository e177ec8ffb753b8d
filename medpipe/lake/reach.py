"""What kept snapshots reach: records, products and stored volumes, in memory that does not grow with them.

Everything is gone through range by range; of keys only the first 64 bits are held, so that a
mistake of one in billions keeps something too long and never removes it too early.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from medpipe.contracts.records import CaseRecord, CaseResult, ProductRecord
from medpipe.errors import IntegrityError
from medpipe.keys import digest
from medpipe.lake.committed import Committed
from medpipe.lake.keyset import KeySet
from medpipe.lake.lake import Lake
from medpipe.lake.results import Results
from medpipe.lake.retention import Kept, Retention, snapshot_remedy
from medpipe.lake.segments import list_segments, read_segment
from medpipe.lake.snapshot import RangeCases, Snapshot, SnapshotCase, read_range, read_snapshot
from medpipe.ranges import Range, all_ranges, bits_for


@dataclass(slots=True, kw_only=True)
class Reach:
    """What must stay.

    Attributes
    ----------
    ranges : set of str
        Digests of the ranges of kept snapshots.
    records, results, products : KeySet
        Exact case records; (case, result) pairs that kept snapshots name; products.
    volumes : KeySet
        Folders of stored volumes.
    superseded : bool
        Whether any sealed record is not among `records`, so that a segment might go.
    """

    ranges: set[str] = field(default_factory=set)
    records: KeySet = field(default_factory=KeySet)
    results: KeySet = field(default_factory=KeySet)
    products: KeySet = field(default_factory=KeySet)
    volumes: KeySet = field(default_factory=KeySet)
    superseded: bool = True

    def needs(self, result: CaseResult) -> bool:
        """Tell whether a sealed result must stay."""
        case = result.case
        return (
            _record_key(case) in self.records
            or _result_key(case.case_key, case.result_digest) in self.results
            or any(product.key in self.products for product in result.products)
        )


def reach_of(lake: Lake, results: Results, kept: Kept, rules: Retention, tick: Callable[[], None]) -> Reach:
    """Return what kept snapshots reach, and what else the rules keep.

    Parameters
    ----------
    lake : Lake
    results : Results
        All that is sealed.
    kept : Kept
    rules : Retention
    tick : callable
        Called after each range, to tell that work goes on.

    Raises
    ------
    IntegrityError
        If a kept snapshot, or what it stands on, cannot be read: then nothing may be removed.
    """
    reach = Reach()
    opened = [_opened(lake, snapshot) for snapshot in sorted(kept.snapshots)]
    # most snapshots are cut alike: what lies in a range is loaded once for them and for the history
    bits = max((one.bits for one in opened), default=bits_for(results.n_cases))
    standing = 0
    for within in all_ranges(bits):
        committed = results.load(within)
        standing += _reach_history(committed, kept, rules, reach)
        for snapshot in opened:
            if snapshot.bits == bits:
                _reach_range(lake, snapshot, within.number, committed, reach)
        tick()
    for snapshot in opened:
        for entry in snapshot.ranges if snapshot.bits != bits else ():
            committed = results.load(Range(snapshot.bits, entry.number))
            _reach_range(lake, snapshot, entry.number, committed, reach)
            tick()
    reach.superseded = not rules.keep_superseded_results or standing < results.n_cases
    return reach


def loose_segments(lake: Lake, reach: Reach, kept: Kept, tick: Callable[[], None]) -> list[str]:
    """Return the segments none of whose results must stay; those of runs to be resumed always must.

    Raises
    ------
    IntegrityError
        If a segment is damaged.
    """
    if not reach.superseded:
        return []
    found = []
    for name in list_segments(lake):
        is_resumed = name.split("/")[-2] in kept.unfinished
        if not is_resumed and not any(reach.needs(result) for result in read_segment(lake, name)):
            found.append(name)
        tick()
    return found


def _opened(lake: Lake, snapshot: str) -> Snapshot:
    try:
        return read_snapshot(lake, snapshot)
    except IntegrityError as error:
        raise _irremovable(lake, snapshot, error) from None


def _cases(lake: Lake, snapshot: Snapshot, number: int) -> RangeCases:
    try:
        return read_range(lake, snapshot, number)
    except IntegrityError as error:
        raise _irremovable(lake, snapshot.id, error) from None


def _irremovable(lake: Lake, snapshot: str, error: IntegrityError) -> IntegrityError:
    return IntegrityError(f"{error}, so nothing is removed; {snapshot_remedy(lake, snapshot)}")


def _reach_range(lake: Lake, snapshot: Snapshot, number: int, committed: Committed, reach: Reach) -> None:
    entry = next((one for one in snapshot.ranges if one.number == number), None)
    if entry is None or entry.digest in reach.ranges:
        return  # snapshots share what did not change
    for case in _cases(lake, snapshot, number).cases:
        _reach_case(case, committed, snapshot, reach)
    reach.ranges.add(entry.digest)


def _reach_case(case: SnapshotCase, committed: Committed, snapshot: Snapshot, reach: Reach) -> None:
    records = committed.records(case.case_key)
    if not records:
        raise IntegrityError(
            f"snapshot {snapshot.id}: a case of it is in no segment, so nothing is removed; medpipe verify, then run again"
        )
    reach.results.add(_result_key(case.case_key, case.result_digest))
    for record in (one for one in records if one.result_digest == case.result_digest):
        reach.records.add(_record_key(record))
        for key in record.products:
            _reach_product(committed.product(key), reach, volumes=True)


def _reach_history(committed: Committed, kept: Kept, rules: Retention, reach: Reach) -> int:
    """Take in what the rules keep of a range; return how many cases stand in it."""
    for record in committed.cases():
        is_resumed = record.run in kept.unfinished
        if rules.keep_superseded_results or is_resumed:
            reach.records.add(_record_key(record))
        for key in record.products if is_resumed else ():
            _reach_product(committed.product(key), reach, volumes=True)
    # volumes that no result names any more are of no use: they go with the results
    for product in committed.products() if rules.keep_superseded_results else ():
        _reach_product(product, reach, volumes=rules.keep_superseded_volumes)
    return len(committed)


def _reach_product(product: ProductRecord, reach: Reach, *, volumes: bool) -> None:
    reach.products.add(product.key)
    for path in product.stored if volumes else ():
        reach.volumes.add(path.rpartition("/")[2])


def _record_key(record: CaseRecord) -> str:
    return digest(
        [record.case_key, record.run, record.status, record.code, record.attempts, record.tries, record.wall_s]
    )


def _result_key(case_key: str, result_digest: str) -> str:
    return digest([case_key, result_digest])
