"""``medpipe doctor``: whether this machine can do the work."""

from __future__ import annotations

import os
import platform
import shutil
import sys
import tempfile
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import psutil

from medpipe.engine.numeric import is_pinned, sandbox_class
from medpipe.errors import ConfigError, SecurityError
from medpipe.privacy.secret import load_secret
from medpipe.xp import resolve_device

_LIBRARIES = (
    "numpy",
    "scipy",
    "numba",
    "pydicom",
    "zarr",
    "pyarrow",
    "duckdb",
    "dask",
    "distributed",
    "scikit-learn",
    "skops",
)
_CODECS = {
    "RLE": "pylibjpeg-rle",
    "JPEG": "pylibjpeg-libjpeg",
    "JPEG, second": "imagecodecs",
    "JPEG 2000": "pylibjpeg-openjpeg",
    "JPEG-LS": "pyjpegls",
}
_OPTIONAL = {"flows (Prefect)": "prefect", "gpu (CuPy)": "cupy-cuda12x", "onnx (onnxruntime)": "onnxruntime"}


def check_machine() -> list[dict[str, Any]]:
    """Return a row per check: what, ok (``yes``, ``no`` or ``-`` for optional), found."""
    rows = [_row("Python", "yes" if (3, 11) <= sys.version_info[:2] <= (3, 13) else "no", platform.python_version())]
    rows += [_library(name, name, optional=False) for name in _LIBRARIES]
    rows += [_library(f"codec {codec}", name, optional=False) for codec, name in _CODECS.items()]
    rows += [_library(what, name, optional=True) for what, name in _OPTIONAL.items()]
    rows.append(_row("cores", "yes", str(os.cpu_count())))
    rows.append(_row("memory", "yes", f"{psutil.virtual_memory().available >> 20} MB free"))
    rows.append(_row("temporary space", "yes", f"{shutil.disk_usage(tempfile.gettempdir()).free >> 20} MB free"))
    rows.append(
        _row("numeric class", "yes", sandbox_class() + (" (this process too)" if is_pinned() else " (in sandboxes)"))
    )
    rows.append(_device())
    rows.append(_key())
    return rows


def _row(what: str, ok: str, found: str) -> dict[str, Any]:
    return {"what": what, "ok": ok, "found": found}


def _library(what: str, name: str, *, optional: bool) -> dict[str, Any]:
    try:
        return _row(what, "yes", version(name))
    except PackageNotFoundError:
        return _row(what, "-" if optional else "no", "not installed")


def _device() -> dict[str, Any]:
    try:
        resolve_device("cuda")
    except ConfigError as error:
        return _row("CUDA device", "-", str(error).partition("but ")[2])
    return _row("CUDA device", "yes", "found")


def _key() -> dict[str, Any]:
    try:
        secret = load_secret()
    except SecurityError as error:
        return _row("key", "no", str(error))
    return _row("key", "yes", f"id {secret.key_id}" + (" (made just now)" if secret.created else ""))
