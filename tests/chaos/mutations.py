"""Safeguards, removed: a bench that does not notice is not worth its name.

Each function here takes one safeguard out of this process. They are called in the forks of the
bench only; nothing in medpipe knows of them.
"""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

Given = Mapping[str, Any]


def replace_everywhere(original: Any, replacement: Any) -> None:
    """Put something in the place of a function in every module of medpipe that has it."""
    places = [
        (module, name)
        for module_name, module in list(sys.modules.items())
        if module_name.partition(".")[0] == "medpipe"
        for name, value in list(vars(module).items())
        if value is original
    ]
    assert places, f"{original} is used nowhere: the safeguard has another name now"
    for module, name in places:
        setattr(module, name, replacement)


# durability -------------------------------------------------------------------------------------


def no_sync_of_bytes(_given: Given) -> None:
    """Let files be written without being synced."""
    from medpipe.lake import durable

    real = durable.fsync_path

    def write_file(path: Path, data: bytes | memoryview) -> None:
        with path.open("xb") as file:
            file.write(data)

    def fsync_folder(path: Path) -> None:
        if path.is_dir():
            real(path)

    replace_everywhere(durable.write_file, write_file)
    replace_everywhere(durable.fsync_path, fsync_folder)


def no_sync_of_names(_given: Given) -> None:
    """Let folders not be synced."""
    from medpipe.lake import durable

    real = durable.fsync_path

    def fsync_file(path: Path) -> None:
        if not path.is_dir():
            real(path)

    replace_everywhere(durable.fsync_path, fsync_file)


def no_sync_of_disk(_given: Given) -> None:
    """Let a run believe what a killed one left, synced or not."""
    from medpipe.lake import durable

    replace_everywhere(durable.sync_disk, lambda _folder: None)


def names_before_bytes(_given: Given) -> None:
    """Give a file its final name first and sync its bytes then."""
    from medpipe.lake import durable

    def write_file(path: Path, data: bytes | memoryview) -> None:
        with path.open("xb") as file:
            file.write(data)

    def link_exclusive(source: Path, target: Path) -> bool:
        try:
            os.link(source, target)
        except FileExistsError:
            return False
        durable.fsync_path(target.parent)
        durable.fsync_path(target)
        return True

    replace_everywhere(durable.write_file, write_file)
    replace_everywhere(durable.link_exclusive, link_exclusive)


# atomic and exclusive writes --------------------------------------------------------------------


def puts_in_place(_given: Given) -> None:
    """Write objects under their final name, piece by piece."""
    from medpipe.lake.durable import ensure_folder, fsync_path
    from medpipe.lake.store import LocalStore

    def put_if_absent(store: LocalStore, path: str, data: bytes) -> bool:
        target = store.absolute(path)
        if target.exists():
            return False
        ensure_folder(target.parent)
        _in_pieces(target, data)
        fsync_path(target.parent)
        return True

    LocalStore.put_if_absent = put_if_absent  # type: ignore[method-assign]


def pointers_in_place(_given: Given) -> None:
    """Write pointers over their old bytes, piece by piece."""
    from medpipe.lake.durable import ensure_folder
    from medpipe.lake.store import LocalStore

    def swap_pointer(store: LocalStore, path: str, data: bytes) -> None:
        target = store.absolute(path)
        ensure_folder(target.parent)
        _in_pieces(target, data)

    LocalStore.swap_pointer = swap_pointer  # type: ignore[method-assign]


def _in_pieces(target: Path, data: bytes) -> None:
    half = len(data) // 2
    with target.open("wb", buffering=0) as file:
        file.write(data[:half])
        os.fsync(file.fileno())
        file.write(data[half:])
        os.fsync(file.fileno())


def link_in_two_steps(_given: Given) -> None:
    """Take the link to the tables away before the new one is made."""
    from medpipe.lake.store import LocalStore

    def swap_link(store: LocalStore, path: str, to: str) -> None:
        link = store.absolute(path)
        link.unlink(missing_ok=True)
        time.sleep(0.05)  # long enough for a reader to come by
        link.symlink_to(os.path.relpath(store.absolute(to), link.parent))

    LocalStore.swap_link = swap_link  # type: ignore[method-assign]


def trees_file_by_file(_given: Given) -> None:
    """Move a folder to its final path file by file."""
    from medpipe.lake import durable

    def rename(source: Path, target: Path) -> bool:
        if target.exists():
            return False
        target.mkdir()
        for path in sorted(source.rglob("*")):
            aim = target / path.relative_to(source)
            if path.is_dir():
                aim.mkdir()
            else:
                os.link(path, aim)
        shutil.rmtree(source)
        return True

    replace_everywhere(durable.rename_exclusive, rename)


def publish_replaces(_given: Given) -> None:
    """Let a published folder be replaced by who comes later."""
    from medpipe.lake import durable

    def rename(source: Path, target: Path) -> bool:
        shutil.rmtree(target, ignore_errors=True)
        source.rename(target)
        return True

    replace_everywhere(durable.rename_exclusive, rename)


# checks -----------------------------------------------------------------------------------------


def no_digest_compare(_given: Given) -> None:
    """Let who loses the race to publish believe that the winner wrote the same."""
    from medpipe.lake import manifest

    def publish(store: Any, attempt: Path, folder: str, _entries: Any) -> bool:
        return bool(store.publish_tree(attempt, folder))

    replace_everywhere(manifest.publish_with_manifest, publish)


def no_manifest_check(_given: Given) -> None:
    """Believe published folders."""
    from medpipe.lake import manifest

    replace_everywhere(manifest.verify_folder, lambda _store, _folder: None)


def no_seal_check(_given: Given) -> None:
    """Take of a segment what can be read, whatever its name and its last line say."""
    import json

    import pyarrow as pa

    from medpipe.contracts.records import CaseResult
    from medpipe.lake import segments

    def read(lake: Any, name: str) -> list[CaseResult]:
        try:
            text = pa.CompressedInputStream(pa.BufferReader(lake.store.get(name)), "zstd").read()
            return [CaseResult.from_json(json.loads(line)) for line in text.splitlines()[:-1]]
        except (OSError, ValueError, KeyError, TypeError):
            return []

    replace_everywhere(segments.read_segment, read)


def no_fencing(_given: Given) -> None:
    """Let there be any number of drivers, as on a file system that has lost its locks."""
    from medpipe.lake import lake

    replace_everywhere(lake._locked, lambda _file: True)


# acknowledgement --------------------------------------------------------------------------------


def told_before_sealed(_given: Given) -> None:
    """Tell that a case has ended when its result is kept, sealed or not."""
    from medpipe.engine.workplace import Workplace

    Workplace.sealed = property(lambda place: place._kept)  # type: ignore[method-assign, assignment]


def forgets(_given: Given) -> None:
    """Plan as if nothing had been committed."""
    from medpipe.plan import cases

    replace_everywhere(cases.has_ended, lambda *_, **__: False)


# injected faults, which a safeguard has to notice --------------------------------------------------


def other_voxels(_given: Given) -> None:
    """Store other voxels than were read: as an op would that is not reproducible."""
    from medpipe.lake import volumes

    original = volumes.to_stored

    def stored(data: Any, *rest: Any) -> Any:
        return original(data + 1, *rest)

    replace_everywhere(original, stored)
