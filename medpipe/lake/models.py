"""Model packages in a lake: by digest, with a register of the lake's own names."""

from __future__ import annotations

from collections.abc import Mapping

from medpipe.errors import IntegrityError
from medpipe.keys import bytes_digest, digest
from medpipe.lake.durable import ensure_folder, storage_faults, write_file
from medpipe.lake.lake import Lake
from medpipe.lake.layout import LAYOUT
from medpipe.lake.named import NOTHING, make_latest, named


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
    make_latest(lake, LAYOUT.model_register(), LAYOUT.model_entry, name=name, digest=package_digest)


def _publish(lake: Lake, package_digest: str, files: Mapping[str, bytes]) -> None:
    folder = LAYOUT.model(package_digest)
    with storage_faults(folder), lake.store.attempt("model") as attempt:
        ensure_folder(attempt)
        for path in (LAYOUT.model_file(package_digest, file) for file in sorted(files)):
            name = path.rpartition("/")[2]
            write_file(attempt / name, files[name])
        lake.store.publish_tree(attempt, folder)


def lake_models(lake: Lake) -> list[tuple[str, str, int]]:
    """Return (name, digest, order) of every registered model; the highest order is the latest.

    Those whose name was taken back have the order 0, as long as they are there.
    """
    known = named(lake, LAYOUT.model_register())
    return [one for one in known if one[2] or lake.store.exists(LAYOUT.model(one[1]))]


def take_model_back(lake: Lake, name: str) -> bool:
    """Take a name of models back, whatever it means; tell whether it meant anything."""
    return make_latest(lake, LAYOUT.model_register(), LAYOUT.model_entry, name=name, digest=NOTHING)


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
