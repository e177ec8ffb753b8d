"""Standards that a recipe names: fits over a cohort, pinned by their digest before a run.

A pinned recipe states the standard's values beside its digest, so that whoever reads the lock
needs nothing else.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from medpipe.errors import ConfigError
from medpipe.keys import canonical, digest
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


def named_standards(recipe: Recipe) -> Iterator[tuple[int, int, str, str]]:
    """Yield (place of the route, place of the image op, reference, path in the recipe) of each standard named."""
    for number, route in enumerate(recipe.routes):
        for place, op in enumerate(route.image):
            reference = getattr(op, "standard", None)
            if reference is not None:
                yield number, place, reference, f"route.{number}.image.{place}.standard"


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
    if not any(named_standards(recipe)):
        return recipe
    tables = copy.deepcopy(recipe.source)
    for number, place, reference, where in named_standards(recipe):
        # ops before it are pinned by now, as they were when the cohort was observed
        route = parse_recipe(tables).routes[number]
        name, standard = _resolved(resolve, reference, where)
        _check_fits(standard, route.image[place], route.chain[:place], where)
        stated = {"percentiles": list(standard.percentiles), "values": list(standard.values)}
        tables["route"][number]["image"][place] |= {"standard": name, **stated}
    return parse_recipe(tables)


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
