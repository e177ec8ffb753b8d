"""Models a recipe may name: the lake's own before the shipped ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from medpipe.app.named import known_of, refuse_unknown
from medpipe.errors import ConfigError
from medpipe.lake.lake import Lake
from medpipe.lake.models import lake_models, model_files, put_model
from medpipe.models.network import NetworkPackage, is_network
from medpipe.models.package import Package
from medpipe.models.resolve import read_shipped, resolve, shipped
from medpipe.recipe.lock import ModelPin
from medpipe.recipe.recipe import Recipe


def resolver(lake: Lake) -> Callable[[str], ModelPin]:
    """Return what turns a model reference into its pin; the package is put into the lake.

    So a run's models are all in its lake, also the shipped ones, and a later medpipe that
    ships others changes nothing about it.
    """
    known = lake_models(lake)

    def pin(reference: str) -> ModelPin:
        found = resolve(reference, known)
        if found.folder is not None:
            put_package(lake, read_shipped(found), shipped_model=True)
        inputs = package_of(lake, found.digest).card.inputs
        return ModelPin(
            name=found.name, digest=found.digest, extractions=tuple(sorted({item.extraction for item in inputs}))
        )

    return pin


def check_models(recipe: Recipe, root: Path) -> None:
    """Refuse a recipe that names a model nobody knows, before a lake is made for it.

    Raises
    ------
    ConfigError
        If a model is unknown; names those there are.
    """
    known = known_of(root, lake_models)
    named = (
        (f"route.{place}.models.{number}", reference)
        for place, route in enumerate(recipe.routes)
        for number, reference in enumerate(route.models)
    )
    refuse_unknown(named, lambda reference: resolve(reference, known))


def put_package(lake: Lake, package: Package, *, shipped_model: bool = False) -> None:
    """Keep a package in a lake under its digest; a lake's own model becomes the latest of its name."""
    put_model(lake, package.digest, package.files, name=None if shipped_model else package.card.name)


def refuse_other_kind(lake: Lake, name: str, *, network: bool) -> None:
    """Refuse a name that means a model of the other kind, network or not: recipes that name it would cease to run.

    Raises
    ------
    ConfigError
        If it does.
    """
    try:
        found = resolve(name, lake_models(lake))
    except ConfigError:
        return
    is_one = found.folder is None and is_network(model_files(lake, found.digest))
    if is_one != network:
        what = "network" if is_one else "model for scores"
        raise ConfigError(f"model {name}: there is a {what} of this name; choose another name")


def package_of(lake: Lake, digest: str) -> Package:
    """Return a package of the lake by its digest.

    Raises
    ------
    ConfigError
        If it is a network.
    """
    files = model_files(lake, digest)
    if is_network(files):
        raise ConfigError(
            f"model {NetworkPackage(files).card.name} is a network: ops name it, not the models of a route"
        )
    return Package(files)


def list_models(root: Path) -> list[dict[str, Any]]:
    """Return a row per model a recipe may name."""
    lake = Lake.open(root)
    rows = [
        _row_of(model_files(lake, digest), digest)
        for _name, digest, order in sorted(lake_models(lake), key=lambda entry: (entry[0], entry[2]))
        if order
    ]
    return rows + [_row(read_shipped(entry), entry.digest, "shipped") for entry in shipped()]


def _row_of(files: Mapping[str, bytes], digest: str) -> dict[str, Any]:
    if not is_network(files):
        return _row(Package(files), digest, "lake")
    card = NetworkPackage(files).card
    return {
        "name": card.name,
        "digest": digest[:16],
        "from": "lake",
        "target": "",
        "algorithm": f"network: {card.facts.kind}",
        "auc": None,
        "demonstration": False,
    }


def _row(package: Package, digest: str, origin: str) -> dict[str, Any]:
    card = package.card
    return {
        "name": card.name,
        "digest": digest[:16],
        "from": origin,
        "target": card.target,
        "algorithm": card.algorithm,
        "auc": card.metrics.get("auc"),
        "demonstration": card.demonstration,
    }
