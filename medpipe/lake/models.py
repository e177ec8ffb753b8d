"""Model packages in a lake: by digest, with a register of the lake's own names."""

from __future__ import annotations

import json
from collections.abc import Mapping

from medpipe.errors import IntegrityError
from medpipe.keys import bytes_digest, digest
from medpipe.lake.durable import ensure_folder, storage_faults, write_file
from medpipe.lake.lake import Lake
from medpipe.lake.layout import LAYOUT


def put_model(lake: Lake, package_digest: str, files: Mapping[str, bytes], *, name: str | None) -> None:
    """Keep a package's files under its digest, whole or not at all; with a name, register it as the newest of it.

    Raises
    ------
    IntegrityError
        If a damaged package is there under this digest.
    StoppedError
        If the disk is full.
    """
    if not lake.store.exists(LAYOUT.model(package_digest)):
        _publish(lake, package_digest, files)
    model_files(lake, package_digest)
    if name is None:
        return
    known = lake_models(lake)
    latest = max((order for found, _, order in known if found == name), default=0)
    newest = next((found for other, found, order in known if other == name and order == latest), None)
    if newest == package_digest:
        return
    entry = {"name": name, "digest": package_digest, "order": latest + 1}
    lake.store.put_if_absent(LAYOUT.model_entry(name, latest + 1), json.dumps(entry, sort_keys=True).encode())


def _publish(lake: Lake, package_digest: str, files: Mapping[str, bytes]) -> None:
    folder = LAYOUT.model(package_digest)
    with storage_faults(folder), lake.store.attempt("model") as attempt:
        ensure_folder(attempt)
        for path in (LAYOUT.model_file(package_digest, file) for file in sorted(files)):
            name = path.rpartition("/")[2]
            write_file(attempt / name, files[name])
        lake.store.publish_tree(attempt, folder)


def lake_models(lake: Lake) -> list[tuple[str, str, int]]:
    """Return (name, digest, order) of every registered model; the highest order is the latest."""
    entries = [json.loads(lake.store.get(path)) for path in lake.store.list(LAYOUT.model_register())]
    return sorted((entry["name"], entry["digest"], entry["order"]) for entry in entries)


def model_files(lake: Lake, package_digest: str) -> dict[str, bytes]:
    """Return a package's files, checked against its digest.

    Raises
    ------
    IntegrityError
        If files are missing or were altered.
    """
    folder = LAYOUT.model(package_digest)
    files = {path.rpartition("/")[2]: lake.store.get(path) for path in lake.store.list(folder)}
    if digest({name: bytes_digest(data) for name, data in files.items()}) != package_digest:
        raise IntegrityError(
            f"model {package_digest[:16]}: its files are missing or altered; remove the folder and run again"
        )
    return files
