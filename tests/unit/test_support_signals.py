"""Signals that end a process by an exception."""

from __future__ import annotations

import os
import signal

import pytest

from eicctl.support.signals import end_by_exception


@pytest.mark.skipif(os.name != "posix", reason="Windows has no such signals")
@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP", "SIGQUIT"])
def test_a_signal_ends_the_block_by_an_exception(name: str) -> None:
    number = getattr(signal, name)
    before = signal.getsignal(number)
    with pytest.raises(SystemExit) as ended, end_by_exception():
        os.kill(os.getpid(), number)
    assert ended.value.code == 128 + number
    assert signal.getsignal(number) == before
    with pytest.raises(KeyboardInterrupt), end_by_exception(lambda _: KeyboardInterrupt()):
        os.kill(os.getpid(), number)
