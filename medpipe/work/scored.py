"""What a model says of the features of a case."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from medpipe.contracts.protocols import Scorer
from medpipe.contracts.records import ProductRecord
from medpipe.keys import finite_or_none
from medpipe.plan.products import Wanted
from medpipe.recipe.recipe import Route

Row = dict[str, Any]


def scored(
    scorer: Scorer, wanted: Sequence[Wanted], records: Mapping[str, ProductRecord], route: Route
) -> tuple[Row, ...]:
    """Return the rows of a model's scores, as JSON values.

    Parameters
    ----------
    scorer : Scorer
    wanted : sequence of Wanted
        What the case stands on; the features among it are what is scored.
    records : mapping of str to ProductRecord
        By key.
    route : Route
    """
    given: list[Row] = []
    for one in wanted:
        if one.kind != "features" or one.extraction is None:
            continue
        place = {
            "image": one.extraction.image,
            "extraction": one.extraction.name,
            "extraction_digest": route.extraction_digest(one.extraction),
        }
        given.extend({**row, **place} for row in records[one.key].rows)
    return tuple(_finite(row) for row in scorer(given))


def _finite(row: Mapping[str, Any]) -> Row:
    return {
        name: finite_or_none(value) if isinstance(value, float) and not math.isfinite(value) else value
        for name, value in row.items()
    }
