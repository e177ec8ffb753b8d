"""Training samples: feature rows gathered into a matrix that no pseudonym can reorder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from medpipe.contracts.protocols import ScoreInput
from medpipe.errors import ConfigError
from medpipe.keys import array_digest, digest
from medpipe.models.card import Cohort
from medpipe.models.score import number

Row = Mapping[str, Any]
Place = tuple[str, str]

EVERY_COLUMN = "*"
"""Column of a :class:`ScoreInput` that stands for all columns of its extraction."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Samples:
    """One sample per region, in an order of its own content.

    Attributes
    ----------
    x : array of float64, shape (n, p)
        Values; NaN where missing.
    y : array of str, shape (n,)
        Classes.
    groups : array of int64, shape (n,)
        Patients, numbered in order of appearance.
    inputs : tuple of ScoreInput, length p
    extraction_digests : mapping of (image, extraction) to str
    cohort : Cohort
    """

    x: np.ndarray[Any, np.dtype[np.float64]]
    y: np.ndarray[Any, Any]
    groups: np.ndarray[Any, np.dtype[np.int64]]
    inputs: tuple[ScoreInput, ...]
    extraction_digests: Mapping[Place, str]
    cohort: Cohort


@dataclass(slots=True, kw_only=True)
class _Region:
    label: str
    group: str
    values: dict[Place, Mapping[str, float | None]]


def gather(
    rows: Sequence[Row], labels: Sequence[Any], groups: Sequence[Any], *, inputs: Sequence[ScoreInput]
) -> Samples:
    """Gather feature rows into samples.

    Samples are sorted by class and values, and patients numbered in that order, so neither the
    order of the rows nor the key of the pseudonyms changes a model trained on them.

    Parameters
    ----------
    rows : sequence of mapping
        Feature rows: ``region_key``, ``region``, ``image``, ``extraction``,
        ``extraction_digest`` and ``values``. Rows of one ``region_key`` make one sample; rows
        of other regions, images and extractions than the inputs name are left out.
    labels, groups : sequence
        Class and patient of each row.
    inputs : sequence of ScoreInput
        Of one region; a column ``*`` is every column of its extraction.

    Raises
    ------
    ConfigError
        If lengths differ, no row fits, rows of a region disagree, or an extraction comes with
        two digests.
    """
    if not len(rows) == len(labels) == len(groups):
        raise ConfigError("training: rows, labels and groups must be of one length")
    if not inputs or len({item.region for item in inputs}) > 1:
        raise ConfigError("training: inputs must be there and of one region")
    region = inputs[0].region
    places = {(item.image, item.extraction) for item in inputs}
    fitting = [
        (row, label, group)
        for row, label, group in zip(rows, labels, groups, strict=True)
        if row["region"] == region and (row["image"], row["extraction"]) in places
    ]
    if not fitting:
        raise ConfigError(f"training: no row is of region {region!r} and of an image and extraction of the inputs")
    regions = _regions(fitting)
    full = _expand(inputs, regions)
    x = np.array(
        [[number(sample.values.get(_place(item), {}).get(item.column)) for item in full] for sample in regions]
    )
    return _ordered(x, regions, full, _digests([row for row, _, _ in fitting]))


def _place(item: ScoreInput) -> Place:
    return item.image, item.extraction


def _regions(fitting: Sequence[tuple[Row, Any, Any]]) -> list[_Region]:
    found: dict[Any, _Region] = {}
    for row, label, group in fitting:
        if label is None or group is None:
            raise ConfigError("training: a row has no label or no patient; leave it out")
        sample = found.setdefault(row["region_key"], _Region(label=str(label), group=str(group), values={}))
        place = (row["image"], row["extraction"])
        if (sample.label, sample.group) != (str(label), str(group)) or place in sample.values:
            raise ConfigError("training: rows of one region differ in label or patient, or one is doubled")
        sample.values[place] = row["values"]
    return list(found.values())


def _expand(inputs: Sequence[ScoreInput], regions: Sequence[_Region]) -> tuple[ScoreInput, ...]:
    """Return the inputs with ``*`` replaced by the columns found, sorted, each once."""
    full: dict[tuple[Place, str], ScoreInput] = {}
    for item in inputs:
        place = _place(item)
        names = [item.column]
        if item.column == EVERY_COLUMN:
            names = sorted({name for sample in regions for name in sample.values.get(place, ())})
        for name in names:
            full.setdefault(
                (place, name),
                ScoreInput(region=item.region, image=item.image, extraction=item.extraction, column=name),
            )
    return tuple(full.values())


def _digests(rows: Sequence[Row]) -> dict[Place, str]:
    found: dict[Place, str] = {}
    for row in rows:
        place = (row["image"], row["extraction"])
        if found.setdefault(place, row["extraction_digest"]) != row["extraction_digest"]:
            raise ConfigError(f"training: extraction {place[1]!r} comes with two digests; train on one of them")
    return found


def _ordered(
    x: np.ndarray[Any, np.dtype[np.float64]],
    regions: Sequence[_Region],
    inputs: tuple[ScoreInput, ...],
    digests: Mapping[Place, str],
) -> Samples:
    order = sorted(range(len(regions)), key=lambda place: (regions[place].label, x[place].tobytes()))
    numbers: dict[str, int] = {}
    groups = np.array([numbers.setdefault(regions[place].group, len(numbers)) for place in order], dtype=np.int64)
    y = np.array([regions[place].label for place in order])
    x = x[order]
    content = digest(
        {
            "inputs": [[item.region, *_place(item), item.column] for item in inputs],
            "extractions": sorted([*place, value] for place, value in digests.items()),
            "values": array_digest(x),
            "labels": y.tolist(),
            "groups": groups.tolist(),
        }
    )
    cohort = Cohort(digest=content, n_rows=len(order), n_groups=len(numbers))
    return Samples(x=x, y=y, groups=groups, inputs=inputs, extraction_digests=digests, cohort=cohort)
