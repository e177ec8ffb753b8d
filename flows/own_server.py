"""Prefect's ephemeral server, started so that it outlives a Ctrl-C and dies with its process.

Prefect starts it as a child when the first flow runs. Left at that, Ctrl-C on a terminal ends
the server first and the flow then waits for it in vain, and a killed process leaves it behind.
"""

from __future__ import annotations

import atexit
import signal
import subprocess

from prefect.server.api.server import SubprocessASGIServer

START_S = 120
_SHELL = "/bin/sh"


def start_own_server() -> None:
    """Start the ephemeral server of this process; flows of this process will use it."""
    server = SubprocessASGIServer()
    # a blocked signal stays blocked in a child: the server ends by this process alone
    former = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        server.start(timeout=START_S)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, former)
    assert server.server_process is not None, "a started server has a process"
    _end_with_this_process(server.server_process.pid)


def _end_with_this_process(pid: int) -> None:
    # its input closes when this process ends, however that happens; nothing is ever written to it
    watch = subprocess.Popen(  # noqa: S603  # a fixed command and a number
        [_SHELL, "-c", f"read -r _; kill {pid} 2>/dev/null"],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    # at an ordinary end this comes before Prefect's own stop, so the number is still the server's
    atexit.register(watch.communicate)
