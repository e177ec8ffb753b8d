from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from medpipe.engine import numeric

PROBE = """
import json, warnings
warnings.simplefilter("error")
import numba, numpy as np, scipy.linalg, threadpoolctl
from numba.core.registry import cpu_target
from numpy._core import _multiarray_umath as umath
from medpipe.engine.numeric import is_pinned, numeric_class

@numba.njit(fastmath=True)
def dot(a, b):
    total = 0.0
    for i in range(a.size):
        total += a[i] * b[i]
    return total

dot(np.ones(8), np.ones(8))
print(json.dumps({
    "numpy": [name for name in umath.__cpu_dispatch__ if umath.__cpu_features__[name]],
    "numba": cpu_target.target_context.codegen().magic_tuple()[1:],
    "wide": any("zmm" in asm for asm in dot.inspect_asm().values()),
    "blas": [[lib["architecture"], lib["num_threads"]] for lib in threadpoolctl.threadpool_info()],
    "numba_threads": numba.get_num_threads(),
    "pinned": is_pinned(),
    "class": numeric_class(),
}))
"""


def python(code, environment):
    result = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return result.stdout


needs_v3 = pytest.mark.skipif(numeric.sandbox_class() != numeric.V3_CLASS, reason="this processor has no AVX2")


@needs_v3
@pytest.mark.timeout(60)
def test_a_pinned_process_uses_nothing_above_v3_and_one_thread():
    seen = json.loads(python(PROBE, numeric.pinned_environment()))
    assert seen["numpy"] == ["X86_V3"]
    assert seen["numba"] == ["x86-64-v3", ""]
    assert not seen["wide"]
    assert seen["blas"]
    assert all(library == ["Haswell", 1] for library in seen["blas"])
    assert seen["numba_threads"] == 1
    assert seen["pinned"]
    assert seen["class"] == numeric.V3_CLASS


@needs_v3
def test_variables_set_after_the_start_do_not_pin(monkeypatch):
    if numeric.is_pinned():
        pytest.skip("the tests themselves run pinned")
    for name, value in numeric.pinned_environment().items():
        monkeypatch.setenv(name, value)
    assert not numeric.is_pinned()


def test_restart_pinned_starts_the_same_command_again_pinned():
    code = "from medpipe.engine import numeric as n; n.restart_pinned(); print(n.is_pinned(), n.numeric_class())"
    assert python(code, {}).split() == ["True", numeric.sandbox_class()]


def test_a_processor_above_v3_gives_the_v3_class_only_when_pinned(monkeypatch):
    v3 = frozenset({"avx2", "fma", "bmi1", "bmi2", "f16c", "movbe", "abm"})
    monkeypatch.setattr(numeric.platform, "machine", lambda: "x86_64")
    monkeypatch.setattr(numeric, "_environment_at_start", dict)
    monkeypatch.setattr(numeric, "_cpu_flags", lambda: v3)
    assert numeric.numeric_class() == "cpu-x86-64-v3"
    monkeypatch.setattr(numeric, "_cpu_flags", lambda: v3 | {"avx512f"})
    assert numeric.numeric_class() == "cpu-x86-64"
    assert numeric.sandbox_class() == "cpu-x86-64-v3"
    monkeypatch.setattr(numeric, "is_pinned", lambda: True)
    assert numeric.numeric_class() == "cpu-x86-64-v3"


def test_another_processor_is_its_own_class(monkeypatch):
    monkeypatch.setattr(numeric.platform, "machine", lambda: "aarch64")
    assert numeric.numeric_class() == numeric.sandbox_class() == "cpu-aarch64"
