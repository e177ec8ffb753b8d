"""Standards a recipe may name: the fits of its lake."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from medpipe.app.named import known_of, refuse_unknown
from medpipe.errors import ConfigError
from medpipe.lake.fits import lake_fits, read_fit
from medpipe.lake.lake import Lake
from medpipe.recipe.recipe import Recipe
from medpipe.recipe.standards import Resolve, Standard, named_standards

MIN_PREFIX = 6
"""Fewest characters of a digest in a reference."""

_NAME = re.compile(r"[a-z0-9][a-z0-9_.-]{0,63}")
_PREFIX = re.compile(rf"[0-9a-f]{{{MIN_PREFIX},64}}")


def check_fit_name(name: str) -> None:
    """Check the name of a fit.

    Raises
    ------
    ConfigError
        If it has another form than ``[a-z0-9][a-z0-9_.-]*``, up to 64 characters.
    """
    if not _NAME.fullmatch(name):
        raise ConfigError(f"fit name {name[:64]!r}: use lower-case letters, digits, '_', '.' and '-' (at most 64)")


def standard_resolver(lake: Lake) -> Resolve:
    """Return what turns a reference to a standard into its full name and its values."""

    def resolve(reference: str) -> tuple[str, Standard]:
        name, digest = found_fit(reference, lake_fits(lake))
        return f"{name}@{digest}", Standard.from_json(read_fit(lake, digest))

    return resolve


def check_standards(recipe: Recipe, root: Path) -> None:
    """Refuse a recipe that names a standard nobody fitted, before a lake is made for it.

    Raises
    ------
    ConfigError
        If a standard is unknown; names those there are.
    """
    known = known_of(root, lake_fits)
    named = ((one.where, one.reference) for one in named_standards(recipe))
    refuse_unknown(named, lambda reference: found_fit(reference, known))


def found_fit(reference: str, known: list[tuple[str, str, int]]) -> tuple[str, str]:
    """Return name and digest of the one fit a reference means: ``name``, ``name@latest`` or ``name@DIGEST``.

    Raises
    ------
    ConfigError
        If no fit, or more than one, is meant; names those there are.
    """
    name, at, version = reference.partition("@")
    check_fit_name(name)
    # of equal digests the highest order, which comes last; 0 where the name was taken back
    of_name = {digest: order for found, digest, order in known if found == name}
    means_latest = not at or version == "latest"
    if not (any(of_name.values()) if means_latest else of_name):
        there = ", ".join(sorted({found for found, _, order in known if order})) or "none"
        raise ConfigError(f"fit {name!r}: there is none (known: {there}); medpipe fit makes one")
    if means_latest:
        return name, max(of_name, key=lambda digest: of_name[digest])
    if not _PREFIX.fullmatch(version):
        raise ConfigError(f"fit {name}@...: 'latest' or {MIN_PREFIX} to 64 hexadecimal digits must follow the @")
    meant = [digest for digest in of_name if digest.startswith(version)]
    if len(meant) != 1:
        there = ", ".join(sorted(digest[:12] for digest in of_name))
        raise ConfigError(f"fit {name}@{version}: {len(meant)} fits of this digest (known: {there})")
    return name, meant[0]


def list_fits(root: Path) -> list[dict[str, Any]]:
    """Return a row for each fit of a lake that has a name, the latest of a name last."""
    lake = Lake.open(root)
    rows = []
    for name, digest, order in sorted(lake_fits(lake), key=lambda entry: (entry[0], entry[2])):
        if not order:
            continue
        standard = Standard.from_json(read_fit(lake, digest))
        after = ", ".join(str(spec["op"]) for spec in standard.chain) or "no op"
        rows.append(
            {"name": name, "digest": digest[:16], "kind": standard.kind, "images": standard.count, "after": after}
        )
    return rows
