"""``medpipe fit``: from the landmarks a run observed to a standard that recipes pin."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import Any

from medpipe.app.standards import check_fit_name
from medpipe.app.unregister import recipes_pinning
from medpipe.errors import ConfigError
from medpipe.keys import digest
from medpipe.lake.fits import lake_fits, put_fit
from medpipe.lake.lake import Lake
from medpipe.lake.query import open_tables
from medpipe.lake.runs import run_before
from medpipe.ops.extract_landmarks import Landmarks
from medpipe.ops.fitting import KINDS, NYUL, freeze, merge, observe
from medpipe.ops.registry import spec_of
from medpipe.recipe.lock import read_lock
from medpipe.recipe.recipe import Extraction, Route
from medpipe.recipe.standards import Standard

REGION = "whole"
"""Region whose landmarks are those the ops look at."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FitRequest:
    """What to fit of what.

    Attributes
    ----------
    lake : Path
    recipe : str
        Name of a recipe that was run, with an extraction by the op ``landmarks`` of the region
        ``whole``. Whom its run was limited to is the cohort.
    extraction, name : str
        The extraction, and what the fit is called.
    kind : str
        See :data:`medpipe.ops.fitting.KINDS`.
    refit : bool
        Whether another fit of this name may become the latest.
    """

    lake: Path
    recipe: str
    extraction: str
    name: str
    kind: str = NYUL
    refit: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Fitted:
    """A fit that is in the lake.

    Attributes
    ----------
    name : str
    standard : Standard
    skipped : int
        Images without landmarks: constant or empty ones, maps of quantities.
    copies : int
        Images equal to one that was counted.
    is_new : bool
        Whether it became the latest of its name.
    rekeyed : tuple of str
        Recipes whose last run took the fit that was the latest: their next run computes anew what
        comes after it, unless they name a digest.
    """

    name: str
    standard: Standard
    skipped: int
    copies: int
    is_new: bool
    rekeyed: tuple[str, ...]

    def facts(self) -> dict[str, Any]:
        """Return what was fitted as plain values."""
        return {
            "name": self.name,
            "digest": self.standard.digest,
            "kind": self.standard.kind,
            "images": self.standard.count,
            "cohort": self.standard.cohort,
            "without landmarks": self.skipped,
            "copies of others": self.copies,
            "values": list(self.standard.values),
            "new": self.is_new,
            "recipes it will re-key": list(self.rekeyed),
        }


def fit_standard(request: FitRequest) -> Fitted:
    """Merge what the last run of a recipe observed, and keep the fit in the lake.

    Raises
    ------
    ConfigError
        If there are no observations, none of whole images, or a fit of this name is there and ``refit``
        is not set.
    """
    check_fit_name(request.name)
    if request.kind not in KINDS:
        raise ConfigError(f"--kind: {request.kind!r} is none of {', '.join(KINDS)}")
    lake = Lake.open(request.lake)
    route, extraction = _observing(lake, request)
    op = extraction.op
    assert isinstance(op, Landmarks)
    found, skipped, copies = _observations(lake, request, route.extraction_digest(extraction), op.names)
    if not found:
        raise ConfigError(f"no image of recipe {request.recipe} has landmarks of the region {REGION!r}")
    state = reduce(merge, (observe(row, kind=request.kind) for row in found.values()))
    standard = Standard(
        kind=request.kind,
        percentiles=op.percentiles,
        values=freeze(state, kind=request.kind),
        count=state.count,
        cohort=digest(sorted(found)),
        chain=tuple(route.chain) if extraction.image == "final" else (),
    )
    named = (entry for entry in lake_fits(lake) if entry[0] == request.name and _order(entry))
    latest = max(named, key=_order, default=None)
    rekeyed = () if latest is None or latest[1] == standard.digest else recipes_pinning(lake, {latest[1]})
    if latest is not None and latest[1] != standard.digest and not request.refit:
        takers = f"; it re-keys {', '.join(rekeyed)}" if rekeyed else ""
        raise ConfigError(
            f"fit {request.name} is there already ({latest[1][:12]}), of other images or settings: choose another name, "
            f"or make this one the latest with --refit{takers}"
        )
    is_new = put_fit(lake, standard.to_json(), name=request.name)
    return Fitted(name=request.name, standard=standard, skipped=skipped, copies=copies, is_new=is_new, rekeyed=rekeyed)


def _order(entry: tuple[str, str, int]) -> int:
    return entry[2]


def _observing(lake: Lake, request: FitRequest) -> tuple[Route, Extraction]:
    run = run_before(lake, request.recipe)
    if run is None:
        raise ConfigError(f"recipe {request.recipe!r} was not run in this lake")
    routes = read_lock(run.lock()).recipe.routes
    each = [(route, one) for route in routes for one in route.features if isinstance(one.op, Landmarks)]
    named = [(route, one) for route, one in each if one.name == request.extraction]
    if not named:
        there = ", ".join(sorted({one.name for _, one in each})) or "none"
        raise ConfigError(f"recipe {request.recipe} has no extraction {request.extraction!r} by landmarks ({there})")
    if len({route.extraction_digest(one) for route, one in named}) > 1:
        raise ConfigError(f"extraction {request.extraction}: routes of {request.recipe} observe it in different ways")
    for route, one in named:
        if one.beside is not None:
            raise ConfigError(
                f"extraction {request.extraction}: it observes the companion image {one.image!r}; fit a route whose own "
                "images these are"
            )
        for spec in (spec_of(source) for source in route.regions if source.name == REGION):
            if spec["op"] != REGION or "then" in spec:
                raise ConfigError(
                    f"route {route.name} of {request.recipe}: its region {REGION!r} is not what the op {REGION} gives"
                )
    return named[0]


def _observations(
    lake: Lake, request: FitRequest, extraction_digest: str, names: Sequence[str]
) -> tuple[dict[str, list[float]], int, int]:
    """Return landmarks by the content of the image, how many images have none, and how many are copies."""
    tables = open_tables(lake, request.recipe)
    volumes = tables.read("volumes", columns=["volume_key", "content_digest"]).to_pylist()
    contents = {row["volume_key"]: row["content_digest"] for row in volumes}
    found: dict[str, list[float]] = {}
    skipped = copies = 0
    where = {"extraction": request.extraction, "extraction_digest": extraction_digest, "region": REGION}
    for row in tables.each("features", where):
        landmarks = [row[name] for name in names]
        if any(value is None or math.isnan(value) for value in landmarks) or not landmarks[0] < landmarks[-1]:
            skipped += 1
        elif contents[row["volume_key"]] in found:
            copies += 1
        else:
            found[contents[row["volume_key"]]] = landmarks
    return found, skipped, copies
