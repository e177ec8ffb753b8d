"""Locks: a recipe with every alias, default and model resolved, by digest.

A lock is written once into ``runs/RUN/recipe.lock.toml``; sandboxes read it and never resolve
anything themselves.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import tomli_w

from medpipe.contracts.networks import NetworkPin
from medpipe.errors import ConfigError, IntegrityError
from medpipe.keys import digest
from medpipe.recipe.networks import ResolveNetwork, pin_networks
from medpipe.recipe.recipe import Recipe, Route, parse_recipe
from medpipe.recipe.standards import Resolve, Standard, pin_standards

RESULT_VERSION = 2
"""Raised when the wiring of a case changes what it yields for the same ops."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelPin:
    """A model resolved to a package.

    Attributes
    ----------
    name : str
    digest : str
        Digest of the package's bytes.
    extractions : tuple of str
        Names of the extractions its inputs come from; empty where that is not known. The digest
        stands for them.
    """

    name: str
    digest: str
    extractions: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class LockedRecipe:
    """A recipe whose models are pinned.

    Attributes
    ----------
    recipe : Recipe
    models : mapping of str to tuple of ModelPin
        Pins by route name.
    """

    recipe: Recipe
    models: Mapping[str, tuple[ModelPin, ...]]

    @property
    def name(self) -> str:
        """Name of the recipe."""
        return self.recipe.name

    def route_digest(self, route: Route) -> str:
        """Return the digest of all a case's result depends on beside its input."""
        models = [{"name": pin.name, "digest": pin.digest} for pin in self.models[route.name]]
        return digest({"version": RESULT_VERSION, **route.spec(), "models": models})

    @property
    def digest(self) -> str:
        """Digest of the whole recipe: routes in order, with what they take, and selections."""
        routes: list[Any] = [
            [route.name, route.where.spec(), self.route_digest(route), *_choices(route)] for route in self.recipe.routes
        ]
        selections = [one.spec() for one in self.recipe.selections]
        return digest([*routes, {"select": selections}] if selections else routes)

    def to_toml(self) -> str:
        """Return the lock as TOML text."""
        lock = {
            "format": RESULT_VERSION,
            "digest": self.digest,
            "models": {
                route: [{"name": pin.name, "digest": pin.digest, "extractions": list(pin.extractions)} for pin in pins]
                for route, pins in sorted(self.models.items())
            },
            "resolved": {route.name: _toml(route.spec()) for route in self.recipe.routes},
            "recipe": self.recipe.source,
        }
        return tomli_w.dumps(lock)


def _no_standard(reference: str) -> tuple[str, Standard]:
    raise ConfigError(f"fit {reference!r}: there is no lake to look for it")


def _no_network(reference: str) -> NetworkPin:
    raise ConfigError(f"network {reference!r}: there is no lake to look for it")


def lock_recipe(
    recipe: Recipe,
    resolve: Callable[[str], ModelPin],
    resolve_standard: Resolve = _no_standard,
    resolve_network: ResolveNetwork = _no_network,
) -> LockedRecipe:
    """Pin a recipe's networks, standards and models.

    Parameters
    ----------
    recipe : Recipe
    resolve : callable
        Model reference to its pin; raises ``ConfigError`` for an unknown one.
    resolve_standard : callable, optional
        Reference to a standard to its name by digest and its values; none is known without it.
    resolve_network : callable, optional
        Reference to a network to what it means; none is known without it.

    Raises
    ------
    ConfigError
        If two references of a route mean one model, or a network or a standard is not one of the recipe's.
    """
    # networks first: a standard is of images behind pinned ops
    recipe = pin_standards(pin_networks(recipe, resolve_network), resolve_standard)
    pins = {route.name: tuple(resolve(reference) for reference in route.models) for route in recipe.routes}
    for place, route in enumerate(recipe.routes):
        if len(set(pins[route.name])) < len(pins[route.name]):
            raise ConfigError(f"route.{place}.models: one model is named twice")
    return LockedRecipe(recipe=recipe, models=pins)


def read_lock(text: str) -> LockedRecipe:
    """Read what :meth:`LockedRecipe.to_toml` wrote.

    Raises
    ------
    IntegrityError
        If this medpipe makes other keys of it: it was altered, or another version wrote it.
    """
    lock = tomllib.loads(text)
    models = {
        route: tuple(
            ModelPin(name=pin["name"], digest=pin["digest"], extractions=tuple(pin.get("extractions", ())))
            for pin in pins
        )
        for route, pins in lock["models"].items()
    }
    locked = LockedRecipe(recipe=parse_recipe(lock["recipe"]), models=models)
    if locked.digest != lock["digest"]:
        raise IntegrityError(
            "recipe.lock.toml: its digest differs here; use one medpipe for the whole run, or run again"
        )
    return locked


def _choices(route: Route) -> list[Any]:
    """Return which volumes a route's companion images are; nothing for a route without."""
    return [[one.name, one.selection.spec()] for one in route.companions]


def _toml(value: Any) -> Any:
    """Return the value without nulls, which TOML cannot hold."""
    if isinstance(value, Mapping):
        return {name: _toml(item) for name, item in value.items() if item is not None}
    if isinstance(value, (list, tuple)):
        return [_toml(item) for item in value]
    return value
