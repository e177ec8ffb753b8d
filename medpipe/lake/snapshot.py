"""Snapshots: what a run ended with, checked to be complete, range by range of keys.

The cases of a range are stored once under their digest; snapshots between which nothing
changed there share them.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from medpipe.errors import IntegrityError, SecurityError
from medpipe.keys import canonical, digest
from medpipe.lake.committed import Committed
from medpipe.lake.failpoints import hit
from medpipe.lake.lake import Lake
from medpipe.lake.layout import LAYOUT
from medpipe.lake.lines import unpacked
from medpipe.lake.summaries import CaseCounts
from medpipe.lake.sums import packed_with_sum, read_with_sum, with_sum
from medpipe.ranges import Range

_ID_DIGITS = 32


class SnapshotCase(NamedTuple):
    """A case of a snapshot: its key, volume, status and the digest of its result."""

    case_key: str
    volume_key: str
    status: str
    result_digest: str


class SnapshotRange(NamedTuple):
    """A range of a snapshot: its number, the digest of its cases, and how many there are."""

    number: int
    digest: str
    planned: int
    committed: int
    quarantined: int
    skipped: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RangeCases:
    """What was planned in a range, and what became of it; made by :func:`range_cases`.

    Attributes
    ----------
    cases : tuple of SnapshotCase
        By case key; ``done`` ones are committed, the others quarantined.
    skipped : mapping of str to str
        Volume key to the code of the rule that left it out.
    """

    cases: tuple[SnapshotCase, ...]
    skipped: Mapping[str, str]

    @property
    def digest(self) -> str:
        """Digest of the content: 32 hex digits, equal for equal states."""
        return digest(self.to_json())[:_ID_DIGITS]

    @property
    def counts(self) -> dict[str, int]:
        """Numbers of ``planned``, ``committed``, ``quarantined`` and ``skipped``."""
        done = sum(case.status == "done" for case in self.cases)
        return {
            "planned": len(self.cases) + len(self.skipped),
            "committed": done,
            "quarantined": len(self.cases) - done,
            "skipped": len(self.skipped),
        }

    def entry(self, number: int) -> SnapshotRange:
        """Return how a snapshot names these cases as those of a range."""
        return SnapshotRange(number, self.digest, **self.counts)

    def to_json(self) -> dict[str, Any]:
        """Return the cases as JSON values."""
        return {"cases": [list(case) for case in self.cases], "skipped": dict(self.skipped)}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> RangeCases:
        """Read what :meth:`to_json` wrote."""
        return cls(cases=tuple(SnapshotCase(*case) for case in value["cases"]), skipped=value["skipped"])


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """All that was planned under a recipe, and what became of it.

    Attributes
    ----------
    recipe_name, recipe_digest : str
    bits : int
        How finely the keys are cut.
    ranges : tuple of SnapshotRange
        By number; those in which nothing was planned are left out, whoever gives them.

    Raises
    ------
    IntegrityError
        If a range is named twice, lies beyond ``bits``, or does not add up.
    """

    recipe_name: str
    recipe_digest: str
    bits: int
    ranges: tuple[SnapshotRange, ...]

    def __post_init__(self) -> None:
        ranges = tuple(sorted(SnapshotRange(*one) for one in self.ranges if SnapshotRange(*one).planned))
        _refuse_unsound(ranges, self.bits)
        object.__setattr__(self, "ranges", ranges)

    @property
    def id(self) -> str:
        """Digest of the content: 32 hex digits, equal for equal states."""
        return digest(self.to_json())[:_ID_DIGITS]

    @property
    def counts(self) -> dict[str, int]:
        """Numbers of ``planned``, ``committed``, ``quarantined`` and ``skipped``."""
        names = ("planned", "committed", "quarantined", "skipped")
        return {name: sum(getattr(one, name) for one in self.ranges) for name in names}

    def to_json(self) -> dict[str, Any]:
        """Return the snapshot as JSON values."""
        return {
            "recipe_name": self.recipe_name,
            "recipe_digest": self.recipe_digest,
            "bits": self.bits,
            "ranges": [list(one) for one in self.ranges],
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Snapshot:
        """Read what :meth:`to_json` wrote."""
        return cls(
            recipe_name=value["recipe_name"],
            recipe_digest=value["recipe_digest"],
            bits=value["bits"],
            ranges=tuple(SnapshotRange(*one) for one in value["ranges"]),
        )


def range_cases(planned: Iterable[tuple[str, str]], committed: Committed, skipped: Mapping[str, str]) -> RangeCases:
    """Return what became of the plan of a range; check that nothing planned is missing.

    Parameters
    ----------
    planned : iterable of (case_key, volume_key)
        Every volume the plan considered; the case key is empty for one that was left out.
    committed : Committed
    skipped : mapping of str to str
        Volume key to reason code, for every planned volume a rule left out.

    Raises
    ------
    IntegrityError
        If ``planned = committed + quarantined + skipped`` does not hold.
    """
    return RangeCases(cases=_conserved(list(planned), committed, skipped), skipped=dict(sorted(skipped.items())))


def put_range(lake: Lake, cases: RangeCases) -> None:
    """Store the cases of a range under their digest, once.

    Raises
    ------
    StoppedError
        If the disk is full.
    """
    hit("snapshot.before_range")
    lake.store.put_if_absent(LAYOUT.snapshot_range(cases.digest), _packed(cases.to_json()))


def has_range(lake: Lake, found: str) -> bool:
    """Tell whether the cases of a range are stored, by their digest."""
    return lake.store.exists(LAYOUT.snapshot_range(found))


def is_recorded(lake: Lake, cases: CaseCounts) -> bool:
    """Tell whether a snapshot can name the cases of a range: somebody may have removed them."""
    return not cases.planned or has_range(lake, cases.digest)


def write_snapshot(lake: Lake, snapshot: Snapshot, *, run: str) -> None:
    """Record a snapshot, and that a run ended with it; both once, and again only the same.

    Raises
    ------
    IntegrityError
        If the cases of a range were not stored before, or the run has ended with another
        snapshot already.
    StoppedError
        If the disk is full.
    """
    for one in snapshot.ranges:
        if not has_range(lake, one.digest):
            raise IntegrityError(f"the cases of range {_name(snapshot, one.number)} were not stored; report it")
    hit("snapshot.before_object")
    lake.store.put_if_absent(LAYOUT.snapshot(snapshot.id), _packed(snapshot.to_json()))
    hit("snapshot.before_run")
    lake.refuse_if_superseded()
    ending = with_sum({"snapshot": snapshot.id, **snapshot.counts})
    path = LAYOUT.run_snapshot(run)
    if not lake.store.put_if_absent(path, ending) and lake.store.get(path) != ending:
        raise IntegrityError(f"run {run} has ended with another snapshot already; start a new run")
    hit("snapshot.after_run")


def has_snapshot(lake: Lake, snapshot: str) -> bool:
    """Tell whether a snapshot is recorded, by its id."""
    return lake.store.exists(LAYOUT.snapshot(snapshot))


def read_snapshot(lake: Lake, snapshot: str) -> Snapshot:
    """Return a snapshot by its id; the cases of its ranges are read by :func:`read_range`.

    Raises
    ------
    IntegrityError
        If it is missing or its content does not fit its id.
    """
    try:
        found = Snapshot.from_json(json.loads(unpacked(lake.store.get(LAYOUT.snapshot(snapshot)))))
    except (OSError, ValueError, KeyError, TypeError):
        raise IntegrityError(f"snapshot {snapshot} is missing or damaged") from None
    if found.id != snapshot:
        raise IntegrityError(f"snapshot {snapshot}: its content has another digest")
    return found


def read_range(lake: Lake, snapshot: Snapshot, number: int) -> RangeCases:
    """Return the cases of a range of a snapshot; none where nothing was planned in it.

    Raises
    ------
    IntegrityError
        If they are missing, or are not those that the snapshot names.
    """
    entry = next((one for one in snapshot.ranges if one.number == number), None)
    if entry is None:
        return RangeCases(cases=(), skipped={})
    try:
        found = RangeCases.from_json(json.loads(unpacked(lake.store.get(LAYOUT.snapshot_range(entry.digest)))))
    except (OSError, ValueError, KeyError, TypeError, SecurityError):
        found = None
    if found is None or found.entry(number) != entry:
        raise IntegrityError(
            f"snapshot {snapshot.id}: its cases of range {_name(snapshot, number)} "
            f"({LAYOUT.snapshot_range(entry.digest)}) are missing or damaged"
        )
    return found


def snapshot_of_run(lake: Lake, run: str) -> str | None:
    """Return the id of the snapshot a run ended with, or None if it has not ended."""
    path = LAYOUT.run_snapshot(run)
    if not lake.store.exists(path):
        return None
    return str(read_with_sum(lake.store.get(path), path)["snapshot"])


def _packed(value: Mapping[str, Any]) -> bytes:
    return packed_with_sum(canonical(value).encode("ascii"))


def _name(snapshot: Snapshot, number: int) -> str:
    return Range(snapshot.bits, number).name


def _refuse_unsound(ranges: tuple[SnapshotRange, ...], bits: int) -> None:
    numbers = [one.number for one in ranges]
    if len(set(numbers)) < len(numbers) or not all(0 <= number < 1 << bits for number in numbers):
        raise IntegrityError(f"a snapshot names a range twice, or one that {bits} bits do not give; report it")
    for one in ranges:
        if one.planned != one.committed + one.quarantined + one.skipped:
            raise IntegrityError(
                f"range {Range(bits, one.number).name}: {one.planned} planned are not {one.committed} committed + "
                f"{one.quarantined} quarantined + {one.skipped} skipped; report it"
            )


def _conserved(
    planned: list[tuple[str, str]], committed: Committed, skipped: Mapping[str, str]
) -> tuple[SnapshotCase, ...]:
    _refuse_doubles(planned, skipped)
    cases: list[SnapshotCase] = []
    missing: list[str] = []
    for case_key, volume_key in planned:
        if volume_key in skipped:
            continue
        record = committed.case(case_key)
        if record is None:
            missing.append(volume_key)
        else:
            cases.append(SnapshotCase(case_key, volume_key, record.status, record.result_digest))
    if missing:
        raise IntegrityError(
            f"{len(missing)} of {len(planned)} planned volumes have no outcome (first: volume {min(missing)}); run again"
        )
    return tuple(sorted(cases))


def _refuse_doubles(planned: list[tuple[str, str]], skipped: Mapping[str, str]) -> None:
    counts = Counter(volume_key for _, volume_key in planned)
    doubled = sorted(key for key, count in counts.items() if count > 1)
    if doubled:
        raise IntegrityError(f"{len(doubled)} volumes are planned twice (first: volume {doubled[0]}); report it")
    unplanned = sorted(key for key in skipped if key not in counts)
    if unplanned:
        raise IntegrityError(
            f"{len(unplanned)} volumes are skipped but were never planned (first: volume {unplanned[0]}); report it"
        )
