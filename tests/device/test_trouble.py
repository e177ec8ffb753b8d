"""What an error of CuPy says, told without CuPy; and room on the device for a step, or none."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest

from medpipe.errors import ConfigError, StoppedError
from medpipe.xp import (
    DeviceMemoryError,
    device_share,
    device_trouble,
    freeing,
    limit_device_memory,
    resolve_device,
    to_device,
    with_device_memory,
)
from tests.device.standing import stand_in


def an_error(name, module, base=RuntimeError, **fields):
    error = type(name, (base,), {"__module__": module})("near a value of a patient")
    for field, value in fields.items():
        setattr(error, field, value)
    return error


def raised_in(module, error):
    """Return an error of Python's own as a compiled module raises it."""
    try:
        exec("raise error", {"__name__": module, "error": error})
    except type(error) as found:
        return found


RUNTIME = "cupy_backends.cuda.api.runtime"

# statuses are those of the headers of CUDA 12: driver_types.h, cuda.h, cufft.h, cublas_api.h, cusolver_common.h
ERRORS = [
    (an_error("OutOfMemoryError", "cupy.cuda.memory", MemoryError), "memory"),
    (an_error("CUDARuntimeError", RUNTIME, status=2), "memory"),
    (an_error("CUDADriverError", "cupy_backends.cuda.api.driver", status=2), "memory"),
    (an_error("CuFFTError", "cupy.cuda.cufft", result=2), "memory"),
    (an_error("CUBLASError", "cupy_backends.cuda.libs.cublas", status=3), "memory"),
    (an_error("CUSOLVERError", "cupy_backends.cuda.libs.cusolver", status=2), "memory"),
    (DeviceMemoryError(), "memory"),
    (raised_in("cupy.cuda.thrust", MemoryError()), "memory"),
    (raised_in("cupy.cuda.thrust", RuntimeError()), "lost"),
    (raised_in("cupy.cuda.thrust", ValueError()), ""),
    (raised_in("numpy", MemoryError()), ""),
    (raised_in("cupy.cuda.pinned_memory", MemoryError()), ""),
    (an_error("CUDARuntimeError", RUNTIME, status=700), "lost"),
    (an_error("CUDARuntimeError", RUNTIME, status=719), "lost"),
    (an_error("CUDADriverError", "cupy_backends.cuda.api.driver", status=999), "lost"),
    (an_error("CuFFTError", "cupy.cuda.cufft", result=6), "lost"),
    (an_error("CUBLASError", "cupy_backends.cuda.libs.cublas", status=13), "lost"),
    (an_error("CUDARuntimeError", RUNTIME, status=1), ""),
    (an_error("CuFFTError", "cupy.cuda.cufft", result=4), ""),
    (an_error("CUBLASError", "cupy_backends.cuda.libs.cublas", status=7), ""),
    (an_error("CUSOLVERError", "cupy_backends.cuda.libs.cusolver", status=3), ""),
    (an_error("CompileException", "cupy.cuda.compiler", Exception), ""),
    (an_error("OutOfMemoryError", "torch", RuntimeError), ""),
    (MemoryError(), ""),
    (ValueError(), ""),
]


@pytest.mark.parametrize(
    ("error", "trouble"), ERRORS, ids=lambda value: getattr(value, "__class__", type(value)).__name__
)
def test_an_error_tells_whether_the_device_is_full_or_lost(error, trouble):
    assert device_trouble(error) == trouble


def test_a_step_without_room_leaves_nothing_behind():
    held = []

    def step():
        held.append("began")
        first = to_device(b"", device="cpu")
        cupy = sys.modules["cupy"]
        return first, cupy.zeros(1000), cupy.zeros(1000)

    with stand_in(limit=10_000) as cupy:
        with pytest.raises(DeviceMemoryError) as told:
            with_device_memory(step)
        assert (cupy.standin.live(), told.value.__context__, told.value.__cause__) == (0, None, None)
    assert held == ["began"]


def test_other_errors_of_a_step_are_its_own():
    with pytest.raises(ZeroDivisionError):
        with_device_memory(lambda: 1 // 0)


def test_processes_of_a_host_share_the_device_alike_and_keep_to_it():
    with stand_in(limit=100_000) as cupy:
        assert device_share(None, processes=2) == 40_000
        assert device_share(90_000, processes=3) == 30_000
        assert device_share(5, processes=10) == 1
        limit_device_memory(30_000)
        cupy.zeros(3000)
        with pytest.raises(cupy.cuda.memory.OutOfMemoryError):
            cupy.zeros(5000)


POOLS = ("get_default_memory_pool", "get_default_pinned_memory_pool")


class Pool:
    """Keeps what is given back, and counts it against its limit, as CuPy's does."""

    def __init__(self, limit):
        self.limit, self.used, self.kept = limit, 0, 0

    def malloc(self, size):
        if self.used + self.kept + size > self.limit:
            raise MemoryError
        self.used += size
        return size

    def free(self, size):
        self.used, self.kept = self.used - size, self.kept + size

    def free_all_blocks(self):
        self.kept = 0


def test_what_a_pool_keeps_is_given_back_before_there_is_no_memory(monkeypatch):
    pool = Pool(100)
    monkeypatch.setitem(sys.modules, "cupy", SimpleNamespace(**dict.fromkeys(POOLS, lambda: pool)))
    allocate = freeing(pool.malloc, MemoryError)
    pool.free(allocate(60))
    with pytest.raises(MemoryError):
        pool.malloc(70)
    assert allocate(70) == 70
    with pytest.raises(MemoryError):
        allocate(40)


def test_a_device_that_does_not_answer_stops_the_work(monkeypatch):
    with stand_in() as cupy:

        def no_answer(*_):
            raise cupy.cuda.runtime.CUDARuntimeError(999)

        monkeypatch.setattr(cupy.cuda.runtime, "getDeviceProperties", no_answer)
        with pytest.raises(StoppedError, match="give the same command again"):
            device_share(None, processes=1)


def test_without_a_compiler_there_is_no_use_of_a_device(monkeypatch):
    with stand_in() as cupy:
        assert resolve_device("auto") == "cuda"

        def not_found():
            raise RuntimeError("libnvrtc.so.12")

        monkeypatch.setattr(cupy.cuda.nvrtc, "getVersion", not_found)
        with pytest.raises(ConfigError, match=r"NVRTC \(RuntimeError\)"):
            resolve_device("cuda")
        assert resolve_device("auto") == "cpu"


def test_a_folder_of_kernels_must_take_them(monkeypatch, tmp_path):
    with stand_in():
        for folder, device in ((tmp_path, "cuda"), (tmp_path / "new", "cuda"), (tmp_path / "file", "cpu")):
            (tmp_path / "file").touch()
            monkeypatch.setenv("CUPY_CACHE_DIR", str(folder))
            assert resolve_device("auto") == device
        with pytest.raises(ConfigError, match="CUPY_CACHE_DIR"):
            resolve_device("cuda")
        monkeypatch.setenv("CUPY_CACHE_IN_MEMORY", "1")
        assert resolve_device("auto") == "cuda"


def test_a_home_that_takes_no_folder_is_a_reason_not_to_use_the_device(monkeypatch, tmp_path):
    # CuPy makes its folder of kernels while it is imported
    package = tmp_path / "cupy"
    package.mkdir()
    (package / "__init__.py").write_text("raise PermissionError(13, 'Permission denied', '/nobody/.cupy')\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "cupy", raising=False)
    with pytest.raises(ConfigError, match=r"PermissionError.*CUPY_CACHE_DIR"):
        resolve_device("cuda")
    assert resolve_device("auto") == "cpu"
