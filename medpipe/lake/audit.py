"""Everything in a lake that can be read and held against its digest, kind by kind.

What can be millions is never listed whole: memory does not grow with the lake.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import NamedTuple

from medpipe.lake.audit_derived import index_checks, results_checks, snapshot_checks, tables_checks
from medpipe.lake.audit_moving import listed
from medpipe.lake.audit_runs import run_checks
from medpipe.lake.fits import check_fit
from medpipe.lake.lake import Lake
from medpipe.lake.layout import FORMAT_VERSION, LAYOUT
from medpipe.lake.manifest import verify_folder
from medpipe.lake.models import model_files
from medpipe.lake.named import check_entry
from medpipe.lake.segments import list_segments, read_segment
from medpipe.lake.sums import read_with_sum

Checks = Iterator[tuple[str, Callable[[], object]]]
"""A path, and what reads it whole and raises an error of :mod:`medpipe.errors` if it is damaged."""


class Audit(NamedTuple):
    """The checks of one kind.

    Attributes
    ----------
    kind : str
    checks : callable
        Yields (path, check); each is to be done before the next is asked for.
    """

    kind: str
    checks: Callable[[], Checks]


def audits(lake: Lake, *, is_keyed: bool) -> list[Audit]:
    """Return the checks of every kind.

    Parameters
    ----------
    lake : Lake
    is_keyed : bool
        Whether sealed blobs can be opened; without the key they are only counted.
    """
    makers: Mapping[str, Callable[[Lake], Checks]] = {
        "lake": _own_checks,
        "segment": _segment_checks,
        "results": results_checks,
        "snapshot": snapshot_checks,
        "index": index_checks,
        "tables": tables_checks,
        "model": _model_checks,
        "run": run_checks,
        "private" if is_keyed else "private, not opened": partial(_private_checks, is_keyed=is_keyed),
        "volume": _volume_checks,
    }
    return [Audit(kind, partial(make, lake)) for kind, make in makers.items()]


def check_description(root: Path) -> None:
    """Hold the file that says what the lake is against its sum.

    Raises
    ------
    IntegrityError
        If it was altered; a file of another format version is not looked at.
    """
    path = root / LAYOUT.description()
    if not path.is_file():
        return
    data = path.read_bytes()
    try:
        described = json.loads(data)
        is_other = described["format_version"] != FORMAT_VERSION and "sum" not in described
    except (ValueError, KeyError, TypeError):
        is_other = False
    if not is_other:
        read_with_sum(data, path.name)


def count_volumes(lake: Lake) -> int:
    """Return how many stored volumes there are, by listing names."""
    return sum(1 for _ in _volumes(lake))


def _own_checks(lake: Lake) -> Checks:
    yield LAYOUT.description(), partial(check_description, lake.root)
    epoch, removal = LAYOUT.driver_epoch(), LAYOUT.removal_list()
    if lake.store.exists(epoch):
        yield listed(lake, epoch, lake.epoch)
    if lake.store.exists(removal):
        yield listed(lake, removal, lambda: read_with_sum(lake.store.get(removal), removal))


def _volume_checks(lake: Lake) -> Checks:
    for folder in _volumes(lake):
        yield listed(lake, folder, partial(verify_folder, lake.store, folder))


def _volumes(lake: Lake) -> Iterator[str]:
    top = lake.store.absolute(LAYOUT.objects())
    for prefix in sorted(top.glob("[0-9a-f][0-9a-f]")):
        with os.scandir(prefix) as entries:
            names = sorted(entry.name for entry in entries)
        yield from (f"{LAYOUT.objects()}/{prefix.name}/{name}" for name in names)


def _segment_checks(lake: Lake) -> Checks:
    for name in list_segments(lake):
        yield listed(lake, name, partial(read_segment, lake, name))


def _model_checks(lake: Lake) -> Checks:
    top = lake.store.absolute(LAYOUT.models())
    for folder in sorted(top.iterdir()) if top.is_dir() else ():
        path = folder.relative_to(lake.root).as_posix()
        if path != LAYOUT.model_register():
            yield listed(lake, path, partial(model_files, lake, folder.name))
    for path in lake.store.list(LAYOUT.model_register()):
        yield listed(lake, path, partial(_check_model_entry, lake, path))
    for path in lake.store.list(LAYOUT.fits()):
        yield listed(lake, path, partial(check_fit, lake, path))


def _check_model_entry(lake: Lake, path: str) -> None:
    remedy = "its model is gone; remove it and add the model again"
    check_entry(lake, path, LAYOUT.model_entry, LAYOUT.model, remedy=remedy)


def _private_checks(lake: Lake, *, is_keyed: bool) -> Checks:
    top = LAYOUT.private_folder()
    for folder, _, names in os.walk(lake.store.absolute(top)):
        for name in sorted(name for name in names if name.endswith(".sealed")):
            path = Path(folder, name).relative_to(lake.root).as_posix()
            blob = path.removeprefix(f"{top}/").removesuffix(".sealed")
            yield listed(lake, path, partial(lake.private.get, blob) if is_keyed else partial(lake.store.exists, path))
