"""Signals of the driver: the first one stops in order, the second one at once."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType

from medpipe.errors import SignalledError, StoppedError


@contextlib.contextmanager
def stop_on_signals(stop: Callable[[], None]) -> Iterator[None]:
    """Call ``stop`` on the first SIGINT, SIGTERM or SIGHUP within; raise KeyboardInterrupt on the second.

    Whoever goes on after a stop, as a watch does, must know of a signal: the block ends with an
    error of its own then, also where everything was done before the stop took effect. A SIGHUP that is ignored, as under nohup, stays ignored. Does nothing in a thread other than the main one, which alone receives signals.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    seen = 0

    def on_signal(_number: int, _frame: FrameType | None) -> None:
        nonlocal seen
        seen += 1
        if seen > 1:
            raise KeyboardInterrupt
        stop()

    numbers = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        numbers.append(signal.SIGHUP)
    former = {number: signal.signal(number, on_signal) for number in numbers}
    try:
        yield
    except StoppedError as error:
        if seen:
            raise SignalledError(str(error)) from error
        raise
    else:
        if seen:
            raise SignalledError("the run was stopped; give the same command again to go on")
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)
