"""What medpipe offers: registered ops and shipped recipes, as rows and text."""

from __future__ import annotations

from typing import Any

from medpipe.errors import ConfigError
from medpipe.ops.parameters import json_schema
from medpipe.ops.registry import Family, registered
from medpipe.recipe.recipe import shipped_recipes

_FAMILIES: tuple[Family, ...] = ("image", "regions", "steps", "features", "perturb")


def list_ops() -> list[dict[str, Any]]:
    """Return a row per registered op: family, name, version, parameters, summary."""
    return [
        {
            "family": family,
            "op": name,
            "version": op_type.version,
            "parameters": ", ".join(json_schema(op_type)["properties"]),
            "summary": (op_type.__doc__ or "").strip().partition("\n")[0],
        }
        for family in _FAMILIES
        for name, op_type in registered(family).items()
    ]


def recipe_text(name: str) -> str:
    """Return the text of a shipped recipe.

    Raises
    ------
    ConfigError
        If none of this name is shipped.
    """
    shipped = shipped_recipes()
    if name not in shipped:
        raise ConfigError(f"recipe {name!r}: not shipped (shipped: {', '.join(shipped)})")
    return shipped[name]
