"""``RawKernel`` without a device: CUDA C compiled for the host, its threads run one after the other.

What it proves: that a kernel compiles as C++, takes the arguments it is given, touches nothing beyond its arrays,
writes to none that is const, gives the same bytes whichever threads go first, and what it computes. What it does not
prove: that a compiler of CUDA takes it, how fast it is, and how a device rounds beyond single operations.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

SHIM = Path(__file__).with_name("shim.h")
COMPILER = shutil.which("g++") if sys.platform == "linux" else None
NO_COMPILER = "no g++ of Linux is here, which compiles kernels for the host"
"""Why a test that launches kernels on the stand-in is skipped."""

WARP = 32
MOST_THREADS = 1024

_SCALARS = {
    "int": np.int32,
    "long long": np.int64,
    "unsigned int": np.uint32,
    "float": np.float32,
    "double": np.float64,
}
_ARRAYS = {**_SCALARS, "unsigned char": np.uint8, "bool": np.bool_}
_KNOWN_OPTIONS = ("--fmad=false",)
_FLAGS = ("-std=c++17", "-O1", "-fPIC", "-shared", "-ffp-contract=off", "-fno-strict-aliasing", "-U_FORTIFY_SOURCE")


class Parameter(NamedTuple):
    """What a kernel takes at one place."""

    dtype: np.dtype[Any]
    is_array: bool
    is_const: bool


class RawKernel:
    """Stands in for ``cupy.RawKernel``.

    Parameters
    ----------
    code : str
        CUDA C.
    name : str
        A function of it, ``extern "C"``.
    options : tuple of str
        ``-DNAME=VALUE`` or ``--fmad=false``; others are refused, so that none is passed over in silence.
    """

    def __init__(self, code: str, name: str, options: tuple[str, ...] = ()) -> None:
        if not isinstance(options, tuple):
            raise TypeError("options: CuPy takes a tuple")
        unknown = [one for one in options if one not in _KNOWN_OPTIONS and not re.fullmatch(r"-D\w+=\S*", one)]
        if unknown:
            raise ValueError(f"options: {unknown} are not known here")
        self.name = name
        self.parameters, self.most_threads = _declared(code, name)
        self.waits = "_sync(" in code
        defined = tuple(one for one in options if one.startswith("-D"))
        self._run = ctypes.CDLL(str(_built(code + _driver(name, self.parameters), defined))).run_it

    def __call__(
        self, grid: tuple[int, ...], block: tuple[int, ...], args: Sequence[Any], *, shared_mem: int = 0
    ) -> None:
        """Run all threads of all blocks, twice: first to last, and last to first in other memory."""
        if shared_mem:
            raise NotImplementedError("kernels here share no memory")
        threads = int(np.prod(block))
        if not 0 < threads <= min(self.most_threads, MOST_THREADS) or min(grid) < 1 or max(grid[1:], default=1) > 65535:
            raise ValueError(f"{self.name}: cannot be launched as {grid} blocks of {block} threads")
        if self.waits and threads % WARP:
            raise ValueError(f"{self.name}: a warp is not whole")
        if len(args) != len(self.parameters):
            raise TypeError(f"{self.name} takes {len(self.parameters)} arguments, not {len(args)}")
        given = [_given(self.name, place, *pair) for place, pair in enumerate(zip(args, self.parameters, strict=True))]
        made = [self._once(grid, block, given, turned=turned) for turned in (False, True)]
        for array, first, second, parameter in zip(given, *made, self.parameters, strict=True):
            if parameter.is_array and not parameter.is_const:
                if first.tobytes() != second.tobytes():
                    raise RuntimeError(f"{self.name}: the result depends on which thread is first")
                array[...] = first

    def _once(
        self, grid: tuple[int, ...], block: tuple[int, ...], given: list[np.ndarray], *, turned: bool
    ) -> list[np.ndarray]:
        copies = [array.copy() for array in given]
        pointers = (ctypes.c_void_p * len(copies))(*(array.ctypes.data for array in copies))
        sizes = (ctypes.c_size_t * len(copies))(*(array.nbytes for array in copies))
        told = (ctypes.c_longlong * 2)()
        outcome = self._run(_three(grid), _three(block), int(self.waits), int(turned), pointers, sizes, told)
        if outcome == 1:
            raise IndexError(f"{self.name}: touches byte {told[1]} of argument {told[0]}, which it must not")
        if outcome == 2:
            raise RuntimeError(f"{self.name}: threads of a warp wait for others that do not come")
        return copies


def _given(name: str, place: int, given: Any, parameter: Parameter) -> np.ndarray:
    """Return an argument as the array of its bytes; a device would take what it must not, and go on."""
    if not parameter.is_array:
        if type(given) is not parameter.dtype.type:
            raise TypeError(f"{name}: argument {place} is {type(given).__name__}, not {parameter.dtype}")
        return np.asarray(given)
    # as the stand-in of CuPy holds it; CuPy refuses arrays of NumPy here
    array = getattr(given, "_host", None)
    if array is None or array.dtype != parameter.dtype:
        raise TypeError(f"{name}: argument {place} is no array of {parameter.dtype} on the device")
    if not array.flags.c_contiguous:
        raise ValueError(f"{name}: argument {place} is not contiguous")
    return array


def _declared(code: str, name: str) -> tuple[list[Parameter], int]:
    """Return the parameters of a kernel as its source declares them, and the most threads of a block."""
    head = rf'extern "C" __global__ void\s+(?:__launch_bounds__\((\d+)\)\s+)?{re.escape(name)}\s*\(([^)]*)\)'
    found = re.search(head, code)
    if found is None:
        raise ValueError(f'{name}: no function of this name is extern "C" __global__')
    return [_parameter(part) for part in found[2].split(",")], int(found[1] or MOST_THREADS)


def _parameter(text: str) -> Parameter:
    words = text.replace("*", " * ").replace("__restrict__", "").split()[:-1]
    is_const, is_array = "const" in words, "*" in words
    kind = " ".join(word for word in words if word not in {"const", "*"})
    return Parameter(np.dtype((_ARRAYS if is_array else _SCALARS)[kind]), is_array, is_const)


def _driver(name: str, parameters: list[Parameter]) -> str:
    """Return C++ that takes arguments from memory, arrays in guarded copies, and runs a kernel."""
    arguments, wheres = [], []
    for place, parameter in enumerate(parameters):
        kind = next(kind for kind, scalar in _ARRAYS.items() if parameter.dtype == scalar)
        if parameter.is_array:
            arguments.append(f"({kind}*)shim_arrays[{place}].data")
            wheres.append(f"{{true, {str(parameter.is_const).lower()}}}")
        else:
            arguments.append(f"*({kind}*)shim_given[{place}]")
            wheres.append("{false, false}")
    count = len(parameters)
    return f"""
static void** shim_given;
static shim::Guarded shim_arrays[{count}];
static const bool shim_kinds[{count}][2] = {{{", ".join(wheres)}}};
static void shim_body() {{ {name}({", ".join(arguments)}); }}
extern "C" int run_it(const unsigned* grid, const unsigned* block, int waits, int turned, void** given,
                      const size_t* sizes, long long* told)
{{
    shim_given = given;
    for (int i = 0; i < {count}; ++i) {{
        if (shim_kinds[i][0]) {{
            shim_arrays[i] = shim::guarded(given[i], sizes[i], shim_kinds[i][1], !turned);
        }}
    }}
    shim::body = shim_body;
    const int outcome = shim::run(grid, block, waits, turned);
    for (int i = 0; i < {count}; ++i) {{
        if (!shim_kinds[i][0]) {{
            continue;
        }}
        const shim::Guarded array = shim_arrays[i];
        if (shim::touched >= array.all && shim::touched < array.all + array.whole) {{
            told[0] = i;
            told[1] = shim::touched - array.data;
        }}
        memcpy(given[i], array.data, array.bytes);
        munmap(array.all, array.whole);
    }}
    return outcome;
}}
"""


def _built(code: str, options: tuple[str, ...]) -> Path:
    """Return the library of a source, compiled where it is not there yet."""
    if COMPILER is None:
        # whichever test comes here; processes of a run that have no use for it do without the library
        import pytest

        # no Exception, so that nothing on the way takes it for trouble of a device
        pytest.skip(NO_COMPILER)
    whole = SHIM.read_text(encoding="utf-8") + code
    digest = hashlib.sha256("\0".join([whole, *options, *_FLAGS]).encode()).hexdigest()
    folder = Path(tempfile.gettempdir()) / f"medpipe-raw-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.stat().st_uid != os.getuid():
        raise RuntimeError(f"{folder} is another's: nothing is loaded from there")
    library = folder / f"{digest}.so"
    if not library.exists():
        with tempfile.TemporaryDirectory(dir=folder) as own:
            source, made = Path(own) / "kernel.cpp", Path(own) / "kernel.so"
            source.write_text(whole, encoding="utf-8")
            command = [COMPILER, *_FLAGS, *options, "-o", str(made), str(source), "-lm"]
            ended = subprocess.run(command, capture_output=True, text=True, check=False)
            if ended.returncode:
                raise RuntimeError(ended.stderr)
            made.replace(library)
    return library


def _three(sizes: tuple[int, ...]) -> Any:
    return (ctypes.c_uint * 3)(*sizes, *([1] * (3 - len(sizes))))
