"""Files of a product: pictures and surfaces, published together under its key."""

from __future__ import annotations

from collections.abc import Iterable

from medpipe.lake.durable import storage_faults, write_file
from medpipe.lake.lake import Lake
from medpipe.lake.layout import LAYOUT
from medpipe.lake.manifest import publish_with_manifest, write_manifest


def put_files(lake: Lake, key: str, files: Iterable[tuple[str, bytes]]) -> str:
    """Store files under a product key, unless the same bytes are there already.

    Parameters
    ----------
    lake : Lake
    key : str
        Product key; it must cover everything that is stored.
    files : iterable of (str, bytes)
        Names and bytes; each is written before the next is asked for.

    Returns
    -------
    str
        Path of their folder in the lake.

    Raises
    ------
    IntegrityError
        If other bytes are stored under this key.
    SecurityError
        For a name that is no plain name of a file.
    StoppedError
        If the disk is full; nothing half-written stays.
    """
    path = LAYOUT.volume(key)
    with storage_faults(path), lake.store.attempt_folder(key) as attempt:
        for name, data in files:
            write_file(attempt / LAYOUT.file(path, name).removeprefix(f"{path}/"), data)
        publish_with_manifest(lake.store, attempt, path, write_manifest(attempt))
    return path
