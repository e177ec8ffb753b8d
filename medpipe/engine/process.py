"""The sandbox's process as its parent sees it: pipes, limits, and the end."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, Self

from medpipe.engine.board import Mark, MarkBoard, board_file
from medpipe.engine.forks import Forked, Zygote
from medpipe.engine.frames import FrameBuffer
from medpipe.engine.launch import launch
from medpipe.engine.limits import POLL_S, Limits, Watch
from medpipe.engine.meter import Meter, Usage, kernel_kills
from medpipe.errors import StoppedError

_END_S = 2.0
_KILLS_S = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """The process ended, or was ended, before it answered."""

    cause: Literal["timeout", "memory", "crash"]
    signal: int | None
    usage: Usage


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """The process answered; the usage is the highest memory and the processor time seen."""

    frame: dict[str, Any]
    usage: Usage


class ChildProcess:
    """A running ``medpipe.engine.child`` with its pipes and its mark board.

    One thread at a time exchanges frames; any thread may kill.

    Parameters
    ----------
    zygote : Zygote or None
        Forks the process, if it can; else it starts from nothing.

    Raises
    ------
    StoppedError
        If the host has no room for another process or its pipes.
    """

    def __init__(self, zygote: Zygote | None) -> None:
        self._lock = threading.Lock()
        self._zygote = zygote
        self._kills = kernel_kills()
        self._kills_read_s = time.monotonic()
        with contextlib.ExitStack() as undo:
            try:
                self._launch(undo)
            except OSError as error:
                raise StoppedError(f"a sandbox could not be started ({os.strerror(error.errno or 0)})") from error
            self._open = undo.pop_all()
        self._meter = Meter(self._process.pid)

    @property
    def pid(self) -> int:
        """Process id, which is also the id of its group."""
        return self._process.pid

    def mark(self) -> Mark:
        """Return the mark shown last."""
        return self._board.read()

    def is_running(self) -> bool:
        """Tell whether it has not ended."""
        with self._lock:
            return self._process.poll() is None

    def resident_bytes(self) -> int:
        """Return the memory it holds now, its children's included."""
        return self._meter.sample().rss_bytes

    def exchange(self, frame: bytes, limits: Limits) -> Answered | Ended:
        """Send a frame and wait for the answer, the end or a breach of the limits."""
        watch = Watch(self._meter, self._board, limits)
        self._count_kills()
        buffer = FrameBuffer()
        for _ in self._turns(memoryview(frame), buffer):
            answered = buffer.take()
            if answered is not None:
                return Answered(frame=answered, usage=watch.usage)
            cause = watch.breach()
            if cause is not None:
                self.kill()
                return Ended(cause=cause, signal=self._signal(), usage=watch.usage)
        self.kill()
        ended = self._signal()
        starved = ended == signal.SIGKILL and kernel_kills() > self._kills
        return Ended(cause="memory" if starved else "crash", signal=ended, usage=watch.usage)

    def kill(self) -> None:
        """End the process and its children at once."""
        with self._lock:
            # a process that ended by itself is reaped first, so its number is still its own
            if self._process.poll() is None:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(self.pid, signal.SIGKILL)
                # a process just forked may not have its own group yet
                self._process.kill()
                with contextlib.suppress(subprocess.TimeoutExpired):
                    self._process.wait(_END_S)

    def close(self) -> None:
        """Let it end by itself, kill it if it does not, and close what is open."""
        self._control.close()
        with contextlib.suppress(subprocess.TimeoutExpired), self._lock:
            self._process.wait(_END_S)
        self.kill()
        self._open.close()

    def _launch(self, undo: contextlib.ExitStack) -> None:
        control_in, control_out = _pipe(undo)
        reply_in, reply_out = _pipe(undo)
        lifeline_in, _ = _pipe(undo)
        board = undo.enter_context(_Descriptor(board_file()))
        self._board = undo.enter_context(contextlib.closing(MarkBoard(board.fd)))
        self._control, self._reply = control_out, reply_in
        given = (control_in.fd, reply_out.fd, board.fd, lifeline_in.fd)
        self._process = self._begun(given)
        for descriptor in (control_in, reply_out, lifeline_in, board):
            descriptor.close()
        os.set_blocking(self._control.fd, False)
        os.set_blocking(self._reply.fd, False)

    def _begun(self, given: tuple[int, ...]) -> subprocess.Popen[bytes] | Forked:
        forked = None if self._zygote is None else self._zygote.fork(given)
        return forked or launch("medpipe.engine.child", given, variables={})

    def _turns(self, outgoing: memoryview, buffer: FrameBuffer) -> Iterator[None]:
        # yields after every event and at least every POLL_S, until the other end is closed
        poll = select.poll()
        poll.register(self._reply.fd, select.POLLIN)
        poll.register(self._control.fd, select.POLLOUT)
        while True:
            for fd, _ in poll.poll(POLL_S * 1000):
                if fd == self._reply.fd:
                    if not buffer.fill(fd):
                        return
                    continue
                try:
                    outgoing = outgoing[os.write(fd, outgoing) :]
                except BlockingIOError:
                    continue
                except BrokenPipeError:
                    return
                if not outgoing:
                    poll.unregister(fd)
            yield
            # children that outlive the process may hold its end of the pipe open
            with self._lock:
                if self._process.poll() is not None and not select.select([self._reply.fd], [], [], 0)[0]:
                    return

    def _count_kills(self) -> None:
        # the kernel takes longer to say it than a small case to run
        now_s = time.monotonic()
        if now_s - self._kills_read_s > _KILLS_S:
            self._kills, self._kills_read_s = kernel_kills(), now_s

    def _signal(self) -> int | None:
        code = self._process.returncode
        return -code if code is not None and code < 0 else None


class _Descriptor:
    """A file descriptor that is closed once."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self._is_open = True

    def close(self) -> None:
        if self._is_open:
            self._is_open = False
            os.close(self.fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _pipe(undo: contextlib.ExitStack) -> tuple[_Descriptor, _Descriptor]:
    read, write = os.pipe()
    return undo.enter_context(_Descriptor(read)), undo.enter_context(_Descriptor(write))
