"""Published tables: which ones readers see, what they were derived from, and publishing rows at once."""

from __future__ import annotations

from medpipe.errors import IntegrityError
from medpipe.lake.lake import Lake
from medpipe.lake.last import latest_publication
from medpipe.lake.layout import LAYOUT
from medpipe.lake.publication import Publication, Tables, last_publication, new_publication
from medpipe.lake.summaries import RangeSummary
from medpipe.lake.sums import read_word_with_sum, word_with_sum

__all__ = [
    "Publication",
    "is_readable",
    "latest_publication",
    "publish_tables",
    "published_state",
    "set_published_state",
]


def publish_tables(lake: Lake, *, recipe_name: str, snapshot: str, tables: Tables) -> Publication:
    """Publish tables whose rows are all at hand.

    Same rows give the same bytes, in whatever order they come, and the same bytes as when they
    come range by range (:func:`~medpipe.lake.publication.new_publication`).

    Parameters
    ----------
    lake : Lake
    recipe_name : str
    snapshot : str
        Id of the snapshot the rows were derived from.
    tables : mapping of str to (TableSchema, iterable of mapping)
        Rows by name of the table; a table without rows still gets its schema.

    Raises
    ------
    IntegrityError
        If a row does not fit its schema.
    SecurityError
        For identifying values in a pseudonymized lake.
    StoppedError
        If the disk is full; readers go on seeing the tables from before.
    """
    cut = {name: schema for name, (schema, _) in tables.items() if schema.is_cut}
    singles = {name: table for name, table in tables.items() if name not in cut}
    for last in (last_publication(lake, recipe_name), None):
        with new_publication(lake, recipe_name, schemas=cut, bits=0, basis="", last=last) as new:
            new.add(0, "", RangeSummary(), {name: tables[name][1] for name in cut})
            publication = new.publish(snapshot, singles)
        if publication is not None:
            return publication
    raise IntegrityError("tables that stand on nothing published before were refused; report it")


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
