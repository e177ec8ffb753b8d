"""The numeric class: what makes the same case give the same bits on another host.

Libraries choose kernels by the processor they find, and AVX-512 kernels round otherwise than
AVX2 ones (measured: NumPy's ``exp`` and ``log``, Numba's reductions, BLAS products). A process
is *pinned* if it was started with :func:`pinned_environment`: one thread each, and code for
x86-64-v3 whatever the processor offers above. The variables are read when a library is
imported, so they work from the start of a process or not at all.
"""

from __future__ import annotations

import importlib.metadata
import os
import platform
import sys
from functools import cache
from pathlib import Path

V3_CLASS = "cpu-x86-64-v3"
"""Class of a pinned process on an x86-64 host with AVX2 and FMA."""

_THREADS = dict.fromkeys(
    (
        "OMP_NUM_THREADS",
        "OPENBLAS_NUM_THREADS",
        "MKL_NUM_THREADS",
        "BLIS_NUM_THREADS",
        "VECLIB_MAXIMUM_THREADS",
        "NUMEXPR_NUM_THREADS",
        "NUMBA_NUM_THREADS",
        "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS",
    ),
    "1",
)

# What a host's environment could change of a device's arithmetic: how sums are parted, and products in 10 bits.
_DEVICE = {"CUPY_ACCELERATORS": "cub", "CUPY_TF32": "0", "NVIDIA_TF32_OVERRIDE": "0"}

_V3_FLAGS = frozenset({"avx2", "fma", "bmi1", "bmi2", "f16c", "movbe", "abm"})

# NumPy 2.4 groups its targets by level and can be told the one to allow; before, each was
# named on its own and those above AVX2 have to be forbidden one by one.
_NUMPY_ALLOWED = {"NPY_ENABLE_CPU_FEATURES": "X86_V3"}
_NUMPY_FORBIDDEN = {
    "NPY_DISABLE_CPU_FEATURES": "AVX512F AVX512CD AVX512_SKX AVX512_CLX AVX512_CNL AVX512_ICL AVX512_SPR"
}


def pinned_environment() -> dict[str, str]:
    """Return the variables a process must start with to compute in this host's pinned class.

    Returns
    -------
    dict of str to str
        Thread counts of one, a fixed hash seed, what CuPy's sums and products depend on and, on x86-64
        with AVX2 and FMA, code for x86-64-v3 in NumPy, OpenBLAS, MKL and Numba.
    """
    variables = {**_THREADS, **_DEVICE, "PYTHONHASHSEED": "0"}
    if not _has_v3():
        return variables
    return {
        **variables,
        **(_NUMPY_ALLOWED if _numpy_version() >= (2, 4) else _NUMPY_FORBIDDEN),
        "OPENBLAS_CORETYPE": "Haswell",
        "MKL_CBWR": "AVX2",
        "NUMBA_CPU_NAME": "x86-64-v3",
        # the name alone leaves the host's own features, AVX-512 among them, switched on
        "NUMBA_CPU_FEATURES": "",
        "NUMBA_DISABLE_INTEL_SVML": "1",
    }


def is_pinned() -> bool:
    """Tell whether this process was started with :func:`pinned_environment`."""
    started_with = _environment_at_start()
    return all(started_with.get(name) == value for name, value in pinned_environment().items())


def numeric_class() -> str:
    """Return the class this process computes in on the CPU.

    Returns
    -------
    str
        ``cpu-x86-64-v3`` if the processor has AVX2 and FMA and either the process is pinned or
        the processor offers nothing above; else ``cpu-`` and the machine's name.
    """
    if _has_v3() and (is_pinned() or not _has_avx512()):
        return V3_CLASS
    return _machine_class()


def sandbox_class() -> str:
    """Return the class a sandbox on this host computes in; sandboxes are always pinned."""
    return V3_CLASS if _has_v3() else _machine_class()


def restart_pinned() -> None:
    """Replace this process by the same command with the pinned environment, once.

    For programs that compute in their own process (the serial engine) and want the class the
    sandboxes have. Does nothing if the process is pinned already. Call it before anything is
    opened.
    """
    if not is_pinned():
        os.execve(sys.executable, sys.orig_argv, {**os.environ, **pinned_environment()})  # noqa: S606  # the same command again


def _machine_class() -> str:
    return f"cpu-{platform.machine().lower().replace('_', '-')}"


def _has_v3() -> bool:
    return platform.machine().lower() in {"x86_64", "amd64"} and _cpu_flags() >= _V3_FLAGS


def _has_avx512() -> bool:
    return any(flag.startswith("avx512") for flag in _cpu_flags())


@cache
def _cpu_flags() -> frozenset[str]:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace")
    except OSError:
        return frozenset()
    for line in text.splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "flags":
            return frozenset(value.split())
    return frozenset()


@cache
def _environment_at_start() -> dict[str, str]:
    # a variable set after the start reaches no library that is imported already
    try:
        raw = Path("/proc/self/environ").read_bytes()
    except OSError:
        return dict(os.environ)
    pairs = (entry.partition("=") for entry in os.fsdecode(raw).split("\0") if entry)
    return {name: value for name, _, value in pairs}


def _numpy_version() -> tuple[int, int]:
    major, minor = importlib.metadata.version("numpy").split(".")[:2]
    return int(major), int(minor)
