"""Rows of ``feature_dictionary``: what each feature column of a recipe means."""

from __future__ import annotations

import math
from typing import Any

from medpipe.contracts.protocols import Extractor
from medpipe.recipe.lock import LockedRecipe
from medpipe.types import Column


def dictionary_rows(lock: LockedRecipe) -> list[dict[str, Any]]:
    """Return a row for each feature column of each extraction."""
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
                    "discretisation": _discretisation(_measured_by(extraction.op, column), column),
                    "compliance": _measured_by(extraction.op, column).compliance,
                    "low": None if math.isnan(column.low) else column.low,
                    "high": None if math.isnan(column.high) else column.high,
                    "filter": column.filter or None,
                    "filter_ibsi": column.filter_ibsi or None,
                }
    return list(rows.values())


def _measured_by(extractor: Extractor, column: Column) -> Extractor:
    """Return the settings behind a column: those for response maps where it is measured on one."""
    on_maps: Extractor | None = getattr(extractor, "on_maps", None) if column.filter else None
    return extractor if on_maps is None else on_maps


def _discretisation(extractor: Extractor, column: Column) -> str | None:
    """Return how the levels of a column's family are made, where an extractor tells families apart."""
    of_family = getattr(extractor, "discretisation_of", None)
    return (extractor.discretisation if of_family is None else of_family(column.family)) or None
