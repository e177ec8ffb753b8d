"""Cohorts: the patients, studies and series a run is limited to, as keys.

A cohort is frozen when a run begins: its digest is in the tables, and the keys are kept with
the run. Pure: nothing here reads a file or an archive.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from medpipe.keys import digest
from medpipe.ranges import own_digits

_DIGEST_DIGITS = 32


@dataclass(frozen=True, kw_only=True)
class Cohort:
    """What a run is limited to; a series is in it for its own, its study's or its patient's sake.

    Attributes
    ----------
    patients, studies : frozenset of str
        Keys.
    series : frozenset of str
        What of series keys does not say where they lie (:func:`medpipe.ranges.own_digits`): that
        much follows from a series' own identifier.
    n_entries : int
        Patients, studies and series that were named; in no digest.
    """

    patients: frozenset[str] = frozenset()
    studies: frozenset[str] = frozenset()
    series: frozenset[str] = frozenset()
    n_entries: int = 0

    @cached_property
    def digest(self) -> str:
        """Digest of what it names, whatever the order: 32 hex digits."""
        return digest([sorted(self.patients), sorted(self.studies), sorted(self.series)])[:_DIGEST_DIGITS]

    def has(self, row: Mapping[str, Any]) -> bool:
        """Tell whether the series of a row with its keys is in the cohort."""
        return bool(self.reasons(row))

    def reasons(self, row: Mapping[str, Any]) -> list[tuple[str, str]]:
        """Return for which entries, as (kind, key), a series is in the cohort."""
        own = own_digits(row["series_key"])
        named = (
            ("patient", row["patient_key"], self.patients),
            ("study", row["study_key"], self.studies),
            ("series", own, self.series),
        )
        return [(kind, key) for kind, key, known in named if key in known]

    def to_json(self) -> dict[str, Any]:
        """Return the cohort as JSON values."""
        return {
            "patients": sorted(self.patients),
            "studies": sorted(self.studies),
            "series": sorted(self.series),
            "n_entries": self.n_entries,
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Cohort:
        """Read what :meth:`to_json` wrote."""
        return cls(
            patients=frozenset(value["patients"]),
            studies=frozenset(value["studies"]),
            series=frozenset(value["series"]),
            n_entries=value["n_entries"],
        )
