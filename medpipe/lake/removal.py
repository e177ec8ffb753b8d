"""Removing what is out of reach: each thing goes at once or not at all."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from medpipe.lake.durable import fsync_path, storage_faults
from medpipe.lake.failpoints import hit
from medpipe.lake.lake import Lake
from medpipe.lake.layout import LAYOUT
from medpipe.lake.sweep import ATTEMPT, STALE, Found

ORDER = (
    ATTEMPT,
    "publication",
    "snapshot",
    "snapshot range",
    "segment",
    "volume",
    "model",
    "index",
    STALE,
    "private",
    "plan",
    "run",
)
"""Kinds of what can be removed, in the order of removal: nothing goes before what leads to it."""


def remove(lake: Lake, found: Sequence[Found]) -> None:
    """Remove things, one whole thing at a time: a kill leaves each there or gone.

    Raises
    ------
    StoppedError
        If the file system refuses.
    """
    for kind in ORDER:
        parents = set()
        for path in (lake.store.absolute(one.path) for one in found if one.kind == kind):
            hit("gc.before_remove")
            with storage_faults("the removal list"):
                _remove(lake, path)
            hit("gc.after_remove")
            parents.add(path.parent)
        for parent in parents:
            _settle(lake, parent)


def bytes_freed(lake: Lake, path: str) -> int:
    """Return how many bytes removing a path frees; a file that has another name elsewhere frees none."""
    target = lake.store.absolute(path)
    files = (
        [target] if not target.is_dir() else (Path(top, name) for top, _, names in os.walk(target) for name in names)
    )
    stats = (file.lstat() for file in files)
    return sum(stat.st_size for stat in stats if stat.st_nlink == 1)


def _remove(lake: Lake, path: Path) -> None:
    if not path.is_dir() or path.is_symlink():
        path.unlink(missing_ok=True)
        return
    # Out of its name at once, and then file by file: half a folder is never seen under it, nor
    # can one who wrote there and wakes up add to it.
    with lake.store.attempt("removed") as aside:
        path.rename(aside)


def _settle(lake: Lake, folder: Path) -> None:
    """Make removals durable; a folder left empty goes too, if it is one that a run made for itself."""
    own = (LAYOUT.segments(), LAYOUT.runs(), f"{LAYOUT.private_folder()}/plan")
    fsync_path(folder)
    within = folder.relative_to(lake.root).as_posix()
    if any(within.startswith(f"{top}/") for top in own) and not any(folder.iterdir()):
        folder.rmdir()
        fsync_path(folder.parent)
