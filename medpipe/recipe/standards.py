"""Standards that a recipe names: fits over a cohort, pinned by their digest before a run.

A pinned recipe states the standard's values beside its digest, so that whoever reads the lock
needs nothing else.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any, NamedTuple

from medpipe.contracts.protocols import ImageOp
from medpipe.errors import ConfigError
from medpipe.keys import canonical, digest
from medpipe.ops.registry import spec_of
from medpipe.recipe.recipe import Recipe, parse_recipe

FORMAT = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Standard:
    """What was fitted over a cohort.

    Attributes
    ----------
    kind : str
        See :data:`medpipe.ops.fitting.KINDS`.
    percentiles, values : tuple of float
        Landmarks, and what they are in the standard.
    count : int
        Images that were observed.
    cohort : str
        Digest of their contents.
    chain : tuple of dict
        Specs of the image ops that stood before the observation.
    """

    kind: str
    percentiles: tuple[float, ...]
    values: tuple[float, ...]
    count: int
    cohort: str
    chain: tuple[Mapping[str, Any], ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return the standard as JSON values."""
        return {
            "format": FORMAT,
            "kind": self.kind,
            "percentiles": list(self.percentiles),
            "values": list(self.values),
            "count": self.count,
            "cohort": self.cohort,
            "chain": [dict(spec) for spec in self.chain],
        }

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> Standard:
        """Read what :meth:`to_json` wrote, or its copy through JSON.

        Raises
        ------
        ConfigError
            If another version wrote it.
        """
        if found.get("format") != FORMAT:
            raise ConfigError("the fit was written by another version of medpipe: fit again")
        return cls(
            kind=found["kind"],
            percentiles=tuple(found["percentiles"]),
            values=tuple(found["values"]),
            count=found["count"],
            cohort=found["cohort"],
            chain=tuple(found["chain"]),
        )

    @property
    def digest(self) -> str:
        """Digest of all of it."""
        return digest(self.to_json())


Resolve = Callable[[str], tuple[str, Standard]]
"""A reference to ``name@DIGEST`` and its standard; raises ``ConfigError`` for an unknown one."""


Path = tuple[str | int, ...]
"""Where something stands in a recipe's tables."""


class Named(NamedTuple):
    """A standard that an op of a recipe names: the op, the ops before it, the reference, and the path in the recipe."""

    op: ImageOp
    before: tuple[ImageOp, ...]
    reference: str
    path: Path

    @property
    def where(self) -> str:
        """The path as text."""
        return ".".join(map(str, self.path))


def named_standards(recipe: Recipe) -> Iterator[Named]:
    """Yield each standard that a recipe names, of ops of a chain in order."""
    for path, ops in chains_of(recipe):
        for place, op in enumerate(ops):
            reference = getattr(op, "standard", None)
            if reference is not None:
                yield Named(op, (*_before(recipe, path), *ops[:place]), reference, (*path, place, "standard"))


def pin_standards(recipe: Recipe, resolve: Resolve) -> Recipe:
    """Return a recipe whose standards are stated by digest and values.

    Parameters
    ----------
    recipe : Recipe
    resolve : callable
        See :data:`Resolve`.

    Raises
    ------
    ConfigError
        If a standard is not known, is of another kind, or was observed on images that had
        gone through other ops than stand before it in the recipe.
    """
    count = sum(1 for _ in named_standards(recipe))
    for place in range(count):
        # ops before it are pinned by now, as they were when the cohort was observed
        named = next(islice(named_standards(recipe), place, None))
        name, standard = _resolved(resolve, named.reference, named.where)
        _check_fits(standard, named.op, [spec_of(op) for op in named.before], named.where)
        stated = {"percentiles": list(standard.percentiles), "values": list(standard.values)}
        tables = copy.deepcopy(recipe.source)
        table_at(tables, named.path[:-1]).update({"standard": name, **stated})
        recipe = parse_recipe(tables)
    return recipe


def chains_of(recipe: Recipe) -> Iterator[tuple[Path, tuple[ImageOp, ...]]]:
    """Yield every chain of image ops of a recipe, and where it stands."""
    for number, route in enumerate(recipe.routes):
        yield ("route", number, "image"), route.image
        for place, source in enumerate(route.regions):
            yield ("route", number, "regions", place, "after"), getattr(source, "after", ())
        for place, companion in enumerate(route.companions):
            yield ("route", number, "companions", place, "image"), companion.image


def _before(recipe: Recipe, path: Path) -> tuple[ImageOp, ...]:
    """Return the ops that an image went through before a chain: those of a companion image that a source looks at."""
    if "after" not in path:
        return ()
    route = next(recipe.routes[place] for place in path[1:2] if isinstance(place, int))
    source = next(route.regions[place] for place in path[3:4] if isinstance(place, int))
    return next((one.image for one in route.companions if one.name == getattr(source, "image", "")), ())


def table_at(tables: Any, path: Path) -> Any:
    """Return what stands at a path in a recipe's tables."""
    for step in path:
        tables = tables[step]
    return tables


def _check_fits(standard: Standard, op: Any, before: list[dict[str, Any]], where: str) -> None:
    if standard.kind != op.fitted:
        raise ConfigError(f"{where}: a fit of the kind {standard.kind!r}, which is not for the op {op.name}")
    if canonical(before) != canonical(list(standard.chain)):
        raise ConfigError(
            f"{where}: fitted on images after {_names(standard.chain)}, but it stands after {_names(before)} (their "
            "parameters count too); fit it on images after this recipe's ops"
        )


def _resolved(resolve: Resolve, reference: str, where: str) -> tuple[str, Standard]:
    try:
        return resolve(reference)
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from None


def _names(chain: Any) -> str:
    return ", ".join(spec["op"] for spec in chain) or "no op"
