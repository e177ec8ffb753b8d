from __future__ import annotations

import os
import signal

import pytest

from medpipe.engine.signals import stop_on_signals
from medpipe.errors import SignalledError, StoppedError


@pytest.fixture
def hangup():
    """Give back the handler of SIGHUP afterwards."""
    former = signal.getsignal(signal.SIGHUP)
    yield
    signal.signal(signal.SIGHUP, former)


def send_twice(number, stopped):
    with stop_on_signals(lambda: stopped.append(number)):
        os.kill(os.getpid(), number)
        assert stopped == [number]
        os.kill(os.getpid(), number)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_the_first_signal_stops_in_order_and_the_second_at_once(number):
    stopped = []
    with pytest.raises(KeyboardInterrupt):
        send_twice(number, stopped)
    assert stopped == [number]


def test_a_hangup_that_is_ignored_stays_ignored(hangup):
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    with stop_on_signals(lambda: pytest.fail("stopped")):
        os.kill(os.getpid(), signal.SIGHUP)


def test_handlers_are_given_back():
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = [signal.getsignal(number) for number in numbers]
    with stop_on_signals(lambda: None):
        pass
    assert [signal.getsignal(number) for number in numbers] == before


def signalled(error):
    with stop_on_signals(lambda: None):
        os.kill(os.getpid(), signal.SIGTERM)
        if error is not None:
            raise error


@pytest.mark.parametrize("error", [None, StoppedError("no case is left")])
def test_a_signal_is_told_from_other_stops_also_where_all_was_done(error):
    with pytest.raises(SignalledError, match="the run was stopped" if error is None else "no case is left"):
        signalled(error)
