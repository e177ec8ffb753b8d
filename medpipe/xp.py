"""Array namespace and device: the only door to CuPy.

A kernel asks :func:`backend_of` of the array it was given, never of a global, so one body
serves CPU and GPU. A volume is moved to the device once per case by :func:`to_device` and
comes back as numbers.
"""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, TypeVar

import numpy as np

from medpipe.errors import ConfigError, StoppedError
from medpipe.types import Array

Made = TypeVar("Made")

_NAME_A_FOLDER: Final = "let CUPY_CACHE_DIR name one that may be written to"

_DEVICE_SHARE: Final = 0.8
"""Of a device's memory, what arrays may have: contexts and code of each process take some, too."""

# arguments, launch shape, unknown function, image or PTX of another device, resources of a launch
_OF_DRIVER: Final = ("status", 2, frozenset({1, 9, 98, 209, 218, 222, 701}))
# by class of error: which field has the status, which says that there was no memory, and which are a mistake of the
# code or of the installation, which leaves the device as it was
_STATUSES: Final = {
    "CUDARuntimeError": _OF_DRIVER,
    "CUDADriverError": _OF_DRIVER,
    "CuFFTError": ("result", 2, frozenset({1, 3, 4, 8, 9, 10, 14, 16})),
    "CUBLASError": ("status", 3, frozenset({7, 8, 15})),
    "CUSOLVERError": ("status", 2, frozenset({3, 4, 8, 9})),
}
# sorting is C++, whose errors become Python's own: without room for its work, or any other of the driver
_OF_SORTING: Final[dict[type[BaseException], Literal["memory", "lost"]]] = {MemoryError: "memory", RuntimeError: "lost"}


class DeviceMemoryError(MemoryError):
    """The device had no memory for a step; what the step held there is let go."""


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


def device_trouble(error: BaseException) -> Literal["", "memory", "lost"]:
    """Tell what an error says of the CUDA device, without importing CuPy.

    Returns
    -------
    {"", "memory", "lost"}
        ``memory``: it has not enough of it. ``lost``: it failed, and this process may have no further use of it.
        Empty for all other errors.
    """
    if isinstance(error, DeviceMemoryError):
        return "memory"
    for kind in type(error).__mro__:
        if kind.__module__.partition(".")[0] not in {"cupy", "cupy_backends"}:
            continue
        if kind.__name__ == "OutOfMemoryError":
            return "memory"
        if kind.__name__ in _STATUSES:
            field, no_memory, mistakes = _STATUSES[kind.__name__]
            status = getattr(error, field, None)
            if status == no_memory:
                return "memory"
            return "" if status in mistakes else "lost"
    if type(error) in _OF_SORTING and _raised_in(error) == "cupy.cuda.thrust":
        return _OF_SORTING[type(error)]
    return ""


def _raised_in(error: BaseException) -> str:
    """Return the name of the module that raised an error; empty if nothing tells it."""
    at = error.__traceback__
    while at is not None and at.tb_next is not None:
        at = at.tb_next
    return "" if at is None else str(at.tb_frame.f_globals.get("__name__", ""))


def with_device_memory(step: Callable[[], Made]) -> Made:
    """Return what a step returns.

    Raises
    ------
    DeviceMemoryError
        If the device had no memory for it. The error holds nothing of the step, so that the memory it had is free.
    """
    try:
        return step()
    except Exception as error:
        if device_trouble(error) != "memory":
            raise
    free_device_memory()
    raise DeviceMemoryError


def free_device_memory() -> None:
    """Give back what arrays had that nobody holds any more, and what went to them by; nothing without CuPy."""
    cupy = sys.modules.get("cupy")
    if cupy is None:
        return
    if "cupy.cuda.cufft" in sys.modules:
        # plans of transforms keep room to work in
        cupy.fft.config.clear_plan_cache()
    cupy.get_default_memory_pool().free_all_blocks()
    cupy.get_default_pinned_memory_pool().free_all_blocks()


def device_share(given_bytes: int | None, /, *, processes: int) -> int:
    """Return the bytes of the current CUDA device that the arrays of one process may have.

    Parameters
    ----------
    given_bytes : int or None
        Of all processes together; None for four fifths of what the device has.
    processes : int
        How many share the device.

    Raises
    ------
    StoppedError
        If the device does not answer.
    """
    if given_bytes is None:
        given_bytes = int(_DEVICE_SHARE * _asked(_total_bytes))
    return max(1, given_bytes // processes)


def limit_device_memory(limit_bytes: int, /) -> None:
    """Let the arrays of this process have no more of the device; a case then ends the same whoever is at work beside it.

    Raises
    ------
    StoppedError
        If the device does not answer.
    """

    def limit(cupy: Any) -> None:
        pool = cupy.get_default_memory_pool()
        pool.set_limit(size=limit_bytes)
        cupy.cuda.set_allocator(freeing(pool.malloc, cupy.cuda.memory.OutOfMemoryError))

    _asked(limit)


def freeing(malloc: Callable[[int], Made], full: type[Exception], /) -> Callable[[int], Made]:
    """Return an allocator that gives back what nobody uses before it says that there is no memory.

    A pool counts what it keeps for later against its limit, and gives it back only where the device itself is full:
    what a case may have would depend on the cases before it.
    """

    def allocate(size: int) -> Made:
        try:
            return malloc(size)
        except full:
            pass
        # arrays in cycles are nobody's, too
        gc.collect()
        free_device_memory()
        return malloc(size)

    return allocate


def resolve_device(wanted: str) -> str:
    """Turn ``auto``, ``cpu`` or ``cuda`` into a device this host has.

    Raises
    ------
    ConfigError
        If CUDA was asked for by name and CuPy, a device, its compiler or a folder for kernels is missing.
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
    except OSError as error:
        return f"CuPy cannot make its folder of kernels ({type(error).__name__}): {_NAME_A_FOLDER}"
    try:
        count = cupy.cuda.runtime.getDeviceCount()
    except Exception as error:  # noqa: BLE001  # the driver error type needs CuPy to name
        return f"no CUDA driver answers ({type(error).__name__})"
    if not count:
        return "no CUDA device is visible"
    try:
        cupy.cuda.nvrtc.getVersion()
    except Exception as error:  # noqa: BLE001  # what a library that cannot be loaded raises is CuPy's to choose
        return f"CuPy finds no compiler, NVRTC ({type(error).__name__}): pip install 'cupy-cuda12x[ctk]'"
    return None if _keeps_kernels() else f"CuPy cannot write to its folder of kernels: {_NAME_A_FOLDER}"


def _keeps_kernels() -> bool:
    """Tell whether compiled kernels can be kept where CuPy keeps them; it makes that folder as it is loaded."""
    if os.environ.get("CUPY_CACHE_IN_MEMORY") == "1":
        return True
    # as CuPy finds it; a path of this library raises where there is no home
    folder = Path(os.environ.get("CUPY_CACHE_DIR") or os.path.expanduser("~/.cupy/kernel_cache"))  # noqa: PTH111
    return not folder.exists() or (folder.is_dir() and os.access(folder, os.W_OK | os.X_OK))


def _total_bytes(cupy: Any) -> int:
    # asked of the driver's properties: the memory that is free would cost a context, and its memory, to know
    runtime = cupy.cuda.runtime
    total: int = runtime.getDeviceProperties(runtime.getDevice())["totalGlobalMem"]
    return total


def _asked(question: Callable[[Any], Any]) -> Any:
    try:
        return question(_cupy())
    except Exception as error:
        if not device_trouble(error):
            raise
        raise StoppedError(
            f"the CUDA device does not answer ({type(error).__name__}): see to it, then give the same command again"
        ) from None


def _cupy() -> Any:
    import cupy

    return cupy
