"""What medpipe offers: registered ops and shipped recipes, as rows and text."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medpipe.errors import ConfigError
from medpipe.ops.parameters import json_schema
from medpipe.ops.registry import Family, registered
from medpipe.recipe.recipe import shipped_recipes

if TYPE_CHECKING:
    from medpipe.ops.pyradiomics_columns import Names
    from medpipe.recipe.parameter_files import Translation

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


def import_parameters(path: Path, *, names: Names) -> Translation:
    """Translate a parameter file of pyradiomics into a recipe that bears its name.

    Raises
    ------
    ConfigError
        If there is no such file, or it is no parameter file.
    """
    from medpipe.recipe.parameter_files import MOST_BYTES, translate

    try:
        with path.open("rb") as file:
            read = file.read(MOST_BYTES + 1)
        text = read.decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path.name}: cannot be read ({type(error).__name__})") from None
    if len(read) > MOST_BYTES:
        raise ConfigError(f"{path.name}: too large for a parameter file")
    stem = re.sub(r"[^a-z0-9_-]+", "-", path.stem.lower()).strip("-_")[:64]
    try:
        return translate(text, name=stem or "parameters", names=names)
    except ConfigError as error:
        raise ConfigError(f"{path.name}: {error}") from None
