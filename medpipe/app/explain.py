"""``medpipe explain``: from a row back to files, parameters, code and models."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

from medpipe.errors import ConfigError
from medpipe.lake.lake import Lake
from medpipe.lake.opened import OpenTables
from medpipe.lake.query import open_tables
from medpipe.lake.runs import Run
from medpipe.recipe.preferences import coverage_mm, thickness_mm

Row = dict[str, Any]

_PAIR = (
    "status",
    "code",
    "method",
    "matrix_lps",
    "overlap",
    "rotation_deg",
    "translation_mm",
    "metric_before",
    "metric_after",
    "inverse_mm",
    "store",
)
"""What the table of registrations tells of a pair beside which volumes it is."""

_HOMES = {"volume_key": "volumes", "region_key": "regions", "series_key": "series", "instance_key": "instances"}


def explain_key(root: Path, key: str, *, column: str | None = None) -> dict[str, Any]:
    """Return what stands behind a key of the tables, as nested facts.

    Parameters
    ----------
    root : Path
        The lake.
    key : str
        A volume, region, series or instance key, or its first digits (at least 6).
    column : str, optional
        A feature column to follow; all of a region's extractions if left out.

    Raises
    ------
    ConfigError
        If no row, or more than one, has such a key.
    """
    lake = Lake.open(root)
    tables = open_tables(lake)
    kind, row = _find(tables, key)
    if kind in ("series_key", "instance_key"):
        return {kind: row[kind], "row": row, "volumes": _volumes_of(tables, kind, row)}
    (volume,) = tables.rows("volumes", {"volume_key": row["volume_key"]})
    facts: dict[str, Any] = {kind: row[kind], "volume": volume}
    if kind == "region_key":
        facts["region"] = row
        facts["features"] = _features(tables, row, column)
    facts |= _choice(tables, volume)
    facts |= _set_aside(tables, volume)
    facts["read from"] = _origin(tables, volume)
    facts["computed by"] = _computation(lake, tables, volume)
    facts |= _pairs(lake, tables, volume)
    facts["scores"] = _scores(tables, kind, row)
    return facts


def _find(tables: OpenTables, key: str) -> tuple[str, Row]:
    if not re.fullmatch(r"[0-9a-f]{6,64}", key):
        raise ConfigError(f"{key!r} is no key: 6 to 64 lower-case hexadecimal digits are expected")
    found = [
        (kind, row)
        for kind, table in _HOMES.items()
        for row in tables.starting(table, kind, key, columns=[kind, "series_key"])
    ]
    if not found:
        raise ConfigError(f"{key}: no volume, region, series or instance of the published tables has this key")
    if len(found) > 1:
        raise ConfigError(f"{key}: {len(found)} rows have keys that begin so; give more digits")
    kind, place = found[0]
    (row,) = tables.rows(_HOMES[kind], {name: value for name, value in place.items() if value is not None})
    return kind, row


def _volumes_of(tables: OpenTables, kind: str, row: Row) -> list[str]:
    if row["series_key"] is None:
        return []
    table = "volumes" if kind == "series_key" else "members"
    where = {"series_key": row["series_key"], kind: row[kind]}
    return sorted({found["volume_key"] for found in tables.rows(table, where, columns=["volume_key"])})


def _features(tables: OpenTables, region: Row, column: str | None) -> dict[str, Any]:
    dictionary = {(row["extraction_digest"], row["name"]): row for row in tables.rows("feature_dictionary", {})}
    facts: dict[str, Any] = {}
    for row in tables.rows("features", {"volume_key": region["volume_key"], "region_key": region["region_key"]}):
        names = [name for digest, name in dictionary if digest == row["extraction_digest"]]
        if column is not None and column not in names:
            continue
        entry = {name: row[name] for name in ("image", "status", "code", "extraction_digest") if row[name] is not None}
        if column is None:
            entry["columns"] = len(names)
        else:
            entry |= {"value": row[column], "dictionary": dictionary[row["extraction_digest"], column]}
        facts[row["extraction"]] = entry
    if column is not None and not facts:
        raise ConfigError(f"column {column!r}: no extraction of this region has it (see feature_dictionary)")
    return facts


def _choice(tables: OpenTables, volume: Row) -> dict[str, Any]:
    """Return which volume was chosen instead of one, what decided, and what both of them are."""
    if volume["chosen_instead"] is None:
        return {}
    # the chosen one may be of another study of the patient, in another range
    found = tables.rows("volumes", {"volume_key": volume["chosen_instead"]})
    sides = {"this one": volume, **({"the chosen one": found[0]} if found else {})}
    return {
        "not chosen": {
            "chosen instead": volume["chosen_instead"],
            "decided by": volume["decided_by"],
            **{side: _measures(tables, one) for side, one in sides.items()},
        }
    }


def _measures(tables: OpenTables, volume: Row) -> dict[str, Any]:
    series = tables.rows("series", {"series_key": volume["series_key"]})
    row = {**(series[0] if series else {}), **volume}
    said = ("kernel", "kernel_class", "contrast", "derived", "study_day", "lossy", "verdict", "n_missing")
    return {
        "thickness_mm": thickness_mm(row),
        "coverage_mm": coverage_mm(row),
        "slices": volume["shape"][-3],
        **{name: row.get(name) for name in said},
    }


def _set_aside(tables: OpenTables, volume: Row) -> dict[str, Any]:
    """Return what of a volume could not be made, or is to be known of it, stage by stage."""
    rows = tables.rows("quarantine", {"series_key": volume["series_key"], "subject": volume["volume_key"]})
    told = {f"{row['stage']}, {row['code']}": row["message"] for row in rows}
    return {"set aside": dict(sorted(told.items()))} if told else {}


def _origin(tables: OpenTables, volume: Row) -> dict[str, Any]:
    series = {"series_key": volume["series_key"]}
    members = tables.rows("members", {**series, "volume_key": volume["volume_key"]}, columns=["index", "instance_key"])
    ordered = sorted((row["index"], row["instance_key"]) for row in members)
    paths = {
        row["instance_key"]: row["path"] for row in tables.rows("instances", series, columns=["instance_key", "path"])
    }
    keys = list(dict.fromkeys(key for _, key in ordered))
    shown = [paths[key] or key for key in keys]
    return {"instances": len(keys), "in order": shown if len(shown) <= 12 else [*shown[:6], "...", *shown[-6:]]}


def _computation(lake: Lake, tables: OpenTables, volume: Row) -> dict[str, Any]:
    cases = tables.rows("cases", {"volume_key": volume["volume_key"]})
    route = volume["route"]
    if not cases or route is None:
        return {"case": "none: the volume was left out or refused"}
    published, lock = _published(lake, tables)
    return {
        "case": cases[0]["case_key"],
        "run": cases[0]["run"],
        "recipe": f"{published['recipe']} ({published['recipe_digest'][:16]})",
        "route": route,
        "image ops": lock["resolved"][route]["image"],
        "regions": lock["resolved"][route]["regions"],
        "extractions": lock["resolved"][route]["features"],
        "models": lock["models"].get(route, []),
        "numeric class": cases[0]["numeric_class"],
        **{name: cases[0][name] for name in ("device", "code") if cases[0].get(name) is not None},
        "libraries": Run(lake, cases[0]["run"]).info().get("versions"),
    }


def _published(lake: Lake, tables: OpenTables) -> tuple[Row, dict[str, Any]]:
    """Return the run that published the tables, and its lock: a case's own run may be killed, or of another recipe."""
    published = tables.rows("runs", {})[-1]
    return published, tomllib.loads(Run(lake, published["run"]).lock())


def _pairs(lake: Lake, tables: OpenTables, volume: Row) -> dict[str, Any]:
    """Return the companion images of a volume, how each lies to it and what shows it; and what it is one of."""
    facts: dict[str, Any] = {}
    pairs = tables.rows("registrations", {"volume_key": volume["volume_key"]})
    if pairs:
        route = _published(lake, tables)[1]["resolved"][volume["route"]]
        specs = {one["name"]: one for one in route["companions"]}
        views = tables.rows("views", {"volume_key": volume["volume_key"]}, columns=["view", "image"])
        facts["companion images"] = {
            pair["companion"]: {
                **_pair(tables, pair, specs[pair["companion"]]),
                "shown by": sorted({view["view"] for view in views if view["image"] == pair["companion"]}),
                **_looked_at_by(route, pair["companion"]),
            }
            for pair in sorted(pairs, key=lambda pair: str(pair["companion"]))
        }
    beside = tables.rows("registrations", {"companion_volume_key": volume["volume_key"]})
    if beside:
        facts["companion image of"] = {pair["volume_key"]: pair["companion"] for pair in beside}
    return facts


def _looked_at_by(route: Row, name: str) -> dict[str, list[str]]:
    """Return the extractions and region sources of a route that a companion image is for, where there are any."""
    measures = [one["name"] for one in route["features"] if one.get("companion", {}).get("name") == name]
    sources = [one.get("name", one["op"]) for one in route["regions"] if one.get("image") == name]
    return {what: found for what, found in (("measured by", measures), ("regions found on it", sources)) if found}


def _pair(tables: OpenTables, pair: Row, spec: Row) -> dict[str, Any]:
    key = pair["companion_volume_key"]
    numbers = {name: pair[name] for name in _PAIR if pair[name] is not None}
    facts = {"volume_key": key, "aligned by": spec["align"], "image ops": spec["image"], **numbers}
    if key is None:
        return facts
    (companion,) = tables.rows("volumes", {"volume_key": key})
    facts |= {name: companion[name] for name in ("series_key", "modality", "verdict")}
    return {**facts, "read from": _origin(tables, companion)}


def _scores(tables: OpenTables, kind: str, row: Row) -> list[str]:
    return [
        f"{score['model']} ({score['model_digest'][:16]}) {score['target']}={score['class']}: {score['value']}"
        for score in tables.rows("scores", {"volume_key": row["volume_key"], kind: row[kind]})
    ]
