"""medpipe: from an untrusted archive of medical images to tables one can trust.

The public names are below; each is imported when it is first used, so that ``import medpipe``
costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from medpipe.app.api import extract, open_lake, preview, run, scan
    from medpipe.errors import ConfigError, IntegrityError, LakeError, MedpipeError, Rejected, StoppedError
    from medpipe.synth import make_archive
    from medpipe.types import Geometry, Region, Volume

_HOMES = {
    "extract": "medpipe.app.api",
    "open_lake": "medpipe.app.api",
    "preview": "medpipe.app.api",
    "run": "medpipe.app.api",
    "scan": "medpipe.app.api",
    "make_archive": "medpipe.synth",
    "Geometry": "medpipe.types",
    "Region": "medpipe.types",
    "Volume": "medpipe.types",
    "ConfigError": "medpipe.errors",
    "IntegrityError": "medpipe.errors",
    "LakeError": "medpipe.errors",
    "MedpipeError": "medpipe.errors",
    "Rejected": "medpipe.errors",
    "StoppedError": "medpipe.errors",
}

__all__ = [
    "ConfigError",
    "Geometry",
    "IntegrityError",
    "LakeError",
    "MedpipeError",
    "Region",
    "Rejected",
    "StoppedError",
    "Volume",
    "extract",
    "make_archive",
    "open_lake",
    "preview",
    "run",
    "scan",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'medpipe' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
