"""One thread a process, since the suite runs in several at once, and no time for what is no garbage."""

from __future__ import annotations

import gc
import signal

import pytest


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    """In the processes that run tests: the one that only hands them out need not wait for torch."""
    import torch

    torch.set_num_threads(1)


@pytest.fixture(scope="session", autouse=True)
def signals_heard() -> None:
    """Commands hear of Ctrl-C and of a terminal that is gone, whatever started the tests (`nohup`, `&`) ignores."""
    for number, handler in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL)):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, handler)


@pytest.fixture(scope="session", autouse=True)
def seldom_collected() -> None:
    """Whatever collection has imported stays; looking through it again and again takes a twentieth of the time."""
    gc.freeze()
    gc.set_threshold(20_000)
