"""What a recipe names of a lake that may not be there yet: models, networks, standards."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

from medpipe.errors import ConfigError
from medpipe.lake.lake import Lake, is_lake

Listed = TypeVar("Listed")


def known_of(root: Path, listed: Callable[[Lake], list[Listed]]) -> list[Listed]:
    """Return what a lake has of a kind; nothing where there is no lake."""
    return listed(Lake.open(root)) if is_lake(root) else []


def refuse_unknown(named: Iterable[tuple[str, str]], resolve: Callable[[str], Any], *, remedy: str = "") -> None:
    """Refuse the first reference that means nothing.

    Parameters
    ----------
    named : iterable of (str, str)
        Path in the recipe, and reference.
    resolve : callable
        Raises ``ConfigError`` for an unknown one.
    remedy : str
        What the message ends with.

    Raises
    ------
    ConfigError
        With the path.
    """
    for where, reference in named:
        try:
            resolve(reference)
        except ConfigError as error:
            raise ConfigError(f"{where}: {error}{remedy}") from None
