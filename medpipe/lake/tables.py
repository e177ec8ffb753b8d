"""Published tables: which ones readers see, what they were derived from."""

from __future__ import annotations

from medpipe.errors import IntegrityError
from medpipe.lake.lake import Lake
from medpipe.lake.last import latest_publication
from medpipe.lake.layout import LAYOUT
from medpipe.lake.sums import read_word_with_sum, word_with_sum

__all__ = [
    "is_readable",
    "latest_publication",
    "published_state",
    "set_published_state",
]


def is_readable(lake: Lake, recipe_name: str) -> bool:
    """Tell whether a recipe's current tables are there."""
    folder = latest_publication(lake, recipe_name)
    return folder is not None and lake.store.exists(LAYOUT.manifest(folder))


def show_tables(lake: Lake, recipe_name: str) -> bool:
    """Have the link that readers follow lead to a recipe's current tables; tell whether it did not.

    A run that was killed may have left it at others, and another recipe may have published since.
    """
    folder = latest_publication(lake, recipe_name)
    link = lake.store.absolute(LAYOUT.tables())
    if folder is None or (link.is_symlink() and link.resolve() == lake.store.absolute(folder).resolve()):
        return False
    lake.refuse_if_superseded()
    lake.store.swap_link(LAYOUT.tables(), folder)
    return True


def published_state(lake: Lake, recipe_name: str) -> str | None:
    """Return the digest of what a recipe's current tables were derived from, or None."""
    pointer = LAYOUT.published_state(recipe_name)
    try:
        return read_word_with_sum(lake.store.get(pointer), pointer)
    except (FileNotFoundError, IntegrityError):
        return None  # it only spares work


def set_published_state(lake: Lake, recipe_name: str, state: str) -> None:
    """Record what a recipe's current tables were derived from; once they are published."""
    lake.refuse_if_superseded()
    lake.store.swap_pointer(LAYOUT.published_state(recipe_name), word_with_sum(state))
