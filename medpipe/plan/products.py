"""Which products a case stands on, and their keys.

Keys chain on content: volume, image, regions, features, scores. The planner uses them to see
what is missing, the case to see what to compute, the table builder to find the rows again.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from medpipe.contracts.records import ProductKind
from medpipe.keys import product_key
from medpipe.ops.registry import spec_of
from medpipe.recipe.lock import LockedRecipe, ModelPin
from medpipe.recipe.recipe import Extraction, Route

STORE_VERSION = 2
"""Raised when volumes are written in another way."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """What a case read, by digest.

    Attributes
    ----------
    volume : str
        Digest of voxels, geometry and unit.
    companions : str
        Digest of the companions' masks and names, or an empty string if the route uses none.
    numeric_class : str
        Class whose arithmetic makes the products.
    """

    volume: str
    companions: str
    numeric_class: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A product a case stands on.

    Attributes
    ----------
    kind, key : str
    region_source : int
        Place of the region source in the route (regions and features; else -1).
    extraction : Extraction or None
        For features.
    model : ModelPin or None
        For scores.
    """

    kind: ProductKind
    key: str
    region_source: int = -1
    extraction: Extraction | None = None
    model: ModelPin | None = None


def wanted_products(lock: LockedRecipe, route: Route, content: Content) -> tuple[Wanted, ...]:
    """Return every product of a case in order: volume, regions, features, scores."""
    regions = tuple(_regions(route, content))
    features = tuple(_features(route, content, regions))
    scores = tuple(_scores(lock, route, features))
    return (Wanted(kind="volume", key=volume_product_key(route, content)), *regions, *features, *scores)


def volume_product_key(route: Route, content: Content) -> str:
    """Return the key of a stored volume, with the final image where the recipe keeps it."""
    keeps_final = "final" in route.keep
    return product_key(
        "volume",
        content=content.volume,
        keep=sorted(route.keep),
        chain=route.chain if keeps_final else [],
        numeric_class=content.numeric_class if keeps_final else "",
        store=STORE_VERSION,
    )


def _regions(route: Route, content: Content) -> Iterator[Wanted]:
    for place, op in enumerate(route.regions):
        key = product_key(
            "regions",
            content=content.volume,
            companions=content.companions if op.uses_companions else "",
            op=spec_of(op),
            numeric_class=content.numeric_class,
        )
        yield Wanted(kind="regions", key=key, region_source=place)


def _features(route: Route, content: Content, regions: tuple[Wanted, ...]) -> Iterator[Wanted]:
    for extraction in route.features:
        for found in regions:
            key = product_key(
                "features",
                content=content.volume,
                regions=found.key,
                extraction=extraction.spec(route.chain),
                numeric_class=content.numeric_class,
            )
            yield Wanted(kind="features", key=key, region_source=found.region_source, extraction=extraction)


def _scores(lock: LockedRecipe, route: Route, features: tuple[Wanted, ...]) -> Iterator[Wanted]:
    named = [(entry.extraction.name if entry.extraction else "", entry.key) for entry in features]
    for pin in lock.models[route.name]:
        # of extractions the model does not name only the regions count, and those are in every one
        used = [list(entry) for entry in named if entry[0] in pin.extractions] or [list(entry) for entry in named]
        yield Wanted(kind="scores", key=product_key("scores", inputs=used, model=pin.digest, name=pin.name), model=pin)
