"""Publishing: the tables of a snapshot, whole, and then the link that readers follow."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from medpipe.contracts.tables import TableSchema
from medpipe.keys import bytes_digest
from medpipe.lake.arrow import Row, parts, refuse_identifiers, to_table
from medpipe.lake.durable import ensure_folder, storage_faults, write_file
from medpipe.lake.failpoints import hit
from medpipe.lake.lake import Lake
from medpipe.lake.layout import LAYOUT
from medpipe.lake.manifest import manifest_digest, publish_with_manifest, read_manifest, write_manifest


class Publication(NamedTuple):
    """Published tables.

    Attributes
    ----------
    path : str
        Folder in the lake.
    digest : str
        Digest of all its files; equal tables have equal digests.
    new : bool
        False if the same bytes had been published before.
    """

    path: str
    digest: str
    new: bool


def publish_tables(
    lake: Lake,
    *,
    recipe_name: str,
    snapshot: str,
    tables: Mapping[str, tuple[TableSchema, Iterable[Row]]],
) -> Publication:
    """Write the tables of a snapshot and make them the ones readers see.

    Same rows give the same bytes, in whatever order they come. Parts that the recipe's last
    publication has already are linked, not written again.

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
    with storage_faults(f"the tables of {recipe_name}"), lake.store.attempt("tables") as attempt:
        known = _published_parts(lake, recipe_name)
        ensure_folder(attempt)
        for name, (schema, rows) in tables.items():
            table = to_table(schema, rows)
            refuse_identifiers(table, privacy=lake.privacy, name=name)
            for number, data in enumerate(parts(schema, table)):
                _write_part(attempt / LAYOUT.part(name, number), data, known)
        entries = write_manifest(attempt)
        path = LAYOUT.publication(recipe_name, snapshot, manifest_digest(entries))
        hit("tables.before_publish")
        new = publish_with_manifest(lake.store, attempt, path, entries)
    hit("tables.before_latest")
    lake.store.swap_pointer(LAYOUT.latest(recipe_name), f"{path}\n".encode())
    hit("tables.before_swap")
    lake.store.swap_link(LAYOUT.tables(), path)
    hit("tables.after_swap")
    return Publication(path, manifest_digest(entries), new)


def latest_publication(lake: Lake, recipe_name: str) -> str | None:
    """Return the folder of a recipe's current publication, or None."""
    pointer = LAYOUT.latest(recipe_name)
    return lake.store.get(pointer).decode().strip() if lake.store.exists(pointer) else None


def is_readable(lake: Lake, recipe_name: str) -> bool:
    """Tell whether a recipe's current tables are there, and the link that readers follow leads somewhere."""
    folder = latest_publication(lake, recipe_name)
    return folder is not None and lake.store.exists(LAYOUT.manifest(folder)) and lake.store.exists(LAYOUT.tables())


def published_state(lake: Lake, recipe_name: str) -> str | None:
    """Return the digest of what a recipe's current tables were derived from, or None."""
    pointer = LAYOUT.published_state(recipe_name)
    return lake.store.get(pointer).decode().strip() if lake.store.exists(pointer) else None


def set_published_state(lake: Lake, recipe_name: str, state: str) -> None:
    """Record what a recipe's current tables were derived from; once they are published."""
    lake.store.swap_pointer(LAYOUT.published_state(recipe_name), f"{state}\n".encode())


def _write_part(target: Path, data: bytes, known: Mapping[str, Path]) -> None:
    ensure_folder(target.parent)
    same = known.get(bytes_digest(data))
    if same is None or not _linked(same, target, data):
        write_file(target, data)


def _published_parts(lake: Lake, recipe_name: str) -> dict[str, Path]:
    folder = latest_publication(lake, recipe_name)
    if folder is None or not lake.store.exists(folder):
        return {}
    root = lake.store.absolute(folder)
    return {entry.sha256: root / entry.path for entry in read_manifest(lake.store, folder)}


def _linked(source: Path, target: Path, data: bytes) -> bool:
    try:
        # Read, not believed: a rotten part must not live on under a fresh manifest.
        if source.read_bytes() != data:
            return False
        os.link(source, target)
    except OSError:
        return False
    return True
