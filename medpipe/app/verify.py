"""``medpipe verify``: read everything and compare it with its manifests, digests and sums."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

from medpipe.app.keyed import open_keyed
from medpipe.app.progress import Progress, Silent
from medpipe.app.scan_state import live_private
from medpipe.app.site import Site
from medpipe.errors import ConfigError, IntegrityError, MedpipeError
from medpipe.lake.audit import Checks, audits, check_description, count_volumes
from medpipe.lake.lake import Lake
from medpipe.lake.layout import LAYOUT
from medpipe.lake.private import lacking

KINDS = ("lake", "segment", "results", "snapshot", "index", "tables", "model", "run", "private", "volume")
"""What can be verified by itself."""


def verify_lake(
    root: Path, *, site: Site | None = None, only: Collection[str] = (), progress: Progress | None = None
) -> dict[str, Any]:
    """Read every file of a lake that a digest, a sum or a seal stands for.

    Parameters
    ----------
    root : Path
    site : Site, optional
        Names the key; without the lake's key sealed blobs are only counted.
    only : collection of str
        Kinds of :data:`KINDS`; all of them if empty.
    progress : Progress, optional

    Returns
    -------
    dict
        Counts by kind, and ``damaged``: one line per thing that is not what it should be.

    Raises
    ------
    ConfigError
        For an unknown kind.
    """
    unknown = sorted(set(only) - set(KINDS))
    if unknown:
        raise ConfigError(f"--only {unknown[0]}: there is no such kind (there are {', '.join(KINDS)})")
    said = progress or Silent()
    try:
        check_description(root)
    except MedpipeError as error:
        return {"lake": 1, "damaged": [_line("lake", "lake.json", error)]}
    lake, is_keyed = open_keyed(root, site or Site())
    counts: dict[str, int] = {}
    damaged: list[str] = []
    for audit in audits(lake, is_keyed=is_keyed):
        if not only or audit.kind.partition(",")[0] in only:
            said.stage(f"verify {audit.kind}", count_volumes(lake) if audit.kind == "volume" else None)
            counts[audit.kind] = _verified(audit.kind, audit.checks(), damaged, said)
        if audit.kind == "private" and (not only or "private" in only):
            _verified("private", _presence(lake), damaged, Silent())
    return {**counts, "damaged": damaged}


def _verified(kind: str, checks: Checks, damaged: list[str], progress: Progress) -> int:
    count = 0
    for what, check in checks:
        count += 1
        progress.advance()
        try:
            check()
        except FileNotFoundError:
            damaged.append(f"{kind} {what}: it is missing")
        except MedpipeError as error:
            damaged.append(_line(kind, what, error))
    return count


def _presence(lake: Lake) -> Checks:
    """Yield the check that nothing is missing of what scans have sealed."""
    yield LAYOUT.private_folder(), lambda: _check_presence(lake)


def _check_presence(lake: Lake) -> None:
    named: set[str] = set()
    missing: list[str] = []
    # a scan that ended between the two looks names others, and has removed those it names no more
    while (now := live_private(lake)) != named:
        named, missing = now, sorted(name for name in now if not lake.private.exists(name))
    if missing:
        raise IntegrityError(lacking(missing))


def _line(kind: str, what: str, error: MedpipeError) -> str:
    return f"{kind} {what}: {str(error).removeprefix(f'{what}: ')}"
