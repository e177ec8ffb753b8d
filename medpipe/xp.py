"""Array namespace and device: the only door to CuPy.

A kernel asks :func:`backend_of` of the array it was given, never of a global, so one body
serves CPU and GPU. A volume is moved to the device once per case by :func:`to_device` and
comes back as numbers.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Any

import numpy as np

from medpipe.errors import ConfigError
from medpipe.types import Array


@dataclass(frozen=True, slots=True, kw_only=True)
class Backend:
    """The libraries that serve one kind of array.

    Attributes
    ----------
    xp : module
        ``numpy`` or ``cupy``.
    ndi : module
        ``scipy.ndimage`` or ``cupyx.scipy.ndimage``.
    device : str
        ``cpu`` or ``cuda``.
    """

    xp: Any
    ndi: Any
    device: str


def is_cupy(array: Array) -> bool:
    """Tell whether an array lives on a CUDA device, without importing CuPy."""
    return type(array).__module__.partition(".")[0] == "cupy"


def backend_of(array: Array) -> Backend:
    """Return the libraries that serve this array."""
    if is_cupy(array):
        import cupyx.scipy.ndimage as ndi

        return Backend(xp=sys.modules["cupy"], ndi=ndi, device="cuda")
    import scipy.ndimage as ndi

    return Backend(xp=np, ndi=ndi, device="cpu")


def to_numpy(array: Array) -> np.ndarray[Any, Any]:
    """Return the array on the host (no copy if it is there already)."""
    if is_cupy(array):
        host: np.ndarray[Any, Any] = array.get()
        return host
    return np.asarray(array)


def to_device(array: Array, /, *, device: str) -> Array:
    """Return the array on a device: ``cpu`` or ``cuda``."""
    if device == "cpu":
        return to_numpy(array)
    return _cupy().asarray(array)


def resolve_device(wanted: str) -> str:
    """Turn ``auto``, ``cpu`` or ``cuda`` into a device this host has.

    Raises
    ------
    ConfigError
        If CUDA was asked for by name and CuPy or a device is missing.
    """
    if wanted == "cpu":
        return "cpu"
    if wanted not in {"auto", "cuda"}:
        raise ConfigError(f"device: {wanted!r} is none of auto, cpu, cuda")
    why = _why_no_cuda()
    if why is None:
        return "cuda"
    if wanted == "cuda":
        raise ConfigError(f"device: cuda was asked for, but {why}")
    return "cpu"


def cuda_class() -> str:
    """Return the numeric class of the current CUDA device, such as ``cuda-cc90``."""
    return f"cuda-cc{_cupy().cuda.Device().compute_capability}"


def _why_no_cuda() -> str | None:
    try:
        cupy = _cupy()
    except ImportError:
        return "CuPy is not installed: pip install 'medpipe[gpu]'"
    try:
        count = cupy.cuda.runtime.getDeviceCount()
    except Exception as error:  # noqa: BLE001  # the driver error type needs CuPy to name
        return f"no CUDA driver answers ({type(error).__name__})"
    return None if count else "no CUDA device is visible"


def _cupy() -> Any:
    import cupy

    return cupy
