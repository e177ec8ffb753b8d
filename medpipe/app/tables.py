"""Rows of the public tables, derived from index, plan and committed records.

Pure: the same inputs give the same rows. Identities join here, by the case's volume; the
products themselves hold none.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from medpipe.contracts import tables as schemas
from medpipe.contracts.protocols import Extractor
from medpipe.contracts.records import CaseRecord, ProductRecord
from medpipe.contracts.tables import TableSchema, features_schema
from medpipe.keys import digest
from medpipe.plan.cases import Case, Plan
from medpipe.plan.products import Content, Wanted, wanted_products
from medpipe.reasons import reason
from medpipe.recipe.lock import LockedRecipe
from medpipe.types import Column

LENGTH_DIGITS = 5
"""Lengths of the ``volumes`` table are given to 1e-5 mm; the Zarr attributes hold all digits."""

_LENGTHS = ("spacing_mm", "affine_lps", "slice_positions_mm")

_UNBINNED = frozenset({"statistics", "morphology"})
"""Families measured on the values themselves."""

Row = dict[str, Any]
Tables = dict[str, tuple[TableSchema, list[Row]]]


class Records(Protocol):
    """Committed records by key."""

    def case(self, case_key: str) -> CaseRecord | None:
        """Return the terminal record of a case, or None."""

    def product(self, key: str) -> ProductRecord:
        """Return a committed product."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexRows:
    """The index tables of all sources, merged, as rows."""

    instances: Sequence[Row]
    members: Sequence[Row]
    series: Sequence[Row]
    volumes: Sequence[Row]


@dataclass(frozen=True, slots=True)
class _Ended:
    """A case that ended, with its products beside what they are for."""

    case: Case
    record: CaseRecord
    products: tuple[tuple[Wanted, ProductRecord], ...]


def build_tables(lock: LockedRecipe, index: IndexRows, plan: Plan, records: Records, runs: Sequence[Row]) -> Tables:
    """Return every public table: name to schema and rows (in any order; publishing sorts)."""
    ended = [_ended(lock, case, records) for case in plan.cases]
    by_volume = {one.case.volume_key: one for one in ended}
    volumes = [_volume_row(row, by_volume.get(row["volume_key"]), plan) for row in index.volumes]
    instances = _instance_rows(index, by_volume, plan)
    features = [row for one in ended for row in _feature_rows(lock, one)]
    return {
        "instances": (schemas.INSTANCES, instances),
        "members": (schemas.MEMBERS, list(index.members)),
        "series": (schemas.SERIES, list(index.series)),
        "volumes": (schemas.VOLUMES, volumes),
        "regions": (schemas.REGIONS, [row for one in ended for row in _region_rows(one)]),
        "features": (features_schema(lock.recipe.feature_columns()), features),
        "feature_dictionary": (schemas.FEATURE_DICTIONARY, _dictionary_rows(lock)),
        "scores": (schemas.SCORES, [row for one in ended for row in _score_rows(one)]),
        "quarantine": (schemas.QUARANTINE, _quarantine_rows(instances, volumes, ended)),
        "cases": (schemas.CASES, [_case_row(one) for one in ended]),
        "runs": (schemas.RUNS, list(runs)),
    }


def region_key(volume_key: str, row: Mapping[str, Any]) -> str:
    """Return the identity of a region: its volume, source, name and label."""
    return digest([volume_key, row["source"], row.get("name", row.get("region")), row["label"]])[:32]


def _ended(lock: LockedRecipe, case: Case, records: Records) -> _Ended:
    record = records.case(case.key)
    assert record is not None, "tables are built from a snapshot, where every case has ended"
    if record.status != "done":
        return _Ended(case, record, ())
    content = Content(
        volume=record.content_digest, companions=record.companions_digest, numeric_class=record.numeric_class
    )
    wanted = wanted_products(lock, lock.recipe.route(case.route), content)
    return _Ended(case, record, tuple((one, records.product(one.key)) for one in wanted))


def _identity(one: _Ended) -> Row:
    return {"series_key": one.case.series_key, "volume_key": one.case.volume_key}


def _volume_row(row: Row, one: _Ended | None, plan: Plan) -> Row:
    row = {**row, **{name: _rounded(row[name]) for name in _LENGTHS}}
    if one is None:
        return {**row, "code": row["code"] or plan.skipped.get(row["volume_key"])}
    if not one.products:
        return {**row, "route": one.case.route, "verdict": "refused", "code": one.record.code}
    stored = one.products[0][1].rows[0]
    return {**row, "route": one.case.route, **stored}


def _rounded(values: Sequence[float] | None) -> list[float] | None:
    return None if values is None else [round(value, LENGTH_DIGITS) for value in values]


def _instance_rows(index: IndexRows, by_volume: Mapping[str, _Ended], plan: Plan) -> list[Row]:
    """Return the instances with what became of the volumes they are in."""
    codes: dict[str, set[str]] = {}
    for member in index.members:
        codes.setdefault(member["instance_key"], set()).add(_fate(member["volume_key"], by_volume, plan))
    return [_instance_row(row, codes.get(row["instance_key"])) for row in index.instances]


def _fate(volume_key: str, by_volume: Mapping[str, _Ended], plan: Plan) -> str:
    one = by_volume.get(volume_key)
    if one is None:
        return plan.skipped.get(volume_key, "")
    return "" if one.record.status == "done" else one.record.code


def _instance_row(row: Row, fates: set[str] | None) -> Row:
    if row["outcome"] != "used" or not fates or "" in fates:
        return row
    code = min(fates)
    return {**row, "outcome": "skipped" if code.startswith("S_") else "quarantined", "code": code}


def _region_rows(one: _Ended) -> Iterator[Row]:
    for wanted, product in one.products:
        if wanted.kind == "regions":
            for row in product.rows:
                yield {**_identity(one), "region_key": region_key(one.case.volume_key, row), **row}


def _feature_rows(lock: LockedRecipe, one: _Ended) -> Iterator[Row]:
    route = lock.recipe.route(one.case.route)
    for wanted, product in one.products:
        if wanted.kind != "features" or wanted.extraction is None:
            continue
        for row in product.rows:
            values = {name: math.nan if value is None else value for name, value in row["values"].items()}
            yield {
                **_identity(one),
                "region_key": region_key(one.case.volume_key, row),
                "region": row["region"],
                "image": wanted.extraction.image,
                "extraction": wanted.extraction.name,
                "extraction_digest": route.extraction_digest(wanted.extraction),
                "status": row["status"],
                "code": row["code"],
                **values,
            }


def _score_rows(one: _Ended) -> Iterator[Row]:
    sources = {
        (row["name"], row["label"]): row["source"]
        for wanted, product in one.products
        if wanted.kind == "regions"
        for row in product.rows
    }
    for wanted, product in one.products:
        if wanted.kind != "scores":
            continue
        for row in product.rows:
            source = sources.get((row["region"], row["label"]))
            place = {"source": source, "name": row["region"], "label": row["label"]}
            key = region_key(one.case.volume_key, place) if source is not None else None
            kept = {name: row[name] for name in row if name not in ("region", "label")}
            yield {**_identity(one), "region_key": key, **kept}


def _dictionary_rows(lock: LockedRecipe) -> list[Row]:
    rows = {}
    for route in lock.recipe.routes:
        for extraction in route.features:
            extraction_digest = route.extraction_digest(extraction)
            for column in extraction.op.columns:
                rows[extraction.name, extraction_digest, column.name] = {
                    "extraction": extraction.name,
                    "extraction_digest": extraction_digest,
                    "name": column.name,
                    "family": column.family,
                    "ibsi": column.ibsi or None,
                    "unit": column.unit,
                    "aggregation": column.aggregation or None,
                    "image": extraction.image,
                    "discretisation": _discretisation(extraction.op, column),
                    "compliance": extraction.op.compliance,
                    "low": None if math.isnan(column.low) else column.low,
                    "high": None if math.isnan(column.high) else column.high,
                }
    return list(rows.values())


def _discretisation(extractor: Extractor, column: Column) -> str | None:
    return None if column.family in _UNBINNED else extractor.discretisation or None


def _quarantine_rows(instances: Sequence[Row], volumes: Sequence[Row], ended: Sequence[_Ended]) -> list[Row]:
    rows = [
        quarantine_row(row["instance_key"], "instance", "scan", row["code"])
        for row in instances
        if row["code"] and row["outcome"] in ("quarantined", "used")
    ]
    cases = {one.case.volume_key for one in ended}
    rows += [
        quarantine_row(row["volume_key"], "volume", "assemble", row["code"])
        for row in volumes
        if row["code"] and row["volume_key"] not in cases
    ]
    rows += [row for one in ended for row in _case_quarantine(one)]
    return [row for row in rows if row["severity"] != "info"]


def _case_quarantine(one: _Ended) -> Iterator[Row]:
    if one.record.code:
        yield quarantine_row(one.case.volume_key, "case", one.record.stage, one.record.code)
    found = {(wanted.kind, product.code) for wanted, product in one.products if product.code}
    for stage, code in sorted(found):
        yield quarantine_row(one.case.volume_key, "case", stage, code)


def quarantine_row(subject: str, kind: str, stage: str, code: str) -> Row:
    """Return a ``quarantine`` row: the code's template, never a value."""
    why = reason(code)
    return {
        "subject": subject,
        "subject_kind": kind,
        "stage": stage,
        "code": code,
        "severity": why.severity,
        "message": why.message,
        "remedy": why.remedy,
    }


def _case_row(one: _Ended) -> Row:
    record = one.record
    return {
        **_identity(one),
        "case_key": one.case.key,
        "route": one.case.route,
        "outcome": record.status,
        "code": record.code or None,
        "stage": record.stage,
        "wall_s": record.wall_s,
        "cpu_s": record.cpu_s,
        "peak_bytes": record.peak_bytes,
        "projected_bytes": record.projected_bytes,
        "numeric_class": record.numeric_class,
        "attempts": record.attempts,
        "run": record.run,
    }
