"""Rows of what the archive holds: files, volumes, and what became of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from medpipe.app.ended import Ended, Row
from medpipe.app.quarantine import quarantine_row
from medpipe.plan.cases import Plan
from medpipe.reasons import Severity, reason

LENGTH_DIGITS = 5
"""Lengths of the ``volumes`` table are given to 1e-5 mm; the Zarr attributes hold all digits."""

_LENGTHS = ("spacing_mm", "affine_lps", "slice_positions_mm", "missing_mm")


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexRows:
    """Rows of the index, all sources merged."""

    instances: Sequence[Row]
    members: Sequence[Row]
    series: Sequence[Row]
    volumes: Sequence[Row]


def volume_row(row: Row, one: Ended | None, plan: Plan) -> Row:
    """Return the row of a volume with what its case stored of it."""
    row = {**row, **{name: _rounded(row.get(name)) for name in _LENGTHS}}
    if one is None:
        row = {**row, "code": row["code"] or plan.skipped.get(row["volume_key"])}
        lost = plan.lost.get(row["volume_key"])
        if lost is None:
            return row
        flags = [*(row.get("flags") or ()), "S_NOT_CHOSEN"]
        return {**row, "flags": flags, "chosen_instead": lost.winner, "decided_by": lost.by}
    if not one.products:
        flags = [one.record.code, *(flag for flag in row.get("flags") or () if flag != one.record.code)]
        return {**row, "route": one.case.route, "verdict": "refused", "code": one.record.code, "flags": flags}
    stored = one.products[0][1].rows[0]
    return {**row, "route": one.case.route, **stored}


def member_rows(index: IndexRows) -> Iterator[Row]:
    """Yield the members, placed beside their volumes."""
    places = {
        row["volume_key"]: {"series_key": row["series_key"], "modality": row["modality"]} for row in index.volumes
    }
    return ({**row, **places[row["volume_key"]]} for row in index.members)


def instance_rows(index: IndexRows, by_volume: Mapping[str, Ended], plan: Plan) -> list[Row]:
    """Return the instances with what became of the volumes they are in."""
    fates = {row["volume_key"]: _fate(row["volume_key"], by_volume, plan) for row in index.volumes}
    codes: dict[str, set[str]] = {}
    if any(fates.values()):
        for member in index.members:
            codes.setdefault(member["instance_key"], set()).add(fates[member["volume_key"]])
    return [_instance_row(row, codes.get(row["instance_key"])) for row in index.instances]


def refusal_rows(instances: Sequence[Row], volumes: Sequence[Row]) -> Iterator[Row]:
    """Yield the ``quarantine`` rows of files and volumes.

    Parameters
    ----------
    instances : sequence of dict
        Rows of the table ``instances``.
    volumes : sequence of dict
        Rows of the index, which say what was found of a volume whatever became of its case.
    """
    for row in instances:
        if row["code"] and (row["outcome"] in ("quarantined", "used") or reason(row["code"]).severity == "warning"):
            severity: Severity | None = "error" if row["outcome"] == "quarantined" else None
            yield _refusal(row, row["instance_key"], "instance", "scan", severity=severity)
    for row in volumes:
        if row["code"]:
            yield _refusal(row, row["volume_key"], "volume", "assemble")


def _refusal(row: Row, subject: str, kind: str, stage: str, *, severity: Severity | None = None) -> Row:
    place = {"series_key": row["series_key"], "modality": row["modality"]}
    return {**quarantine_row(subject, kind, stage, row["code"], severity=severity), **place}


def _rounded(values: Sequence[float] | None) -> list[float] | None:
    return None if values is None else [round(value, LENGTH_DIGITS) for value in values]


def _fate(volume_key: str, by_volume: Mapping[str, Ended], plan: Plan) -> str:
    one = by_volume.get(volume_key)
    if one is None:
        return plan.skipped.get(volume_key, "")
    return "" if one.record.status == "done" else one.record.code


def _instance_row(row: Row, fates: set[str] | None) -> Row:
    if row["outcome"] != "used" or not fates or "" in fates:
        return row
    code = min(fates)
    return {**row, "outcome": "skipped" if code.startswith("S_") else "quarantined", "code": code}
