"""What a range of a publication holds, in numbers: added up, they are the report of a run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple


class CaseCounts(NamedTuple):
    """What became of the plan of a range, and the digest its snapshot names it by."""

    digest: str = ""
    planned: int = 0
    committed: int = 0
    quarantined: int = 0
    skipped: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class RangeSummary:
    """The rows of a range, counted; or those of several, added up.

    Attributes
    ----------
    cases : CaseCounts
        ``planned`` counts the volumes left out too, as a snapshot does.
    by_route : mapping of str to int
        Cases by route.
    left_out : mapping of str to int
        Volumes a rule left out, by code.
    outcomes : mapping of str to int
        Files by outcome.
    volumes : mapping of str to mapping of str to int
        Volumes by modality and verdict.
    codes : mapping of str to int
        Quarantine rows by code.
    subjects, bad_subjects : int
        Files and volumes; subjects with a row of severity ``error``.
    """

    cases: CaseCounts = field(default_factory=CaseCounts)
    by_route: Mapping[str, int] = field(default_factory=dict)
    left_out: Mapping[str, int] = field(default_factory=dict)
    outcomes: Mapping[str, int] = field(default_factory=dict)
    volumes: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    codes: Mapping[str, int] = field(default_factory=dict)
    subjects: int = 0
    bad_subjects: int = 0

    @property
    def planned(self) -> int:
        """Cases of the plan."""
        return self.cases.committed + self.cases.quarantined

    @property
    def skipped(self) -> int:
        """Volumes that a rule left out."""
        return self.cases.skipped

    @property
    def snapshot(self) -> str:
        """Digest of the range's cases in the snapshot."""
        return self.cases.digest

    def to_json(self) -> list[Any]:
        """Return the summary as JSON values."""
        return [getattr(self, name) for name in self.__slots__]

    @classmethod
    def from_json(cls, value: Iterable[Any]) -> RangeSummary:
        """Read what :meth:`to_json` wrote."""
        cases, by_route, left_out, outcomes, volumes, codes, subjects, bad_subjects = value
        return cls(
            cases=CaseCounts(*cases),
            by_route=by_route,
            left_out=left_out,
            outcomes=outcomes,
            volumes=volumes,
            codes=codes,
            subjects=subjects,
            bad_subjects=bad_subjects,
        )


def added(summaries: Iterable[RangeSummary]) -> RangeSummary:
    """Return the sum of summaries, every mapping in the order of its names."""
    found = list(summaries)
    modalities = sorted({modality for one in found for modality in one.volumes})
    return RangeSummary(
        cases=_added_cases([one.cases for one in found]),
        by_route=_counted(one.by_route for one in found),
        left_out=_counted(one.left_out for one in found),
        outcomes=_counted(one.outcomes for one in found),
        volumes={name: _counted(one.volumes.get(name, {}) for one in found) for name in modalities},
        codes=_counted(one.codes for one in found),
        subjects=sum(one.subjects for one in found),
        bad_subjects=sum(one.bad_subjects for one in found),
    )


def _added_cases(counts: Sequence[CaseCounts]) -> CaseCounts:
    return CaseCounts(
        planned=sum(one.planned for one in counts),
        committed=sum(one.committed for one in counts),
        quarantined=sum(one.quarantined for one in counts),
        skipped=sum(one.skipped for one in counts),
    )


def _counted(counts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    total: Counter[str] = Counter()
    for one in counts:
        total.update(one)
    return dict(sorted(total.items()))
