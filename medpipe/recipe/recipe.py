"""Recipes: what is done to which volumes, parsed into ops that are ready to call.

A recipe holds the science only. Where things are and how many workers there are is the
site's business and never enters a key.
"""

from __future__ import annotations

import tomllib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from medpipe.contracts.protocols import Extractor, ImageOp, RegionSource
from medpipe.errors import ConfigError
from medpipe.keys import digest
from medpipe.ops.regions import composed
from medpipe.ops.registry import make, spec_of
from medpipe.ops.suv import Suv
from medpipe.recipe.checking import checked
from medpipe.recipe.companion import (
    FINAL,
    ORIGINAL,
    CompanionImage,
    Shown,
    check_image,
    image_ops,
    parse_companions,
    parse_views,
)
from medpipe.recipe.perturbed import Perturbed, parse_perturbed
from medpipe.recipe.selection import Selection, parse_selections
from medpipe.recipe.shape import ExtractionTable, Grid, RecipeTable, RegionTable, RouteTable
from medpipe.recipe.where import Where, parse_where


@dataclass(frozen=True, slots=True, kw_only=True)
class Extraction:
    """An extractor under its name, with the image it measures.

    Attributes
    ----------
    name : str
        Value of ``features.extraction``.
    image : str
        ``original``, ``final``, or the name of a companion image.
    op : Extractor
    beside : CompanionImage or None
        The companion image, if it is one.
    grid : {"image", "companion"}
        Of a companion image: the grid it is measured on.
    """

    name: str
    image: str
    op: Extractor
    beside: CompanionImage | None = None
    grid: Grid = "image"

    def spec(self, chain: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """Return what the numbers depend on beside image and region: op, image chain, companion image."""
        found: dict[str, Any] = {"op": spec_of(self.op), "image": list(chain) if self.image == FINAL else []}
        if self.beside is not None:
            found["companion"] = {**self.beside.seen_spec(), "grid": self.grid}
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """What a recipe does to the volumes one ``where`` takes."""

    name: str
    where: Where
    image: tuple[ImageOp, ...]
    regions: tuple[RegionSource, ...]
    features: tuple[Extraction, ...]
    models: tuple[str, ...]
    keep: tuple[str, ...]
    companions: tuple[CompanionImage, ...] = ()
    views: tuple[Shown, ...] = ()
    perturb: tuple[Perturbed, ...] = ()

    @property
    def suv(self) -> Suv | None:
        """The op that turns values into uptake, if there is one: it is the first."""
        return next((op for op in self.image if isinstance(op, Suv)), None)

    @property
    def chain(self) -> list[dict[str, Any]]:
        """Specs of the image ops in order."""
        return [spec_of(op) for op in self.image]

    @property
    def measured_chain(self) -> list[dict[str, Any]]:
        """The chain as features of the final image depend on it: with how ops carry regions, where that began late."""
        return [spec_of(op) | _carrying(op) for op in self.image]

    def extraction_digest(self, extraction: Extraction) -> str:
        """Return the digest a model pins its inputs by."""
        return digest(extraction.spec(self.measured_chain))

    def spec(self) -> dict[str, Any]:
        """Return what a case's result depends on (``where`` and the name do not)."""
        return {
            "image": self.chain,
            "regions": [spec_of(op) for op in self.regions],
            "features": [{"name": entry.name, **entry.spec(self.measured_chain)} for entry in self.features],
            "keep": sorted(self.keep),
            # only where there are any: the digests of other routes stay what they were
            **({"companions": [one.spec() for one in self.companions]} if self.companions else {}),
            **({"views": [one.spec(self.chain) for one in self.views]} if self.views else {}),
            **({"perturb": [one.route_spec() for one in self.perturb]} if self.perturb else {}),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """A parsed recipe.

    Attributes
    ----------
    name : str
    routes : tuple of Route
        In order; the first that takes a volume has it.
    source : dict
        The file's tables as read, for the lock.
    selections : tuple of Selection
        In order; the first that takes a volume of a route decides whether it is worked on.
    """

    name: str
    routes: tuple[Route, ...]
    source: dict[str, Any]
    selections: tuple[Selection, ...] = ()

    def route(self, name: str) -> Route:
        """Return a route by name."""
        return next(route for route in self.routes if route.name == name)

    def feature_columns(self) -> tuple[str, ...]:
        """Return the union of all extractions' columns, in dictionary order."""
        names = {column.name for route in self.routes for entry in route.features for column in entry.op.columns}
        return tuple(sorted(names))

    def perturbed_columns(self) -> tuple[str, ...]:
        """Return the same of the extractions that are measured perturbed."""
        entries = [
            entry
            for route in self.routes
            for entry in route.features
            if any(one.takes(entry.name) for one in route.perturb)
        ]
        return tuple(sorted({column.name for entry in entries for column in entry.op.columns}))


def load_recipe(reference: str | Path) -> Recipe:
    """Read a recipe from a TOML file, or a shipped one by its name.

    Raises
    ------
    ConfigError
        If there is no such recipe or a field is wrong; the message names the path.
    """
    text, where = _text(reference)
    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{where}: not valid TOML: {error}") from None
    return parse_recipe(tables)


def parse_recipe(tables: Mapping[str, Any]) -> Recipe:
    """Turn a recipe's tables into a :class:`Recipe`.

    Raises
    ------
    ConfigError
        With the path of the first field that is wrong, such as ``route.0.image.1.preset``.
    """
    shape = checked(RecipeTable, tables, "")
    routes = tuple(_route(table, f"route.{place}") for place, table in enumerate(shape.route))
    names = [route.name for route in routes]
    if len(set(names)) != len(names):
        raise ConfigError("route: two routes bear one name")
    selections = parse_selections(shape.select, routes=names)
    return Recipe(name=shape.name, routes=routes, source=dict(tables), selections=selections)


def shipped_recipes() -> dict[str, str]:
    """Return the texts of the recipes that come with medpipe, by name."""
    folder = files("medpipe.recipe") / "shipped"
    return {
        entry.name.removesuffix(".toml"): entry.read_text(encoding="utf-8")
        for entry in sorted(folder.iterdir(), key=lambda entry: entry.name)
        if entry.name.endswith(".toml")
    }


def _text(reference: str | Path) -> tuple[str, str]:
    shipped = shipped_recipes()
    if isinstance(reference, str) and reference in shipped:
        return shipped[reference], reference
    path = Path(reference)
    if not path.is_file():
        raise ConfigError(f"recipe {str(reference)!r}: no such file, and none of the shipped: {', '.join(shipped)}")
    try:
        return path.read_text(encoding="utf-8"), path.name
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"recipe {path.name}: cannot be read ({type(error).__name__})") from None


def _route(table: RouteTable, where: str) -> Route:
    companions = parse_companions(table.companions, f"{where}.companions")
    features = _extractions(table, companions, where)
    names = [entry.name for entry in features]
    if features and not table.regions:
        raise ConfigError(f"{where}.regions: features need at least one region source")
    if "original" not in table.keep:
        raise ConfigError(f"{where}.keep: 'original' is always stored; name it")
    known = {ORIGINAL, *(one.name for one in companions)}
    regions = tuple(
        _region_source(entry, f"{where}.regions.{place}", known) for place, entry in enumerate(table.regions)
    )
    if len({op.name for op in regions}) != len(regions):
        raise ConfigError(
            f"{where}.regions: one op is there twice, and its regions would bear one name; give it a name"
        )
    views = parse_views(
        table.views,
        f"{where}.views",
        companions=[one.name for one in companions],
        has_final=bool(table.image),
        has_regions=bool(regions),
    )
    return Route(
        name=table.name,
        where=parse_where(table.where, where),
        image=image_ops(table.image, f"{where}.image"),
        regions=regions,
        features=features,
        models=tuple(table.models),
        keep=tuple(sorted(set(table.keep))),
        companions=companions,
        views=views,
        perturb=parse_perturbed(table.perturb, f"{where}.perturb", extractions=names),
    )


def _region_source(entry: Mapping[str, Any], where: str, images: Collection[str]) -> RegionSource:
    frame = checked(RegionTable, entry, where)
    check_image(frame.image, images, where)
    given = {name: value for name, value in entry.items() if name not in ("name", "after", "then", "image")}
    source = make("regions", given, where)
    after = image_ops(frame.after, f"{where}.after")
    then = tuple(make("steps", step, f"{where}.then.{place}") for place, step in enumerate(frame.then))
    try:
        image = "" if frame.image == ORIGINAL else frame.image
        return composed(source, called=frame.name, after=after, then=then, image=image)
    except ConfigError as error:
        raise ConfigError(f"{where}.{error}") from None


def _carrying(op: ImageOp) -> dict[str, Any]:
    version = getattr(op, "carry_version", None)
    return {} if version is None else {"carry": version}


def _extractions(table: RouteTable, companions: Sequence[CompanionImage], where: str) -> tuple[Extraction, ...]:
    beside = {one.name: one for one in companions}
    found = tuple(_extraction(entry, f"{where}.features.{place}", beside) for place, entry in enumerate(table.features))
    if len({entry.name for entry in found}) != len(found):
        raise ConfigError(f"{where}.features: two extractions bear one name")
    for place, entry in enumerate(found):
        if entry.image == FINAL and not table.image:
            raise ConfigError(
                f"{where}.features.{place}.image: 'final' is the image after the route's ops, and it has none"
            )
        known = {ORIGINAL, *beside, *([FINAL] if table.image else [])}
        check_image(entry.image, known, f"{where}.features.{place}")
        if entry.grid == "companion" and entry.beside is None:
            raise ConfigError(f"{where}.features.{place}.grid: {entry.image!r} is no companion image")
    return found


def _extraction(entry: Mapping[str, Any], where: str, beside: Mapping[str, CompanionImage]) -> Extraction:
    frame = checked(ExtractionTable, entry, where)
    given = {name: value for name, value in entry.items() if name not in ("name", "image", "grid")}
    op = make("features", given, where)
    return Extraction(name=frame.name, image=frame.image, op=op, beside=beside.get(frame.image), grid=frame.grid)
