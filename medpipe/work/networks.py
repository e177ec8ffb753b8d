"""Networks bound to the ops of a locked recipe: keys and specs stay what they are."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from medpipe.contracts.networks import OpensNetwork
from medpipe.recipe.lock import LockedRecipe


def with_networks(lock: LockedRecipe, opener: Callable[[str], OpensNetwork]) -> LockedRecipe:
    """Return a lock whose ops can ask the networks they name.

    Parameters
    ----------
    lock : LockedRecipe
    opener : callable
        A digest to what opens that network when an op first asks.
    """
    routes = tuple(_bound(route, opener) for route in lock.recipe.routes)
    if all(one is before for one, before in zip(routes, lock.recipe.routes, strict=True)):
        return lock
    return dataclasses.replace(lock, recipe=dataclasses.replace(lock.recipe, routes=routes))


def _bound(value: Any, opener: Callable[[str], OpensNetwork]) -> Any:
    """Return a record with networks in it and in all it is made of; itself where there are none."""
    if isinstance(value, tuple) and type(value) is tuple:
        items = tuple(_bound(item, opener) for item in value)
        return items if any(item is not before for item, before in zip(items, value, strict=True)) else value
    if not dataclasses.is_dataclass(value) or isinstance(value, type):
        return value
    parts = {field.name: getattr(value, field.name) for field in dataclasses.fields(value) if field.init}
    made = {name: _bound(part, opener) for name, part in parts.items()}
    changes = {name: part for name, part in made.items() if part is not parts[name]}
    if hasattr(value, "network_kind"):
        changes["network"] = opener(parts["model"].partition("@")[2])
    return dataclasses.replace(value, **changes) if changes else value
