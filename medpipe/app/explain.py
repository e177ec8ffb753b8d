"""``medpipe explain``: from a row back to files, parameters, code and models."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

from medpipe.errors import ConfigError
from medpipe.lake.lake import Lake
from medpipe.lake.query import read_table
from medpipe.lake.runs import Run

_KEYS = ("volume_key", "region_key", "series_key", "instance_key")
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
    kind, row = _find(lake, key)
    if kind in ("series_key", "instance_key"):
        return {kind: row[kind], "row": row, "volumes": _volumes_of(lake, kind, row[kind])}
    volume = _one(lake, "volumes", "volume_key", row["volume_key"])
    facts: dict[str, Any] = {kind: row[kind], "volume": volume}
    if kind == "region_key":
        facts["region"] = row
        facts["features"] = _features(lake, row["region_key"], column)
    facts["read from"] = _origin(lake, volume["volume_key"])
    facts["computed by"] = _computation(lake, volume["volume_key"], volume["route"])
    facts["scores"] = _scores(lake, kind, row)
    return facts


def _find(lake: Lake, key: str) -> tuple[str, dict[str, Any]]:
    if not re.fullmatch(r"[0-9a-f]{6,64}", key):
        raise ConfigError(f"{key!r} is no key: 6 to 64 lower-case hexadecimal digits are expected")
    found = [(kind, row) for kind in _KEYS for row in _rows(lake, _HOMES[kind]) if str(row[kind]).startswith(key)]
    if not found:
        raise ConfigError(f"{key}: no volume, region, series or instance of the published tables has this key")
    if len(found) > 1:
        raise ConfigError(f"{key}: {len(found)} rows have keys that begin so; give more digits")
    return found[0]


def _rows(lake: Lake, table: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = read_table(lake, table).to_pylist()
    return rows


def _one(lake: Lake, table: str, column: str, value: Any) -> dict[str, Any]:
    return next(row for row in _rows(lake, table) if row[column] == value)


def _volumes_of(lake: Lake, kind: str, key: str) -> list[str]:
    if kind == "series_key":
        return [row["volume_key"] for row in _rows(lake, "volumes") if row["series_key"] == key]
    return sorted({row["volume_key"] for row in _rows(lake, "members") if row["instance_key"] == key})


def _features(lake: Lake, region_key: str, column: str | None) -> dict[str, Any]:
    dictionary = {(row["extraction_digest"], row["name"]): row for row in _rows(lake, "feature_dictionary")}
    facts: dict[str, Any] = {}
    for row in _rows(lake, "features"):
        if row["region_key"] != region_key:
            continue
        names = [name for digest, name in dictionary if digest == row["extraction_digest"]]
        if column is not None and column not in names:
            continue
        entry = {"image": row["image"], "status": row["status"], "extraction_digest": row["extraction_digest"]}
        if column is None:
            entry["columns"] = len(names)
        else:
            entry |= {"value": row[column], "dictionary": dictionary[row["extraction_digest"], column]}
        facts[row["extraction"]] = entry
    if column is not None and not facts:
        raise ConfigError(f"column {column!r}: no extraction of this region has it (see feature_dictionary)")
    return facts


def _origin(lake: Lake, volume_key: str) -> dict[str, Any]:
    instances = {row["instance_key"]: row for row in _rows(lake, "instances")}
    members = sorted(
        (row["index"], row["instance_key"]) for row in _rows(lake, "members") if row["volume_key"] == volume_key
    )
    keys = list(dict.fromkeys(key for _, key in members))
    shown = [instances[key]["path"] or key for key in keys]
    return {"instances": len(keys), "in order": shown if len(shown) <= 12 else [*shown[:6], "...", *shown[-6:]]}


def _computation(lake: Lake, volume_key: str, route: str | None) -> dict[str, Any]:
    case = next((row for row in _rows(lake, "cases") if row["volume_key"] == volume_key), None)
    if case is None or route is None:
        return {"case": "none: the volume was left out or refused"}
    # the run that published these tables: the case's own may have been killed, or be another recipe's
    published = _rows(lake, "runs")[-1]
    lock = tomllib.loads(Run(lake, published["run"]).lock())
    return {
        "case": case["case_key"],
        "run": case["run"],
        "recipe": f"{published['recipe']} ({published['recipe_digest'][:16]})",
        "route": route,
        "image ops": lock["resolved"][route]["image"],
        "regions": lock["resolved"][route]["regions"],
        "extractions": lock["resolved"][route]["features"],
        "models": lock["models"].get(route, []),
        "numeric class": case["numeric_class"],
        "libraries": Run(lake, case["run"]).info().get("versions"),
    }


def _scores(lake: Lake, kind: str, row: dict[str, Any]) -> list[str]:
    return [
        f"{score['model']} ({score['model_digest'][:16]}) {score['target']}={score['class']}: {score['value']}"
        for score in _rows(lake, "scores")
        if score[kind] == row[kind]
    ]
