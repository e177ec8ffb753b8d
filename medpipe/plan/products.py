"""Which products a case stands on, and their keys.

Keys chain on content: volume, image, regions, features, scores. The planner uses them to see
what is missing, the case to see what to compute, the table builder to find the rows again.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from medpipe.contracts.records import ProductKind
from medpipe.keys import product_key, rendered
from medpipe.ops.registry import spec_of
from medpipe.recipe.companion import FINAL, Shown
from medpipe.recipe.lock import LockedRecipe, ModelPin
from medpipe.recipe.perturbed import Perturbed
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
    suv : str
        Digest of the factors to uptake, or an empty string if the route uses none.
    region_suv : tuple of str
        The same for each region source, by the uptake it looks at; empty if none does.
    images : tuple of str
        Digests of the companion images, in the route's order; none if nobody has looked at them.
    """

    volume: str
    companions: str
    numeric_class: str
    suv: str = ""
    region_suv: tuple[str, ...] = ()
    images: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A product a case stands on.

    Attributes
    ----------
    kind, key : str
    region_source : int
        Place of the region source in the route (regions and features; else -1).
    companion : int
        Place of the companion image in the route (registrations; else -1).
    view : Shown or None
        For views.
    extraction : Extraction or None
        For features, and features of what was perturbed.
    perturbation : Perturbed or None
        For the latter.
    model : ModelPin or None
        For scores.
    """

    kind: ProductKind
    key: str
    region_source: int = -1
    companion: int = -1
    view: Shown | None = None
    extraction: Extraction | None = None
    perturbation: Perturbed | None = None
    model: ModelPin | None = None


class Products:
    """The products of a route's cases; what does not depend on the case is worked out once.

    Parameters
    ----------
    lock : LockedRecipe
    route : Route
    """

    def __init__(self, lock: LockedRecipe, route: Route) -> None:
        self.route = route
        self.uses_companions = any(op.uses_companions for op in route.regions)
        self._uptakes = [getattr(op, "suv", None) is not None for op in route.regions]
        self.uses_suv = route.suv is not None or any(self._uptakes)
        self._is_uptake = route.suv is not None
        self.uses_images = bool(route.companions)
        self._keeps_final = "final" in route.keep
        self._chain = rendered(route.chain if self._keeps_final else [])
        self._keep = rendered(sorted(route.keep))
        self._regions = [rendered(spec_of(op)) for op in route.regions]
        self._companions = [rendered(one.spec()) for one in route.companions]
        self._seen = {one.name: (place, rendered(one.seen_spec())) for place, one in enumerate(route.companions)}
        self._views = [rendered(one.spec(route.chain)) for one in route.views]
        self._extractions = [rendered(entry.spec(route.measured_chain)) for entry in route.features]
        self._perturbed = [rendered(one.spec()) for one in route.perturb]
        self._models = lock.models[route.name]

    def wanted(self, content: Content) -> tuple[Wanted, ...]:
        """Return every product of a case in order: volume, registrations, regions, features, perturbed, views, scores."""
        registrations = tuple(self._wanted_registrations(content))
        regions = tuple(self._wanted_regions(content))
        features = tuple(self._wanted_features(content, regions))
        perturbed = self._wanted_perturbed(content, regions)
        views = self._wanted_views(content, registrations, regions)
        volume = Wanted(kind="volume", key=self.volume_key(content))
        return (volume, *registrations, *regions, *features, *perturbed, *views, *self._wanted_scores(features))

    def known_content(self, known: tuple[str, str] | None, numeric_class: str) -> Content | None:
        """Return what was read before; None where companions are wanted that nobody has looked at.

        None, too, where factors to uptake are wanted: no record holds them, they are in the headers. Nor
        does one hold what companion images are.

        Parameters
        ----------
        known : (str, str) or None
            Digests of the volume and of its companions.
        numeric_class : str
        """
        if known is None or self.uses_suv or self.uses_images or (self.uses_companions and not known[1]):
            return None
        return Content(
            volume=known[0], companions=known[1] if self.uses_companions else "", numeric_class=numeric_class
        )

    def volume_key(self, content: Content) -> str:
        """Return the key of a stored volume, with the final image where the recipe keeps it."""
        return product_key(
            "volume",
            content=content.volume,
            keep=self._keep,
            chain=self._chain,
            numeric_class=content.numeric_class if self._keeps_final else "",
            store=STORE_VERSION,
            **self._factors(content, is_final=self._keeps_final),
        )

    def _factors(self, content: Content, *, is_final: bool) -> dict[str, str]:
        """Return what the filtered image depends on beside the voxels: it alone is made with factors."""
        return {"suv": content.suv} if self._is_uptake and is_final else {}

    def _region_factors(self, content: Content, place: int) -> dict[str, str]:
        """Return what regions depend on beside the voxels, of a source that looks at uptake."""
        if not self._uptakes[place]:
            return {}
        return {"suv": content.region_suv[place] if content.region_suv else ""}

    def _beside(self, content: Content, image: str) -> dict[str, Any]:
        """Return what is made of a companion image depends on beside both images' ops: its content, and how it lies."""
        if image not in self._seen:
            return {}
        place, spec = self._seen[image]
        return {"companion": content.images[place] if content.images else "", "seen": spec}

    def _measured(self, content: Content, extraction: Extraction) -> dict[str, Any]:
        """Return what an extraction's image depends on beside the voxels and the extraction's spec."""
        factors = self._factors(content, is_final=extraction.image == FINAL)
        return {**factors, **self._beside(content, extraction.image)}

    def _wanted_registrations(self, content: Content) -> Iterator[Wanted]:
        for place, spec in enumerate(self._companions):
            key = product_key(
                "registrations",
                content=content.volume,
                companion=content.images[place] if content.images else "",
                spec=spec,
                numeric_class=content.numeric_class,
                store=STORE_VERSION,
            )
            yield Wanted(kind="registrations", key=key, companion=place)

    def _wanted_views(
        self, content: Content, registrations: tuple[Wanted, ...], regions: tuple[Wanted, ...]
    ) -> Iterator[Wanted]:
        of_image = {one.name: found.key for one, found in zip(self.route.companions, registrations, strict=True)}
        for view, spec in zip(self.route.views, self._views, strict=True):
            key = product_key(
                "views",
                content=content.volume,
                regions=[found.key for found in regions if self._is_shown(view, found)],
                companion=of_image.get(view.image, ""),
                view=spec,
                numeric_class=content.numeric_class,
                **self._factors(content, is_final=view.image == FINAL),
            )
            yield Wanted(kind="views", key=key, view=view)

    def _is_shown(self, view: Shown, found: Wanted) -> bool:
        """Tell whether a view may show regions of a source; of companions anything can be the name."""
        if not view.op.uses_regions:
            return False
        named, source = getattr(view.op, "regions", ()), self.route.regions[found.region_source]
        return not named or source.uses_companions or source.name in named

    def _wanted_regions(self, content: Content) -> Iterator[Wanted]:
        for place, op in enumerate(self.route.regions):
            key = product_key(
                "regions",
                content=content.volume,
                companions=content.companions if op.uses_companions else "",
                op=self._regions[place],
                numeric_class=content.numeric_class,
                **self._region_factors(content, place),
                **self._beside(content, getattr(op, "image", "")),
            )
            yield Wanted(kind="regions", key=key, region_source=place)

    def _wanted_features(self, content: Content, regions: tuple[Wanted, ...]) -> Iterator[Wanted]:
        for extraction, spec in zip(self.route.features, self._extractions, strict=True):
            for found in regions:
                key = product_key(
                    "features",
                    content=content.volume,
                    regions=found.key,
                    extraction=spec,
                    numeric_class=content.numeric_class,
                    **self._measured(content, extraction),
                )
                yield Wanted(kind="features", key=key, region_source=found.region_source, extraction=extraction)

    def _wanted_perturbed(self, content: Content, regions: tuple[Wanted, ...]) -> Iterator[Wanted]:
        for perturbation, how in zip(self.route.perturb, self._perturbed, strict=True):
            for extraction, spec in zip(self.route.features, self._extractions, strict=True):
                if not perturbation.takes(extraction.name):
                    continue
                for found in regions:
                    key = product_key(
                        "perturbed",
                        content=content.volume,
                        regions=found.key,
                        extraction=spec,
                        perturbation=how,
                        numeric_class=content.numeric_class,
                        **self._measured(content, extraction),
                    )
                    yield Wanted(
                        kind="perturbed",
                        key=key,
                        region_source=found.region_source,
                        extraction=extraction,
                        perturbation=perturbation,
                    )

    def _wanted_scores(self, features: tuple[Wanted, ...]) -> Iterator[Wanted]:
        named = [(entry.extraction.name if entry.extraction else "", entry.key) for entry in features]
        for pin in self._models:
            # of extractions the model does not name only the regions count, and those are in every one
            used = [list(entry) for entry in named if entry[0] in pin.extractions] or [list(entry) for entry in named]
            key = product_key("scores", inputs=used, model=pin.digest, name=pin.name)
            yield Wanted(kind="scores", key=key, model=pin)


def wanted_products(lock: LockedRecipe, route: Route, content: Content) -> tuple[Wanted, ...]:
    """Return every product of one case; for many cases of a route keep its :class:`Products`."""
    return Products(lock, route).wanted(content)
