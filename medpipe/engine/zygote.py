"""The zygote's main: a process that has imported what sandboxes need, and forks them.

Started as ``python -m medpipe.engine.zygote SOCKET LIFELINE``. A start by ``Popen`` takes a
second or more, nearly all of it imports; a fork takes milliseconds. It opens no session, holds
no secret, never computes and runs one thread only: a fork copies no other, but what others
have locked stays locked in the copy. It reaps a sandbox when it is told to and not before, so
that the number of a process cannot come to mean another one meanwhile.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import select
import socket
import sys
from collections import deque
from pathlib import Path
from typing import Any

from medpipe.engine import child

_MESSAGE_BYTES = 1 << 17
_GIVEN = 4
# nothing that speaks to a device: a context of CUDA does not survive a fork
_NEVER = frozenset({"__main__", "cupy", "cupyx", "cupy_backends", "cuda", "nvidia", "torch", "onnxruntime"})


def main(sock: socket.socket, lifeline: int) -> None:
    """Serve requests until the parent closes the socket.

    Parameters
    ----------
    sock : socket.socket
        Messages are JSON objects. ``preload`` names modules and has no answer; ``fork`` comes
        with the four descriptors of a sandbox and is answered by ``pid`` and a descriptor of
        the process, or by ``refused``; ``reap`` is answered by the ``status`` of the end.
    lifeline : int
        Pipe that hangs up when the parent is gone.
    """
    child.end_with_parent(lifeline)
    child.no_core_dumps()
    # nearly nothing that imports make is garbage, and looking for it takes a fifth of their time
    gc.disable()
    wanted: deque[str] = deque()
    while True:
        # between two imports: who waits for a fork should not wait for all of them
        if wanted and not select.select([sock], [], [], 0)[0]:
            _import(wanted.popleft())
            continue
        body, fds, _, _ = socket.recv_fds(sock, _MESSAGE_BYTES, _GIVEN)
        if not body:
            return
        request: dict[str, Any] = json.loads(body)
        wanted += request.get("preload", ())
        if "fork" in request:
            while wanted and request["fork"] == "first":
                _import(wanted.popleft())
            _fork(sock, lifeline, fds)
        if "reap" in request:
            sock.send(json.dumps({"status": _status(request["reap"])}).encode())


def _import(name: str) -> None:
    if name.partition(".")[0] in _NEVER or name in sys.modules:
        return
    with contextlib.suppress(Exception):
        # what cannot be imported here fails, or is found, in the sandbox itself
        importlib.import_module(name)


def _fork(sock: socket.socket, lifeline: int, fds: list[int]) -> None:
    if _threads() > 1:
        _close(fds)
        sock.send(b'{"refused": true}')
        return
    # objects that live on are moved where the collector does not look, so their pages stay shared
    gc.collect()
    gc.freeze()
    pid = os.fork()
    if pid == 0:
        sock.close()
        os.close(lifeline)
        os.setsid()
        gc.enable()
        child.serve(*fds)
    _close(fds)
    pidfd = os.pidfd_open(pid)
    socket.send_fds(sock, [json.dumps({"pid": pid}).encode()], [pidfd])
    os.close(pidfd)


def _threads() -> int:
    return sum(1 for _ in Path("/proc/self/task").iterdir())


def _status(pid: int) -> int | None:
    try:
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    except ChildProcessError:
        return None


def _close(fds: list[int]) -> None:
    for fd in fds:
        os.close(fd)


if __name__ == "__main__":
    try:
        main(socket.socket(fileno=int(sys.argv[1])), int(sys.argv[2]))
    except (BrokenPipeError, ConnectionResetError):
        pass
    finally:
        os._exit(0)
