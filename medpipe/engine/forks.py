"""Sandboxes forked from a zygote, as the parent of both sees them."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Sequence
from typing import Any

from medpipe.engine.launch import launch

_ANSWER_S = 10.0
_END_S = 2.0
_MESSAGE_BYTES = 1 << 12
_NAMES = 500
# Arrow's allocator would start a thread of its own at import
_VARIABLES = {"JE_ARROW_MALLOC_CONF": "background_thread:false"}


class Forked:
    """A process that a zygote forked, with the part of ``subprocess.Popen`` a sandbox uses.

    Attributes
    ----------
    pid : int
    returncode : int or None
        As of ``Popen``. A process whose zygote is gone counts as killed once it has ended.
    """

    def __init__(self, zygote: Zygote, pid: int, pidfd: int) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self._zygote = zygote
        self._pidfd = pidfd
        os.set_inheritable(pidfd, False)  # noqa: FBT003  # no keyword is accepted

    def poll(self) -> int | None:
        """Return the exit status if it has ended."""
        return self._ended(0.0)

    def wait(self, timeout: float) -> int:
        """Return the exit status, waiting for the end.

        Raises
        ------
        subprocess.TimeoutExpired
        """
        status = self._ended(timeout)
        if status is None:
            raise subprocess.TimeoutExpired("medpipe.engine.child", timeout)
        return status

    def kill(self) -> None:
        """Kill it, whether it has a session of its own yet or not."""
        if self.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)

    def _ended(self, wait_s: float) -> int | None:
        if self.returncode is None:
            poll = select.poll()
            poll.register(self._pidfd, select.POLLIN)
            if poll.poll(1000 * wait_s):
                status = self._zygote.reap(self.pid)
                self.returncode = -signal.SIGKILL if status is None else status
                os.close(self._pidfd)
        return self.returncode


class Zygote:
    """A zygote's parent: starts it when first needed, and anew when it is lost.

    Any thread may use it.

    Parameters
    ----------
    module : str
        The module of the session.
    start_s : float
        Seconds its imports may take.
    """

    def __init__(self, module: str, *, start_s: float) -> None:
        self._module = module
        self._start_s = start_s
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._socket: socket.socket | None = None
        self._lifeline = -1
        self._told: set[str] = set()
        self._refusals = 0
        self._is_closed = False

    @property
    def pid(self) -> int | None:
        """Process id, or None while nothing runs."""
        return None if self._process is None else self._process.pid

    def fork(self, given: Sequence[int]) -> Forked | None:
        """Fork a sandbox with the descriptors given; None if that cannot be had.

        A zygote that does not answer is ended, and there will be another next time. One that
        has threads is ended too; the next imports the session's module only, and if that
        starts threads there will be none.
        """
        with self._lock:
            is_first = self._socket is None
            if not self._is_up():
                return None
            request = {"fork": "first" if is_first else "next"}
            answer, fds = self._asked(request, given, wait_s=self._start_s if is_first else _ANSWER_S)
            if "pid" in answer:
                return Forked(self, answer["pid"], fds[0])
            if "refused" in answer:
                self._refusals += 1
                self._end()
            return None

    def reap(self, pid: int) -> int | None:
        """Return the exit status of a sandbox that has ended; None if the zygote does not know."""
        with self._lock:
            status: int | None = self._asked({"reap": pid}, (), wait_s=_ANSWER_S)[0].get("status")
            return status

    def preload(self, modules: Sequence[str]) -> None:
        """Let it import what a sandbox came to need, or will; before it is up, once it comes up."""
        with self._lock:
            new = [name for name in modules if name not in self._told]
            if self._refusals:
                return
            self._told.update(new)
            if self._socket is None:
                return
            for start in range(0, len(new), _NAMES):
                self._send({"preload": new[start : start + _NAMES]}, ())

    def close(self) -> None:
        """End it; sandboxes it forked go on."""
        process = self._process
        if process is not None:
            # who waits for its answer lets go of the lock
            process.kill()
        with self._lock:
            self._is_closed = True
            self._end()

    def _is_up(self) -> bool:
        if self._socket is not None:
            return True
        if self._is_closed or self._refusals > 1 or sys.platform != "linux":
            return False
        try:
            self._launch()
        except OSError:
            self._end()
            return False
        names = [self._module, *self._told] if not self._refusals else [self._module]
        return all(self._send({"preload": names[at : at + _NAMES]}, ()) for at in range(0, len(names), _NAMES))

    def _launch(self) -> None:
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        lifeline, self._lifeline = os.pipe()
        try:
            self._process = launch("medpipe.engine.zygote", (theirs.fileno(), lifeline), variables=_VARIABLES)
        finally:
            theirs.close()
            os.close(lifeline)

    def _send(self, message: dict[str, Any], given: Sequence[int]) -> bool:
        assert self._socket is not None
        try:
            self._socket.settimeout(_ANSWER_S)
            socket.send_fds(self._socket, [json.dumps(message).encode()], given)
        except OSError:
            self._end()
            return False
        return True

    def _asked(
        self, message: dict[str, Any], given: Sequence[int], *, wait_s: float
    ) -> tuple[dict[str, Any], Sequence[int]]:
        if self._socket is None or not self._send(message, given):
            return {}, ()
        try:
            self._socket.settimeout(wait_s)
            body, fds, _, _ = socket.recv_fds(self._socket, _MESSAGE_BYTES, 1)
            answer: dict[str, Any] = json.loads(body)
        except (OSError, ValueError):
            # it is stuck or gone; a late answer must not be taken for that to another request
            self._end()
            return {}, ()
        return answer, fds

    def _end(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        if self._process is not None:
            self._process.kill()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(_END_S)
            self._process = None
        if self._lifeline >= 0:
            os.close(self._lifeline)
            self._lifeline = -1
