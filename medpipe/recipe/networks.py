"""Networks that the ops of a recipe name: pinned by their digest before a run.

A pinned recipe states beside the digest what planning has to know of a network: how many numbers it
gives, and what it takes.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from medpipe.contracts.networks import NetworkPin
from medpipe.errors import ConfigError
from medpipe.recipe.recipe import Recipe, parse_recipe
from medpipe.recipe.standards import Path, chains_of, table_at

ResolveNetwork = Callable[[str], NetworkPin]
"""A reference to what it means; raises ``ConfigError`` for an unknown one."""

_KINDS = {"image": "from image to image", "encoder": "an encoder"}


class NamedNetwork(NamedTuple):
    """A network that an op of a recipe names: the op, and its path in the recipe."""

    op: Any
    path: Path

    @property
    def where(self) -> str:
        """The path of the reference as text."""
        return ".".join(map(str, (*self.path, "model")))


def named_networks(recipe: Recipe) -> Iterator[NamedNetwork]:
    """Yield each network that a recipe names."""
    for path, ops in chains_of(recipe):
        yield from (NamedNetwork(op, (*path, place)) for place, op in enumerate(ops) if hasattr(op, "network_kind"))
    for number, route in enumerate(recipe.routes):
        for place, entry in enumerate(route.features):
            if hasattr(entry.op, "network_kind"):
                yield NamedNetwork(entry.op, ("route", number, "features", place))


def pin_networks(recipe: Recipe, resolve: ResolveNetwork) -> Recipe:
    """Return a recipe whose networks are stated by digest.

    Parameters
    ----------
    recipe : Recipe
    resolve : callable
        See :data:`ResolveNetwork`.

    Raises
    ------
    ConfigError
        If a network is not known, is of another kind than the op takes, or gives another count of numbers than the
        recipe says.
    """
    named = tuple(named_networks(recipe))
    if not named:
        return recipe
    tables = copy.deepcopy(recipe.source)
    for one in named:
        try:
            stated = _stated(one.op, resolve(one.op.model))
        except ConfigError as error:
            raise ConfigError(f"{one.where}: {error}") from None
        table_at(tables, one.path).update(stated)
    return parse_recipe(tables)


def _stated(op: Any, pin: NetworkPin) -> dict[str, Any]:
    if pin.kind != op.network_kind:
        raise ConfigError(f"network {pin.name} is {_KINDS[pin.kind]}, and {op.name} takes {_KINDS[op.network_kind]}")
    stated: dict[str, Any] = {"model": f"{pin.name}@{pin.digest}", "memory_mb": pin.memory_mb}
    if pin.kind == "encoder":
        if op.numbers not in (0, pin.numbers):
            raise ConfigError(f"network {pin.name} gives {pin.numbers} numbers, and the recipe says {op.numbers}")
        stated["numbers"] = pin.numbers
    return stated
