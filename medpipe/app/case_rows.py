"""Rows of what cases computed: regions, features, scores, and the cases themselves."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from medpipe.app.ended import Ended, Row, Shapes
from medpipe.app.quarantine import quarantine_row
from medpipe.contracts.records import ProductKind
from medpipe.keys import digest
from medpipe.ranges import placed

_KEY_DIGITS = 32
_STAGES: Mapping[str, str] = {"volume": "image", "perturbed": "features"}
"""Where a product's code is from, if not from making the product: a volume is stored without its filtered image, and
what cannot be measured perturbed could not be measured at all."""
_CROOKED = frozenset({"W_TILTED", "W_UNEVEN", "E_GAP"})


def region_key(volume_key: str, row: Mapping[str, Any]) -> str:
    """Return the identity of a region: its volume, source, name and label; it lies beside its volume."""
    name = row.get("name", row.get("region"))
    return placed(digest([volume_key, row["source"], name, row["label"]])[:_KEY_DIGITS], volume_key)


def case_rows(one: Ended, shapes: Shapes) -> Iterator[tuple[str, Row]]:
    """Yield the rows of a case, each with the name of its table."""
    keys = _RegionKeys(one)
    yield "cases", _case_row(one)
    for _, product in one.of_kind("regions"):
        for row in product.rows:
            yield "regions", {**one.identity, "region_key": keys.of(row), **row}
    for _, product in one.of_kind("registrations"):
        for row in product.rows:
            yield "registrations", {**one.identity, **_companion(one, row["companion"]), **row}
    for row in _view_rows(one, keys):
        yield "views", row
    for row in _feature_rows(one, shapes, keys):
        yield "features", row
    for row in _feature_rows(one, shapes, keys, kind="perturbed"):
        yield "perturbed", row
    for row in _score_rows(one, keys):
        yield "scores", row
    for row in _quarantine_rows(one):
        yield "quarantine", row


class _RegionKeys:
    """Keys of the regions of a case, each worked out once."""

    def __init__(self, one: Ended) -> None:
        self._volume_key = one.case.volume_key
        self._known: dict[tuple[str, str, int], str] = {}

    def of(self, row: Mapping[str, Any]) -> str:
        """Return the key of a row's region."""
        place = row["source"], row.get("name", row.get("region")), row["label"]
        if place not in self._known:
            self._known[place] = region_key(self._volume_key, row)
        return self._known[place]


def _feature_rows(one: Ended, shapes: Shapes, keys: _RegionKeys, kind: ProductKind = "features") -> Iterator[Row]:
    for wanted, product in one.of_kind(kind):
        if wanted.extraction is None:
            continue
        measured = {
            **one.identity,
            "image": wanted.extraction.image,
            "extraction": wanted.extraction.name,
            "extraction_digest": shapes.extraction_digest(one.case.route, wanted.extraction),
        }
        # slices of the volume say nothing of voxels of another one
        flags = one.flags if wanted.extraction.grid == "image" else ()
        for row in product.rows:
            values = row["values"]
            if None in values.values():
                values = {name: math.nan if value is None else value for name, value in values.items()}
            what = {"region": row["region"], **_told(row, flags)}
            what |= {name: row[name] for name in ("perturbation", "number") if name in row}
            yield {**measured, "region_key": keys.of(row), **what, **values}


def _companion(one: Ended, name: str) -> Row:
    return {
        "companion_volume_key": next((pair.volume_key or None for pair in one.case.paired if pair.name == name), None)
    }


def _view_rows(one: Ended, keys: _RegionKeys) -> Iterator[Row]:
    for _, product in one.of_kind("views"):
        for row in product.rows:
            kept = {name: value for name, value in row.items() if name not in ("region", "label", "source")}
            yield {**one.identity, "region_key": keys.of(row) if "region" in row else None, **kept}


def _told(row: Mapping[str, Any], flags: Sequence[str]) -> Row:
    """Return status and code of a measurement; slices that do not lie where a grid has them put it in doubt."""
    doubt = next((flag for flag in flags if flag in _CROOKED), None) if row["status"] == "ok" else None
    return {"status": "flagged" if doubt else row["status"], "code": doubt or row["code"]}


def _score_rows(one: Ended, keys: _RegionKeys) -> Iterator[Row]:
    sources = {
        (row["name"], row["label"]): row["source"] for _, product in one.of_kind("regions") for row in product.rows
    }
    for _, product in one.of_kind("scores"):
        for row in product.rows:
            source = sources.get((row["region"], row["label"]))
            place = {"source": source, "name": row["region"], "label": row["label"]}
            kept = {name: row[name] for name in row if name not in ("region", "label")}
            yield {**one.identity, "region_key": None if source is None else keys.of(place), **kept}


def _quarantine_rows(one: Ended) -> Iterator[Row]:
    place = {"series_key": one.case.series_key, "modality": one.modality}
    found = {(wanted.kind, product.code, product.op) for wanted, product in one.products}
    found |= {
        (wanted.kind, row.get("code") or "", "") for wanted, product in one.of_kind("regions") for row in product.rows
    }
    ops: dict[tuple[str, str], set[str]] = {}
    for kind, code, op in found:
        if code:
            ops.setdefault((_STAGES.get(kind, kind), code), set()).update({op} - {""})
    for (stage, code), named in sorted(ops.items()):
        yield {**quarantine_row(one.case.volume_key, "case", stage, code, ops=sorted(named)), **place}
    if one.record.status == "done" and one.record.code:
        yield {**quarantine_row(one.case.volume_key, "case", one.record.stage, one.record.code), **place}
    if one.record.status != "done":
        ended = quarantine_row(one.case.volume_key, "case", one.record.stage, one.record.code, severity="error")
        yield {**ended, **place}


def _case_row(one: Ended) -> Row:
    record = one.record
    return {
        **one.identity,
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
        "device": record.device or None,
        "attempts": record.attempts,
        "run": record.run,
        "volumes_made": record.made.get("volume", 0),
        "regions_made": record.made.get("regions", 0),
        "features_made": record.made.get("features", 0),
        "scores_made": record.made.get("scores", 0),
    }
