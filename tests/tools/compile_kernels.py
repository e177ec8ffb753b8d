"""Compile every CUDA kernel with NVIDIA's compiler, which needs no device: registers and spilled bytes as a table.

``python -m tests.tools.compile_kernels [--library libnvrtc.so.12] [--compute 70 80 90]``. The library is that of the
CUDA toolkit, or of the wheel nvidia-cuda-nvrtc-cu12. What is compiled are the sources and options that kernels ask
for when they are called; calls are caught on the stand-in of CuPy. Ends with 1 if anything does not compile.
"""

from __future__ import annotations

import argparse
import ctypes
import importlib.util
import re
import sys
from ctypes.util import find_library
from pathlib import Path

import numpy as np

from medpipe.kernels import launching
from medpipe.kernels.bilateral import bilateral
from medpipe.kernels.gaussian import gaussian
from medpipe.kernels.median import median
from medpipe.kernels.nlm import non_local_means
from medpipe.kernels.total_variation import total_variation
from tests.device.standing import stand_in

SHAPES = ((6, 7, 40), (1, 7, 40))
UNIT = (1.0, 1.0, 1.0)
_OF_CUPY = (b"-ftz=true", b"--device-as-default-execution-space")
"""What CuPy has the compiler do, whatever it is asked: numbers below the normal ones become 0."""

_RESOURCES = re.compile(
    r"Compiling entry function '(\w+)'.*?(\d+) bytes spill stores.*?Used (\d+) registers", re.DOTALL
)

Asked = tuple[str, str, tuple[str, ...]]


def asked_for() -> list[Asked]:
    """Return source, name and options of every kernel that is compiled, each once."""
    found: dict[Asked, None] = {}

    class Caught:
        def __init__(self, code: str, name: str, options: tuple[str, ...] = ()) -> None:
            found[code, name, options] = None

        def __call__(self, *_: object) -> None:
            pass

    with stand_in() as cupy:
        cupy.RawKernel = Caught
        for most in (launching._MOST_NARROW, 0):
            launching._MOST_NARROW, before = most, launching._MOST_NARROW
            for shape in SHAPES:
                _call_all(cupy.zeros(shape, dtype=np.float32))
            launching._MOST_NARROW = before
    floors = (Path(__file__).parents[1] / "bench" / "floors.cu").read_text(encoding="utf-8")
    return [*found, *((floors, name, ()) for name in ("copy", "multiply_adds", "orders"))]


def _call_all(x: object) -> None:
    median(x, size=3)
    total_variation(x, weight=1.0, iterations=3)
    gaussian(x, sigma_mm=1.0, spacing_mm=UNIT)
    bilateral(x, sigma_mm=1.0, sigma_value=1.0, spacing_mm=UNIT)
    for patch_size in (3, 5, 7, 9):
        for rician in (False, True):
            non_local_means(x, patch_size=patch_size, distance=1, h=1.0, sigma=1.0, rician=rician)


def compiled(library: ctypes.CDLL, code: str, options: tuple[str, ...]) -> tuple[int, str]:
    """Return NVRTC's status, 0 if it compiled, and its log."""
    program, size = ctypes.c_void_p(), ctypes.c_size_t()
    library.nvrtcCreateProgram(ctypes.byref(program), code.encode(), b"kernel.cu", 0, None, None)
    given = [b"-std=c++17", b"--ptxas-options=-v", *_OF_CUPY, *(option.encode() for option in options)]
    status = library.nvrtcCompileProgram(program, len(given), (ctypes.c_char_p * len(given))(*given))
    library.nvrtcGetProgramLogSize(program, ctypes.byref(size))
    log = ctypes.create_string_buffer(size.value)
    library.nvrtcGetProgramLog(program, log)
    library.nvrtcDestroyProgram(ctypes.byref(program))
    return status, log.value.decode()


def library_of(path: str | None) -> ctypes.CDLL:
    """Return the compiler: of a path, of NVIDIA's wheel, or of the system."""
    spec = importlib.util.find_spec("nvidia.cuda_nvrtc") if importlib.util.find_spec("nvidia") else None
    wheels = sorted(
        Path(place).glob("lib/libnvrtc.so.*") for place in (spec.submodule_search_locations if spec else ())
    )
    found = path or next((str(one) for wheel in wheels for one in wheel), None) or find_library("nvrtc")
    if found is None:
        raise SystemExit("no NVRTC is here: name its file by --library")
    return ctypes.CDLL(found)


def main() -> int:
    """Compile, print a line for each kernel and device, and say whether all is well."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--library", help="file of the compiler")
    parser.add_argument("--compute", nargs="+", type=int, default=[70, 80, 90], help="capabilities (70 80 90)")
    asked = parser.parse_args()
    library, is_well = library_of(asked.library), True
    for code, name, options in asked_for():
        for compute in asked.compute:
            status, log = compiled(library, code, (*options, f"--gpu-architecture=sm_{compute}"))
            resources = {found[1]: found for found in _RESOURCES.finditer(log)}.get(name)
            is_well = is_well and status == 0
            told = f"{resources[3]} registers, {resources[2]} bytes spilled" if resources else log
            print(f"{name:<16} {compute}  {told:<34} {' '.join(options)}")
    return 0 if is_well else 1


if __name__ == "__main__":
    sys.exit(main())
