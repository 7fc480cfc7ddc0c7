"""Signals: raised at once, deferred to the end of a block, ignored where they were."""

import os
import signal

import pytest

from graphrec_pt.core.interruption import (
    Interrupted,
    catches_signals,
    deferred,
    interruptible,
    waiting_signal,
)


def send(number: int) -> None:
    os.kill(os.getpid(), number)


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_a_signal_is_raised_at_once(name: str) -> None:
    number = signal.Signals[name]
    before = signal.getsignal(number)

    def ends() -> None:
        with interruptible():
            assert catches_signals()
            send(number)

    with pytest.raises(Interrupted) as caught:
        ends()
    assert caught.value.status == {"SIGINT": 130, "SIGTERM": 143, "SIGHUP": 129}[name]
    assert signal.getsignal(number) is before
    assert not catches_signals()
    assert waiting_signal() == 0


def test_a_signal_waits_in_a_deferred_block() -> None:
    done = []
    with interruptible(), deferred():
        send(signal.SIGTERM)
        done.append(waiting_signal())
    assert done == [signal.SIGTERM]


def test_a_second_signal_does_not_wait() -> None:
    def twice() -> None:
        with interruptible(), deferred():
            send(signal.SIGTERM)
            send(signal.SIGINT)

    with pytest.raises(Interrupted):
        twice()


def test_inside_a_deferred_block_signals_can_be_let_through() -> None:
    def validate() -> None:
        with deferred(False):
            send(signal.SIGTERM)

    with pytest.raises(Interrupted), interruptible(), deferred():
        validate()


def test_a_waiting_signal_is_let_through_when_the_block_begins() -> None:
    done = []

    def waits() -> None:
        with interruptible(), deferred():
            send(signal.SIGTERM)
            with deferred(False):
                done.append("began")

    with pytest.raises(Interrupted):
        waits()
    assert done == []


def test_ignored_signals_stay_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with interruptible():
            send(signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, before)
