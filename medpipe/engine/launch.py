"""How a module of this package starts as a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence

from medpipe.engine.numeric import pinned_environment

# A sandbox reads hostile bytes: it gets what libraries need to work, and none of the
# credentials a site may keep in its environment.
_PASSED = frozenset(
    {"PATH", "HOME", "USER", "LOGNAME", "LANG", "LANGUAGE", "TZ", "TMPDIR", "LD_LIBRARY_PATH"}
    # where the headers and libraries of CUDA are looked for
    | {"VIRTUAL_ENV", "CONDA_PREFIX"}
    | {"SSL_CERT_FILE", "SSL_CERT_DIR", "NUMBA_CACHE_DIR", "MEDPIPE_FAILPOINT", "COVERAGE_PROCESS_START"}
)
_PASSED_PREFIXES = ("LC_", "XDG_", "CUDA_", "CUPY_", "NVIDIA_")


def launch(module: str, given: Sequence[int], *, variables: Mapping[str, str]) -> subprocess.Popen[bytes]:
    """Start ``python -m module FD...`` pinned, in a session of its own, with the descriptors given.

    Parameters
    ----------
    module : str
    given : sequence of int
        Descriptors it inherits and is told the numbers of.
    variables : mapping
        Environment beside the pinned one.

    Raises
    ------
    OSError
        If the host has no room for another process.
    """
    return subprocess.Popen(  # noqa: S603  # this interpreter and a module of this package
        [sys.executable, "-P", "-m", module, *map(str, given)],
        # what a codec prints may quote a header, so it goes nowhere; nothing waits on it either
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        pass_fds=given,
        env={**_environment(), **variables},
        start_new_session=True,
    )


def _environment() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name in _PASSED or name.startswith(_PASSED_PREFIXES)}
    # the sandbox imports what this process imports, from the same places
    places = [os.path.abspath(place or ".") for place in sys.path]  # noqa: PTH100  # a zip file is a place too
    return {**kept, "PYTHONPATH": os.pathsep.join(places), **pinned_environment()}
