"""Rows of ``feature_dictionary``: what each feature column of a recipe means."""

from __future__ import annotations

import math
import re
from typing import Any, Final

from medpipe.contracts.protocols import Extractor
from medpipe.ops.filters.response import ResponseFilter
from medpipe.ops.ibsi_columns import BINNED_FAMILIES, columns_of
from medpipe.ops.pyradiomics_columns import ALIASES
from medpipe.recipe.companion import CompanionImage
from medpipe.recipe.lock import LockedRecipe
from medpipe.types import Column

_BEFORE_FILTERS: Final = ("resample_mm", "round", "range", "outlier_sigma")
"""Parameters of steps that come before a filter where the standard has one."""

_OF_INTENSITIES: Final = frozenset({"morph_com", "morph_integ_int", "morph_moran_i", "morph_geary_c"})
_SHAPES: Final = (
    frozenset(column.name for family in ("morphology", "enclosing") for column in columns_of(family, ()))
    - _OF_INTENSITIES
)
"""Columns that no intensity goes into."""


def dictionary_rows(lock: LockedRecipe) -> list[dict[str, Any]]:
    """Return a row for each feature column of each extraction."""
    rows = {}
    for route in lock.recipe.routes:
        for extraction in route.features:
            extraction_digest = route.extraction_digest(extraction)
            is_of_map = extraction.image == "final" and any(isinstance(op, ResponseFilter) for op in route.image)
            for column in extraction.op.columns:
                op = _measured_by(extraction.op, column)
                low, high = _limits(op, column)
                rows[extraction.name, extraction_digest, column.name] = {
                    "extraction": extraction.name,
                    "extraction_digest": extraction_digest,
                    "name": column.name,
                    "alias": _alias(column),
                    "family": column.family,
                    "ibsi": column.ibsi or None,
                    "unit": _unit(column, extraction.beside),
                    "aggregation": column.aggregation or None,
                    "image": extraction.image,
                    "discretisation": _discretisation(op, column),
                    "compliance": _compliance(op, column, is_of_map=is_of_map),
                    "low": None if math.isnan(low) else low,
                    "high": None if math.isnan(high) else high,
                    "filter": column.filter or None,
                    "filter_ibsi": column.filter_ibsi or None,
                }
    return list(rows.values())


def _unit(column: Column, beside: CompanionImage | None) -> str:
    """Return the unit of a column: no row of ``volumes`` has that of a companion image after its ops."""
    if beside is None or beside.unit is None:
        return column.unit
    unit = beside.unit
    return re.sub(r"\bimage\b(\^\d)?", lambda found: f"({unit}){found[1]}" if found[1] else unit, column.unit)


def _measured_by(extractor: Extractor, column: Column) -> Extractor:
    """Return the settings behind a column: those for response maps where it is measured on one."""
    on_maps: Extractor | None = getattr(extractor, "on_maps", None) if column.filter else None
    return extractor if on_maps is None else on_maps


def _discretisation(extractor: Extractor, column: Column) -> str | None:
    """Return how the levels of a column or its family are made, where an extractor tells them apart."""
    of_column = getattr(extractor, "discretisation_of_column", None)
    if of_column is not None:
        return of_column(column) or None
    of_family = getattr(extractor, "discretisation_of", None)
    return (extractor.discretisation if of_family is None else of_family(column.family)) or None


def _compliance(extractor: Extractor, column: Column, *, is_of_map: bool) -> str:
    """Return whether a column keeps to the standard, where an extractor tells columns apart.

    A filter of the chain comes before what the standard does first: on its map, intensities that
    an extraction interpolates, rounds, re-segments or puts into bins of one width are none of it.
    """
    of_column = getattr(extractor, "compliance_of", None)
    told = str(extractor.compliance if of_column is None else of_column(column))
    if told != "ibsi" or not is_of_map or column.name in _SHAPES:
        return told
    is_changed = any(getattr(extractor, step, None) for step in _BEFORE_FILTERS)
    has_width = getattr(extractor, "bins", None) is None and column.family in BINNED_FAMILIES
    return "deviates" if is_changed or has_width else told


def _limits(extractor: Extractor, column: Column) -> tuple[float, float]:
    """Return between which values a column lies, under its settings where an extractor tells."""
    of_column = getattr(extractor, "limits_of", None)
    return (column.low, column.high) if of_column is None else of_column(column)


def _alias(column: Column) -> str | None:
    """Return what pyradiomics calls a feature: of matrices, that of the one way in which they are joined there."""
    if column.alias:
        return column.alias
    return ALIASES.get(column.ibsi) if not column.filter and column.aggregation in ("", "3D", "3D_avg") else None
