"""What is told of a run when it has ended: counts, reasons, the exit code."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from medpipe.lake.snapshot import Snapshot


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """What was published, counted.

    Attributes
    ----------
    snapshot : Snapshot
    tables : Path
    outcomes, codes : mapping of str to int
        Files by outcome; quarantine rows by code.
    modalities : mapping of str to mapping
        Volumes by modality and verdict.
    left_out : mapping of str to int
        Volumes a rule left out, by code.
    subjects, bad_subjects, new_subjects : int
        Files and volumes; those with a row of severity ``error`` in ``quarantine``; those of them
        with one that the recipe's last publication had not.
    written : tuple of str
        Parts that were written; the others are those of the last publication.
    """

    snapshot: Snapshot
    tables: Path
    outcomes: Mapping[str, int]
    modalities: Mapping[str, Mapping[str, int]]
    codes: Mapping[str, int]
    subjects: int
    bad_subjects: int
    new_subjects: int = 0
    left_out: Mapping[str, int] = field(default_factory=dict)
    written: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RunReport:
    """How a run ended.

    Attributes
    ----------
    run : str
        Id of the run; empty where none was needed.
    recipe : str
    lake : Path
    executed : int
        Cases that were run.
    seconds : float
    published : Published
    proposed_deletions : int
        Files that are gone from the archive, and are taken for unreachable, not for deleted.
    is_partial : bool
        Whether a part of the volumes was chosen.
    leaving : mapping of str to int
        Volumes whose rows the tables had and have no more, by the code they are left out for.
    limited : mapping or None
        The cohort the run was limited to.
    """

    run: str
    recipe: str
    lake: Path
    executed: int
    seconds: float
    published: Published
    proposed_deletions: int = 0
    is_partial: bool = False
    leaving: Mapping[str, int] = field(default_factory=dict)
    limited: Mapping[str, Any] | None = None

    @property
    def planned(self) -> int:
        """Cases of the plan."""
        counts = self.published.snapshot.counts
        return counts["committed"] + counts["quarantined"]

    @property
    def skipped(self) -> int:
        """Volumes left out by a rule."""
        return self.published.snapshot.counts["skipped"]

    def facts(self) -> dict[str, Any]:
        """Return the report as plain values, in reading order."""
        found = self.published
        counts = found.snapshot.counts
        facts: dict[str, Any] = {
            "run": self.run or "none was needed",
            "recipe": self.recipe,
            "files": dict(found.outcomes),
            "volumes": {name: dict(counts) for name, counts in found.modalities.items()},
            "cases": {
                "planned": self.planned,
                "executed": self.executed,
                "committed": counts["committed"],
                "quarantined": counts["quarantined"],
                "volumes left out": self.skipped,
            },
            "reasons": dict(found.codes),
            "quarantined subjects": {"known": found.bad_subjects - found.new_subjects, "new": found.new_subjects},
            "seconds": round(self.seconds, 1),
            "snapshot": found.snapshot.id,
            "tables": str(found.tables),
            "note": self._note(),
        }
        if self.leaving:
            facts["rows that left the tables, by why"] = dict(self.leaving)
        if self.limited is not None:
            facts["cohort"] = dict(self.limited)
        if self.proposed_deletions:
            facts["proposed deletions"] = self.proposed_deletions
        return facts

    def _note(self) -> str:
        if not self.run:
            return "nothing to do: everything was committed and published before"
        if self.is_partial or self.published.left_out.get("S_LIMIT"):
            return "complete for the part that was chosen: the published tables hold no more until a run without it"
        if self.limited is not None:
            return "complete for the cohort: the published tables hold no more until a run without it"
        return "complete"

    def exit_code(self, allowed_share: float = 0.0, *, known_is_fine: bool = False) -> int:
        """Return 0, or 2 if more than the allowed share of subjects is quarantined.

        Parameters
        ----------
        allowed_share : float
        known_is_fine : bool
            Count only what was not quarantined, with the same code, when the recipe last published.
        """
        found = self.published
        bad = found.new_subjects if known_is_fine else found.bad_subjects
        return 2 if bad > allowed_share * found.subjects else 0
