"""Fusions that go wrong on purpose, each in its own way."""

from __future__ import annotations

import os
import pdb  # noqa: T100
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn

from workbench import DecoderShape, Fusion, UserError, VisionShape, hookimpl


class Raising(Fusion):
    """Raises while it trains: in the first step, or `after` so many."""

    def __init__(self, vision: VisionShape, decoder: DecoderShape, *, after: int = 0):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))
        self.left = after

    def prepare(self, vision, mask):
        self.left -= 1
        if self.left < 0:
            raise ZeroDivisionError("this fusion is broken")
        return vision


class Dying(Raising):
    """Ends its whole process."""

    def prepare(self, vision, mask):
        os._exit(3)


class NoNumber(Raising):
    """Makes the loss NaN."""

    def fuse_block(self, index, hidden, vision, prompt):
        return hidden * torch.nan * self.weight, vision

    def prepare(self, vision, mask):
        return vision


class Waiting(Raising):
    """Takes its time, so that a test can interrupt it."""

    def prepare(self, vision, mask):
        time.sleep(60)
        return vision


class Held(Raising):
    """Waits while the file `gate` is there, but for its first `after` steps, so that a test can kill its worker:
    `<gate>.pid` says which that is."""

    def __init__(self, vision: VisionShape, decoder: DecoderShape, *, gate: str, after: int = 0):
        super().__init__(vision, decoder, after=after)
        self.gate = Path(gate)

    def prepare(self, vision, mask):
        self.left -= 1
        if self.left >= 0:
            return vision
        if self.gate.exists():
            self.gate.with_suffix(".pid").write_text(str(os.getpid()))
        while self.gate.exists():
            time.sleep(0.01)
        return vision


class Slow(Raising):
    """Takes a while for each step as long as the file `gate` is there; `<gate>.begun` says in which process."""

    def __init__(self, vision: VisionShape, decoder: DecoderShape, *, gate: str):
        super().__init__(vision, decoder)
        self.gate = Path(gate)

    def prepare(self, vision, mask):
        if self.gate.exists():
            self.gate.with_suffix(".begun").write_text(str(os.getpid()))
            time.sleep(0.2)
        return vision + self.weight * torch.rand_like(vision)


class Many(Raising):
    """Has so many modules."""

    def __init__(self, vision: VisionShape, decoder: DecoderShape, *, count: int):
        super().__init__(vision, decoder)
        self.many = nn.ModuleList(nn.Identity() for _ in range(count))


class Busy(Raising):
    """Computes for long before it is built."""

    def __init__(self, vision: VisionShape, decoder: DecoderShape, *, count: int):
        super().__init__(vision, decoder)
        self.sum = sum(number * number for number in range(count))


class Unrepeatable(Raising):
    """Trains as torch does on a GPU with an operation that has no way to give the same bits each time."""

    def prepare(self, vision, mask):
        if self.training and not torch.is_deterministic_algorithms_warn_only_enabled():
            raise RuntimeError("my_backward does not have a deterministic implementation, but you set ...")
        return vision


def _fork() -> None:
    if not os.fork():
        return  # the child goes on as its parent does
    time.sleep(0.2)


def _print() -> None:
    print("\x1b[2J\x1b]0;mine\x07loss \x1b[31mred\x1b[0m\x08 of\r\nthe plugin", end="")
    os.write(2, b"from C\n")


def _raise(error: BaseException) -> None:
    raise error


ENDS: dict[str, Callable[[], object]] = {
    "exit": lambda: sys.exit(0),
    "interrupt": lambda: _raise(KeyboardInterrupt()),
    "empty": lambda: _raise(ValueError()),
    "blank": lambda: _raise(UserError(" ")),
    "escape": lambda: _raise(ValueError("it is \x1b[31mred\x1b[0m")),
    "debug": lambda: breakpoint(),  # noqa: T100
    "trace": lambda: pdb.set_trace(),  # noqa: T100
    "quit": lambda: os._exit(0),
    "input": lambda: input(),
    "fork": _fork,
    "print": _print,
}


class Ending(Raising):
    """Ends its step in one of many ways."""

    def __init__(self, vision: VisionShape, decoder: DecoderShape, *, how: str):
        super().__init__(vision, decoder)
        self.how = how

    def prepare(self, vision, mask):
        if self.training:
            ENDS[self.how]()
        return vision


@hookimpl
def register_fusions(register):
    register("raising", Raising)
    register("dying", Dying)
    register("no_number", NoNumber)
    register("waiting", Waiting)
    register("held", Held)
    register("unrepeatable", Unrepeatable)
    register("ending", Ending)
    register("slow", Slow)
    register("many", Many)
    register("busy", Busy)
