"""Names of models, networks and fits: what recipes take by them, and how a name is taken back."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medpipe.app.standards import check_fit_name
from medpipe.errors import ConfigError
from medpipe.lake.fits import lake_fits, take_fit_back
from medpipe.lake.lake import Lake
from medpipe.lake.models import lake_models, take_model_back
from medpipe.lake.runs import Run, run_names
from medpipe.models.card import check_name


@dataclass(frozen=True, slots=True, kw_only=True)
class TakenBack:
    """A name that means nothing any more.

    Attributes
    ----------
    name : str
    versions : tuple of str
        Digests of what it meant, the latest last.
    recipes : tuple of str
        Recipes whose last run took one of them.
    """

    name: str
    versions: tuple[str, ...]
    recipes: tuple[str, ...]

    def facts(self) -> dict[str, Any]:
        """Return what the command prints."""
        return {
            "name": self.name,
            "versions": [digest[:16] for digest in self.versions],
            "taken by recipes": list(self.recipes),
        }


def unregister(root: Path, name: str, *, fit: bool = False) -> TakenBack:
    """Take the name of a model or network, or of a fit, back.

    Recipes that name it, or its latest, are refused from then on; those that pin it by digest go on, and so do runs.
    It is not removed: garbage collection does that once no kept run has it. It may be registered again.

    Parameters
    ----------
    root : Path
        The lake.
    name : str
    fit : bool
        Whether the name is that of a fit.

    Raises
    ------
    ConfigError
        If the lake has nothing of this name; names what it has.
    """
    check_fit_name(name) if fit else check_name(name)
    lake = Lake.open(root)
    known = sorted((lake_fits if fit else lake_models)(lake), key=lambda entry: entry[2])
    versions = tuple(dict.fromkeys(digest for found, digest, order in known if found == name and order))
    if not versions:
        there = ", ".join(sorted({found for found, _, order in known if order})) or "none"
        raise ConfigError(f"{name}: this lake has no {'fit' if fit else 'model'} of this name (known: {there})")
    taken = recipes_pinning(lake, versions)
    (take_fit_back if fit else take_model_back)(lake, name)
    return TakenBack(name=name, versions=versions, recipes=taken)


def recipes_pinning(lake: Lake, digests: Collection[str]) -> tuple[str, ...]:
    """Return the recipes whose last run took a model, network or fit of one of some digests."""
    seen: dict[str, bool] = {}
    for name in reversed(run_names(lake)):
        run = Run(lake, name)
        recipe = run.info().get("recipe")
        if recipe is not None and recipe not in seen:
            lock = run.lock()
            seen[recipe] = any(digest in lock for digest in digests)
    return tuple(sorted(recipe for recipe, takes in seen.items() if takes))
