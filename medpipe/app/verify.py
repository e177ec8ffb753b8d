"""``medpipe verify``: read everything and compare it with its manifests and digests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from medpipe.errors import IntegrityError
from medpipe.lake.audit import audited
from medpipe.lake.lake import Lake


def verify_lake(root: Path) -> dict[str, Any]:
    """Read every object, segment, snapshot, model and published table.

    Returns
    -------
    dict
        Counts by kind, and ``damaged``: one line per thing that is not what it should be.
    """
    lake = Lake.open(root)
    counts: dict[str, int] = {}
    damaged: list[str] = []
    for kind, what, check in audited(lake):
        counts[kind] = counts.get(kind, 0) + 1
        try:
            check()
        except IntegrityError as error:
            damaged.append(f"{kind} {what}: {str(error).removeprefix(f'{what}: ')}")
    return {**counts, "damaged": damaged}
