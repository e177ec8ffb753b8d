"""Which model a reference means: ``name``, ``name@latest`` or ``name@DIGEST``.

A reference is resolved once, when a run is planned; from then on only the digest counts.
Models of the lake come before those shipped with medpipe.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from medpipe.errors import ConfigError
from medpipe.models.card import check_name
from medpipe.models.package import Package, read_package

SHIPPED_FOLDER = Path(__file__).parent / "shipped"

MIN_PREFIX = 6
"""Fewest characters of a digest in a reference."""

_PREFIX = re.compile(rf"[0-9a-f]{{{MIN_PREFIX},64}}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Registered:
    """A model that can be referred to.

    Attributes
    ----------
    name, digest : str
    order : int
        Rises with each registration; the highest of a name is its latest. 0 of a model of the lake
        whose name was taken back: only its digest means it.
    folder : Path or None
        Where a shipped package is; None for one of the lake.
    """

    name: str
    digest: str
    order: int = 0
    folder: Path | None = None


def shipped(folder: Path = SHIPPED_FOLDER) -> tuple[Registered, ...]:
    """Return the packages shipped with medpipe, sorted by folder name.

    Raises
    ------
    ConfigError, SecurityError
        If a folder there is no package.
    """
    if not folder.is_dir():
        return ()
    folders = sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith(("_", ".")))
    found = []
    for order, path in enumerate(folders):
        package = read_package(path)
        found.append(Registered(name=package.card.name, digest=package.digest, order=order, folder=path))
    return tuple(found)


def read_shipped(registered: Registered) -> Package:
    """Return the package of a shipped model.

    Raises
    ------
    ConfigError
        If the model is not a shipped one, or its files are no longer those listed.
    """
    if registered.folder is None:
        raise ConfigError(f"model {registered.name}: it is not shipped; read it from the lake")
    package = read_package(registered.folder)
    if package.digest != registered.digest:
        raise ConfigError(f"model {registered.name}: its files changed since it was listed")
    return package


def resolve(
    reference: str, registered: Iterable[tuple[str, str, int]], also: Iterable[Registered] | None = None
) -> Registered:
    """Return the one model a reference means.

    Parameters
    ----------
    reference : str
        ``name`` or ``name@latest`` (the latest of the lake, or else the shipped one), or
        ``name@`` with at least six characters of a digest.
    registered : iterable of (name, digest, order)
        The models of the lake.
    also : iterable of Registered, optional
        Models to fall back on; those shipped with medpipe if not given.

    Raises
    ------
    ConfigError
        If no model, or more than one, is meant; names those there are.
    """
    name, at, version = reference.partition("@")
    check_name(name)
    lake = [Registered(name=found, digest=digest, order=order) for found, digest, order in registered]
    fallback = list(shipped() if also is None else also)
    of_lake = [item for item in lake if item.name == name]
    of_fallback = [item for item in fallback if item.name == name]
    current = [item for item in of_lake if item.order]
    means_latest = not at or version == "latest"
    if not (current or of_fallback) and (means_latest or not of_lake):
        there = {item.name for item in fallback} | {item.name for item in lake if item.order}
        known = ", ".join(sorted(there)) or "none"
        raise ConfigError(f"model {name!r}: no such model (known: {known})")
    if means_latest:
        return max(current or of_fallback, key=lambda item: (item.order, item.digest))
    return _by_digest(name, version, of_lake + of_fallback)


def _by_digest(name: str, prefix: str, candidates: list[Registered]) -> Registered:
    if not _PREFIX.fullmatch(prefix):
        raise ConfigError(f"model {name}@...: 'latest' or {MIN_PREFIX} to 64 hexadecimal digits must follow the @")
    meant = {item.digest: item for item in reversed(candidates) if item.digest.startswith(prefix)}
    if len(meant) == 1:
        return next(iter(meant.values()))
    there = ", ".join(sorted({item.digest[:12] for item in candidates}))
    many = "more than one model of this digest" if meant else "no model of this digest"
    raise ConfigError(f"model {name}@{prefix}: {many} (known: {there})")
