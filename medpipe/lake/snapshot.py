"""Snapshots: what a run ended with, checked to be complete."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import pyarrow as pa

from medpipe.errors import IntegrityError
from medpipe.keys import canonical, digest
from medpipe.lake.committed import Committed
from medpipe.lake.failpoints import hit
from medpipe.lake.lake import Lake
from medpipe.lake.layout import LAYOUT

_ID_DIGITS = 32


class SnapshotCase(NamedTuple):
    """A case of a snapshot: its key, volume, status and the digest of its result."""

    case_key: str
    volume_key: str
    status: str
    result_digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """All that was planned under a recipe, and what became of it.

    Attributes
    ----------
    recipe_name, recipe_digest : str
    cases : tuple of SnapshotCase
        By case key; ``done`` ones are committed, the others quarantined.
    skipped : mapping of str to str
        Volume key to the code of the rule that left it out.
    """

    recipe_name: str
    recipe_digest: str
    cases: tuple[SnapshotCase, ...]
    skipped: Mapping[str, str]

    @property
    def id(self) -> str:
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

    def to_json(self) -> dict[str, Any]:
        """Return the snapshot as JSON values."""
        return {
            "recipe_name": self.recipe_name,
            "recipe_digest": self.recipe_digest,
            "cases": [list(case) for case in self.cases],
            "skipped": dict(self.skipped),
        }

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Snapshot:
        """Read what :meth:`to_json` wrote."""
        cases = tuple(SnapshotCase(*case) for case in value["cases"])
        return cls(
            recipe_name=value["recipe_name"],
            recipe_digest=value["recipe_digest"],
            cases=cases,
            skipped=value["skipped"],
        )


def make_snapshot(
    *,
    recipe_name: str,
    recipe_digest: str,
    planned: Iterable[tuple[str, str]],
    committed: Committed,
    skipped: Mapping[str, str],
) -> Snapshot:
    """Return what became of a plan; check that nothing planned is missing.

    Parameters
    ----------
    recipe_name, recipe_digest : str
    planned : iterable of (case_key, volume_key)
        Every volume the plan considered; the case key is empty for one that was left out.
    committed : Committed
    skipped : mapping of str to str
        Volume key to reason code, for every planned volume a rule left out.

    Returns
    -------
    Snapshot
        Equal states have the same ``id``.

    Raises
    ------
    IntegrityError
        If ``planned = committed + quarantined + skipped`` does not hold.
    """
    return Snapshot(
        recipe_name=recipe_name,
        recipe_digest=recipe_digest,
        cases=_conserved(list(planned), committed, skipped),
        skipped=dict(sorted(skipped.items())),
    )


def write_snapshot(lake: Lake, snapshot: Snapshot, *, run: str) -> None:
    """Record a snapshot, and that a run ended with it; both once, and again only the same.

    Raises
    ------
    IntegrityError
        If the run has ended with another snapshot already.
    StoppedError
        If the disk is full.
    """
    packed = pa.compress(canonical(snapshot.to_json()).encode("ascii"), codec="zstd", asbytes=True)
    hit("snapshot.before_object")
    lake.store.put_if_absent(LAYOUT.snapshot(snapshot.id), packed)
    hit("snapshot.before_run")
    ending = canonical({"snapshot": snapshot.id, **snapshot.counts}).encode("ascii")
    path = LAYOUT.run_snapshot(run)
    if not lake.store.put_if_absent(path, ending) and lake.store.get(path) != ending:
        raise IntegrityError(f"run {run} has ended with another snapshot already; start a new run")
    hit("snapshot.after_run")


def has_snapshot(lake: Lake, snapshot: Snapshot) -> bool:
    """Tell whether a snapshot is recorded."""
    return lake.store.exists(LAYOUT.snapshot(snapshot.id))


def read_snapshot(lake: Lake, snapshot: str) -> Snapshot:
    """Return a snapshot by its id.

    Raises
    ------
    IntegrityError
        If it is missing or its content does not fit its id.
    """
    try:
        packed = lake.store.get(LAYOUT.snapshot(snapshot))
        found = Snapshot.from_json(json.loads(pa.CompressedInputStream(pa.BufferReader(packed), "zstd").read()))
    except (OSError, ValueError, KeyError, TypeError):
        raise IntegrityError(f"snapshot {snapshot} is missing or damaged; run again to make it") from None
    if found.id != snapshot:
        raise IntegrityError(f"snapshot {snapshot}: its content has another digest; remove it and run again")
    return found


def snapshot_of_run(lake: Lake, run: str) -> str | None:
    """Return the id of the snapshot a run ended with, or None if it has not ended."""
    path = LAYOUT.run_snapshot(run)
    if not lake.store.exists(path):
        return None
    ending: dict[str, Any] = json.loads(lake.store.get(path))
    return str(ending["snapshot"])


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
