"""The sink an engine keeps results in: sealed segments of the lake."""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from medpipe.lake.lake import Lake
from medpipe.lake.segments import SegmentWriter


def open_sink(init: Mapping[str, Any]) -> SegmentWriter:
    """Open a segment writer for ``init["run"]`` in ``init["lake"]``; no key is needed."""
    writer = f"{os.getpid()}-{secrets.token_hex(4)}"
    return SegmentWriter(Lake.open(Path(init["lake"])), init["run"], writer)
