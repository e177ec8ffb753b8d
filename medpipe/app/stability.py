"""``medpipe stability``: how far features stay what they are when image and outline might have been otherwise."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from itertools import groupby
from typing import Any

import numpy as np

from medpipe.contracts.schema import Field, TableSchema
from medpipe.errors import ConfigError
from medpipe.kernels.agreement import KINDS, Agreement
from medpipe.lake.arrow import to_table
from medpipe.lake.lake import Lake
from medpipe.lake.opened import OpenTables
from medpipe.lake.query import open_tables

Row = dict[str, Any]
Group = tuple[tuple[str, ...], int]
"""Values of the columns that name a group, and how often each subject was measured."""

_GROUP = ("extraction", "extraction_digest", "image", "region", "perturbation")
_SUBJECT = ("region_key", *_GROUP)
_MEANT = {
    "1_1": "one measurement, the times drawn anew for each subject",
    "2_1": "one measurement, the times the same for all and drawn of many",
    "3_1": "one measurement, the times the same for all and no others meant",
    "1_k": "the mean of all times, drawn anew for each subject",
    "2_k": "the mean of all times, the same for all and drawn of many",
    "3_k": "the mean of all times, the same for all and no others meant",
}

STABILITY = TableSchema(
    "stability",
    1,
    "a feature of an extraction, a region and a perturbation",
    (
        Field("extraction", "string", "name of the extraction in the recipe"),
        Field("extraction_digest", "string", "its digest"),
        Field("image", "string", "image measured"),
        Field("region", "string", "name of the regions"),
        Field("perturbation", "string", "name of the perturbation in the recipe"),
        Field("feature", "string", "column of perturbed"),
        Field("subjects", "int64", "regions with a value at all times"),
        Field("repeats", "int64", "times"),
        *(Field(f"icc_{kind}", "float64", _MEANT[kind]) for kind in KINDS),
        *(
            Field(f"icc_{kind}_{end}", "float64", f"{end} end of its 95 % interval")
            for kind in ("1_1", "3_1")
            for end in ("lower", "upper")
        ),
    ),
    (*_GROUP, "feature", "repeats"),
)
"""The table that :func:`stability` makes."""


def stability(lake: Lake, *, recipe: str | None = None) -> Any:
    """Return how well the times agree that a feature was measured of perturbed images.

    Parameters
    ----------
    lake : Lake
    recipe : str, optional
        The recipe whose last run is asked; the lake's latest tables without one.

    Returns
    -------
    pyarrow.Table
        With the columns of :data:`STABILITY`: intraclass correlations (Shrout and Fleiss,
        doi:10.1037/0033-2909.86.2.420). Subjects are the regions of a name of all images; one without
        a value at some time is left out. NaN with fewer than two subjects or times, and of a feature
        that is the same everywhere.

    Raises
    ------
    ConfigError
        If nothing was measured perturbed.
    """
    tables = open_tables(lake, recipe)
    names = _features(tables)
    groups: dict[Group, Agreement] = {}
    for group, rows in _subjects(tables):
        own = names[group[0][1]]
        if group not in groups:
            groups[group] = Agreement(len(rows), len(own))
        groups[group].add(np.array([[_number(row[name]) for name in own] for row in rows], dtype=np.float64))
    if not groups:
        raise ConfigError("nothing was measured perturbed: give a route of the recipe a table perturb, and run it")
    found = [row for group, sums in groups.items() for row in _rows(group, names[group[0][1]], sums)]
    return to_table(STABILITY, found)


def _features(tables: OpenTables) -> Mapping[str, tuple[str, ...]]:
    """Return the columns of each extraction, by its digest, in the order of the dictionary."""
    found: dict[str, dict[str, None]] = {}
    for row in tables.read("feature_dictionary", columns=["extraction_digest", "name"]).to_pylist():
        found.setdefault(row["extraction_digest"], {})[row["name"]] = None
    return {key: tuple(names) for key, names in found.items()}


def _subjects(tables: OpenTables) -> Iterator[tuple[Group, list[Row]]]:
    """Yield each subject's rows; they follow each other in the table."""

    def subject(row: Row) -> tuple[str, ...]:
        return tuple(row[name] for name in _SUBJECT)

    for key, same in groupby(tables.each("perturbed", {}), key=subject):
        rows = list(same)
        yield (key[1:], len(rows)), rows


def _rows(group: Group, names: tuple[str, ...], sums: Agreement) -> Iterator[Row]:
    coefficients, ends = sums.coefficients(), sums.intervals()
    for place, name in enumerate(names):
        row: Row = dict(zip(_GROUP, group[0], strict=True))
        row |= {"feature": name, "subjects": int(sums.count[place]), "repeats": sums.repeats}
        row |= {f"icc_{kind}": float(values[place]) for kind, values in coefficients.items()}
        for kind, (lower, upper) in ends.items():
            row |= {f"icc_{kind}_lower": float(lower[place]), f"icc_{kind}_upper": float(upper[place])}
        yield row


def _number(value: float | None) -> float:
    return math.nan if value is None else value
