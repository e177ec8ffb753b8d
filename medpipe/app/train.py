"""``medpipe train``: from the features table and a file of labels to a packaged model."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medpipe.app.models import put_package, refuse_other_kind
from medpipe.contracts.protocols import ScoreInput
from medpipe.errors import ConfigError
from medpipe.lake.lake import Lake
from medpipe.lake.opened import OpenTables
from medpipe.lake.query import open_tables
from medpipe.models.package import Package
from medpipe.models.train import TrainSpec, train
from medpipe.privacy.pseudonyms import Pseudonyms
from medpipe.privacy.secret import load_secret
from medpipe.ranges import own_digits

_IDENTITY = {
    "series_key",
    "volume_key",
    "region_key",
    "region",
    "image",
    "extraction",
    "extraction_digest",
    "status",
    "code",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainRequest:
    """What to train on what.

    Attributes
    ----------
    lake, labels : Path
        The CSV names series by ``series_instance_uid`` (turned into keys with the lake's
        secret key) or ``series_key``, and has the target as a column.
    target, name, region : str
    extractions : tuple of str
        Empty for all.
    algorithm : str
    seed : int
    folds : int
        Folds of the cross-validation; each class needs as many patients.
    key : Path or None
    demonstration : bool
    description : str
    """

    lake: Path
    labels: Path
    target: str
    name: str
    region: str
    extractions: tuple[str, ...] = ()
    algorithm: str = "logistic"
    seed: int = 0
    folds: int = 5
    key: Path | None = None
    demonstration: bool = False
    description: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trained:
    """A model that was trained and kept in the lake."""

    package: Package

    def facts(self) -> dict[str, Any]:
        """Return name, digest, size of the cohort and metrics as plain values."""
        card = self.package.card
        return {
            "name": card.name,
            "digest": self.package.digest,
            "target": card.target,
            "classes": list(card.classes),
            "inputs": len(card.inputs),
            "trained on": f"{card.trained_on.n_rows} regions of {card.trained_on.n_groups} patients",
            "held-out patients": dict(card.metrics),
        }


def train_model(request: TrainRequest) -> Trained:
    """Train on a lake's features, grouped by patient, and keep the package in the lake.

    Raises
    ------
    ConfigError
        If labels or features do not fit each other, there are too few patients, or a network has the name.
    """
    lake = Lake.open(request.lake, secret=load_secret(request.key))
    refuse_other_kind(lake, request.name, network=False)
    labels = _labels(request, Pseudonyms(load_secret(request.key)))
    tables = open_tables(lake)
    series = tables.read("series", columns=["series_key", "patient_key"]).to_pylist()
    patients = {row["series_key"]: row["patient_key"] for row in series if own_digits(row["series_key"]) in labels}
    rows = _feature_rows(tables, request, labels)
    if not rows:
        raise ConfigError(f"no features of region {request.region!r} belong to a series of {request.labels.name}")
    package = train(
        rows,
        [labels[own_digits(row["series_key"])] for row in rows],
        [patients[row["series_key"]] for row in rows],
        spec=_spec(request, rows),
    )
    put_package(lake, package)
    return Trained(package=package)


def _labels(request: TrainRequest, pseudonyms: Pseudonyms) -> dict[str, str]:
    """Return the labels by the digits of series keys that do not depend on the study, which labels need not name."""
    try:
        with request.labels.open(encoding="utf-8-sig", newline="") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ConfigError(f"labels {request.labels.name}: cannot be read ({type(error).__name__})") from None
    columns = set(rows[0]) if rows else set()
    named = next((name for name in ("series_instance_uid", "series_key") if name in columns), None)
    if named is None or request.target not in columns:
        raise ConfigError(
            f"labels {request.labels.name}: columns series_instance_uid or series_key, and {request.target}, are needed"
        )
    found = {}
    for row in rows:
        if row[request.target] and row[named]:
            key = row[named] if named == "series_key" else pseudonyms.key("series", row[named])
            found[own_digits(key)] = row[request.target]
    return found


def _feature_rows(tables: OpenTables, request: TrainRequest, labels: Mapping[str, str]) -> list[dict[str, Any]]:
    rows = []
    columns = _columns(tables)
    for row in tables.each("features", {"region": request.region}):
        wanted = not request.extractions or row["extraction"] in request.extractions
        if own_digits(row["series_key"]) in labels and wanted and row["status"] != "empty":
            values = {name: row[name] for name in columns[row["extraction_digest"]]}
            rows.append({**{name: row[name] for name in _IDENTITY}, "values": values})
    return rows


def _columns(tables: OpenTables) -> dict[str, list[str]]:
    """Return the columns of each extraction: the others of a row are empty by construction."""
    found: dict[str, list[str]] = {}
    for row in tables.rows("feature_dictionary", {}):
        found.setdefault(row["extraction_digest"], []).append(row["name"])
    return found


def _spec(request: TrainRequest, rows: list[dict[str, Any]]) -> TrainSpec:
    places = sorted({(row["image"], row["extraction"]) for row in rows})
    return TrainSpec(
        name=request.name,
        target=request.target,
        inputs=tuple(
            ScoreInput(region=request.region, image=image, extraction=extraction, column="*")
            for image, extraction in places
        ),
        algorithm=request.algorithm,  # type: ignore[arg-type]  # TrainSpec checks it
        seed=request.seed,
        folds=request.folds,
        demonstration=request.demonstration,
        description=request.description,
    )
