"""The sandbox's main: a process that answers calls and can be lost at no cost.

Started as ``python -m medpipe.engine.child CONTROL REPLY BOARD LIFELINE`` with four inherited
descriptors, or forked from a zygote with the same. The first frame names the session and carries what it needs, secrets included, so
that none is ever seen in an argument list or an environment. It ends when its control pipe
closes, and is ended when its parent dies, whatever it is doing.
"""

from __future__ import annotations

import contextlib
import faulthandler
import fcntl
import os
import resource
import select
import signal
import sys
import threading
from pathlib import Path
from typing import Any, NoReturn

from medpipe.engine.board import MarkBoard
from medpipe.engine.boundary import Session, answer, open_by_name, refusal
from medpipe.engine.frames import encode, read_frame, write_frame
from medpipe.engine.numeric import numeric_class

IMPORTED = "medpipe:imported"
"""Kind of the call that asks which modules the process has imported since it began."""


def main(control: int, reply: int, board_fd: int, lifeline: int) -> None:
    """Open the session the first frame names, then answer calls until the pipe closes.

    Parameters
    ----------
    control, reply : int
        Pipes that calls come in by and answers go out by.
    board_fd : int
        File of the mark board.
    lifeline : int
        Pipe nothing is ever written to; it hangs up when the parent is gone.
    """
    end_with_parent(lifeline)
    no_core_dumps()
    known = frozenset(sys.modules)
    board = MarkBoard(board_fd)
    first = read_frame(control)
    if first is None:
        return
    debug_log: str | None = first["init"].get("debug_log")
    session = _opened(first, reply, debug_log)
    while session is not None and (call := read_frame(control)) is not None:
        if call["kind"] == IMPORTED:
            write_frame(reply, encode({"value": {"modules": [name for name in sys.modules if name not in known]}}))
            continue
        board.write("", "")
        write_frame(reply, answer(session, call["kind"], call["payload"], board.write, debug_log=debug_log))


def _opened(first: dict[str, Any], reply: int, debug_log: str | None) -> Session | None:
    try:
        _limit_address_space(first["address_space_bytes"])
        if debug_log is not None:
            # a native crash leaves the places of all threads, and no values
            faulthandler.enable(Path(debug_log).open("a", encoding="utf-8"))  # noqa: SIM115  # open until the end
        session: Session = open_by_name(first["session"], first["init"])
    except Exception as error:  # noqa: BLE001  # the parent decides what a failed start means
        write_frame(reply, encode(refusal(error, debug_log=debug_log)))
        return None
    write_frame(reply, encode({"value": {"numeric_class": numeric_class()}}))
    return session


def end_with_parent(lifeline: int) -> None:
    """End this process, and those of its group, when the other end of the pipe is closed."""
    # A death signal by prctl follows the parent's *thread*, and pools let threads go; a pipe
    # follows the process. SIGKILL needs no interpreter lock and ends a stopped process as well.
    if sys.platform == "linux":
        fcntl.fcntl(lifeline, fcntl.F_SETSIG, signal.SIGKILL)
        fcntl.fcntl(lifeline, fcntl.F_SETOWN, -os.getpgrp())
        flags = fcntl.fcntl(lifeline, fcntl.F_GETFL)
        fcntl.fcntl(lifeline, fcntl.F_SETFL, flags | os.O_ASYNC | os.O_NONBLOCK)
        poll = select.poll()
        poll.register(lifeline, 0)
        if poll.poll(0):
            os._exit(1)
    else:
        threading.Thread(target=_watch, args=(lifeline,), daemon=True).start()


def _watch(lifeline: int) -> None:
    os.read(lifeline, 1)
    os._exit(1)


def no_core_dumps() -> None:
    """Let no crash write the memory of this process to a file."""
    # a core holds pixels and headers; Linux pipes cores to a collector even at a limit of 0,
    # but drops them at a limit of 1
    size = 1 if sys.platform == "linux" else 0
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_CORE, (size, size))


def _limit_address_space(limit_bytes: int | None) -> None:
    if limit_bytes is not None:
        resource.setrlimit(resource.RLIMIT_AS, (limit_bytes, limit_bytes))


def serve(control: int, reply: int, board_fd: int, lifeline: int) -> NoReturn:
    """Do :func:`main`, then end the process."""
    try:
        main(control, reply, board_fd, lifeline)
    except BrokenPipeError:
        pass
    finally:
        # threads a library left behind must not keep the process
        os._exit(0 if sys.exc_info()[0] is None else 1)


if __name__ == "__main__":
    serve(*map(int, sys.argv[1:5]))
