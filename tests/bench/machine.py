"""What the figures were measured on, and how fast it copies."""

from __future__ import annotations

import os
import platform
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from medpipe.engine.numeric import is_pinned, numeric_class

LIBRARIES = (
    "numpy", "scipy", "scikit-image", "numba", "pydicom", "SimpleITK", "zarr", "numcodecs", "pyarrow", "dask",
    "distributed",
)  # fmt: skip

_COPY_BYTES = 256 << 20


def machine() -> dict[str, Any]:
    """Return processor, memory, Python and library versions."""
    return {
        "cpu": _cpu_model(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "numeric_class": numeric_class(),
        "pinned": is_pinned(),
        "load_1min": round(os.getloadavg()[0], 2),
        "libraries": {name: version(name) for name in LIBRARIES},
        "command": " ".join(["python", *sys.orig_argv[1:]]),
    }


def describe(facts: dict[str, Any]) -> list[str]:
    """Return :func:`machine` as lines to read."""
    libraries = ", ".join(f"{name} {number}" for name, number in facts["libraries"].items())
    place = f"{facts['cpu']}, {facts['cores']} cores, {facts['memory_gib']} GiB, {facts['system']}"
    return [
        f"{place}, load {facts['load_1min']}; Python {facts['python']}, class {facts['numeric_class']}",
        libraries,
        facts["command"],
    ]


def copy_bytes_per_s() -> float:
    """Return the bytes a second one core reads and writes when it copies an array beyond its caches."""
    source = np.ones(_COPY_BYTES // 8)
    target = np.zeros_like(source)
    best_s = min(_copy_s(source, target) for _ in range(7))
    return 2 * _COPY_BYTES / best_s


def _copy_s(source: np.ndarray, target: np.ndarray) -> float:
    start_s = time.process_time()
    np.copyto(target, source)
    return time.process_time() - start_s


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((text.partition(":")[2].strip() for text in lines if text.startswith("model name")), "unknown")
