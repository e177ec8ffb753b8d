"""Rows of ``quarantine``, and which of them were there before."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from medpipe.reasons import Severity, reason

Row = dict[str, Any]


def quarantine_row(
    subject: str, kind: str, stage: str, code: str, *, severity: Severity | None = None, ops: Sequence[str] = ()
) -> Row:
    """Return a ``quarantine`` row: the code's template and the names of the ops it is of, never a value.

    Its severity is that of the code, if no other is given: what is set aside is an ``error``,
    though elsewhere the code may be no more than a flag.
    """
    why = reason(code)
    return {
        "subject": subject,
        "subject_kind": kind,
        "stage": stage,
        "code": code,
        "severity": severity or why.severity,
        "message": f"{why.message} ({', '.join(ops)})" if ops else why.message,
        "remedy": why.remedy,
    }


def bad_codes(rows: Iterable[Mapping[str, Any]]) -> dict[str, set[str]]:
    """Return the codes of severity ``error`` by the subject they quarantine."""
    found: dict[str, set[str]] = {}
    for row in rows:
        if row["severity"] == "error":
            found.setdefault(row["subject"], set()).add(row["code"])
    return found


def count_new(now: Mapping[str, set[str]], before: Mapping[str, set[str]]) -> int:
    """Return how many subjects are quarantined for a reason they were not quarantined for before."""
    return sum(not codes <= before.get(subject, set()) for subject, codes in now.items())
