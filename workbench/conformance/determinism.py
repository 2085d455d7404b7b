"""Whether a plugin's methods give the same each time, and leave what they are given as it was."""

from __future__ import annotations

import inspect
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy
import torch
from torch import nn

from workbench.conformance.copy_and_compare import copied, same
from workbench.conformance.random_numbers import random_states, seed_all
from workbench.conformance.rules import expect
from workbench.conformance.shifted_clock import another_day

RARE, SURE = 0.02, 0.99
TIMES = math.ceil(math.log(1 - SURE) / math.log(1 - RARE))
"""So often each method is asked: a fault in one call of fifty is then met in 99 of 100 checks."""
PATIENCE = 1.0  # seconds for that; what is slower is asked less often
LEAST = 3  # times each question is asked in any case
SEED = 80917  # one that no plugin would choose: to start from the same again would not show


@dataclass(frozen=True)
class Call:
    """One question to a plugin: the name of the method, what to call, and with what."""

    name: str
    ask: Callable[..., Any]
    arguments: tuple[Any, ...]

    def answer(self) -> Any:
        """What a copy of the arguments gets."""
        with torch.no_grad(), numpy.errstate(all="ignore"):
            return self.ask(*copied(self.arguments))


@dataclass(frozen=True)
class CallPlan:
    """A way to ask a component everything: `calls(component, number)` are its methods with the arguments of that
    number, one of `numbers`; `make` builds the component anew, always the same one."""

    make: Callable[[], Any]
    calls: Callable[[Any, int], Sequence[Call]]
    numbers: int = 2


def expect_the_same_each_time(plan: CallPlan, rounds: int = TIMES) -> None:
    """The answers to different questions in turn are those that a new component gives to each of them first."""
    known = [[copied(call.answer()) for call in plan.calls(plan.make(), number)] for number in range(plan.numbers)]
    component = plan.make()
    calls = [plan.calls(component, number) for number in range(plan.numbers)]
    _expect_no_draw([call for each in calls for call in each])
    began, last = time.perf_counter(), None
    for round_ in range(rounds):
        if round_ >= LEAST * plan.numbers and time.perf_counter() - began > PATIENCE:
            break
        last = _expect_known(round_, calls, known, last)
    with another_day():
        for number in range(plan.numbers):
            last = _expect_known(number, calls, known, last)


def expect_inputs_stay(calls: Sequence[Call]) -> None:
    """No method changes what it is given, with gradients, as in training, or without."""
    for call, gradients in product(calls, (True, False)):
        given = copied(call.arguments)
        with torch.set_grad_enabled(gradients), numpy.errstate(all="ignore"):
            call.ask(*given)
        changed = [
            name for name, own, was in zip(_names(call), given, call.arguments, strict=False) if not same(own, was)
        ]
        expect(
            not changed,
            f"`{call.name}` changes the `{', '.join(changed)}` it is given: others use it too. Make a new one, as in"
            " `x = x + y` and not `x += y`, and call no method whose name ends in an underscore on what you are given",
        )


def _expect_no_draw(calls: Sequence[Call]) -> None:
    for call in calls:
        seed_all(SEED)
        before = random_states()
        call.answer()
        drawn = [name for name, state in random_states().items() if not same(state, before[name])]
        expect(
            not drawn,
            f"`{call.name}` draws from (or seeds) the random numbers of {' and '.join(drawn)} when nothing trains: use"
            " nn.Dropout, or ask `self.training`, for what is random",
        )


def _expect_known(round_: int, calls: Sequence[Sequence[Call]], known: Sequence[Sequence[Any]], last: Any) -> Any:
    """Ask the questions of one number, each second time the last one first. `last` are the answers of the round before,
    which must still be what they were; returns those of this one."""
    again, number = divmod(round_, len(calls))
    order = -1 if again % 2 else 1
    asked, right_ones = calls[number][::order], known[number][::order]
    answers = [call.answer() for call in asked]
    for call, answer, right in zip(asked, answers, right_ones, strict=True):
        expect(
            same(answer, right),
            f"asked the same again, `{call.name}` answers otherwise (it was asked some {round_ + 1} times). Nothing may"
            " depend on random numbers, on the time, on how often it was asked, or on what was asked before: keep"
            " nothing from one call for the next",
        )
    for call, answer, right in zip(*(last or ((), (), ())), strict=True):
        expect(
            same(answer, right),
            f"what `{call.name}` gave out changes when it is asked again: give out a new tensor each time",
        )
    return asked, answers, right_ones


def _names(call: Call) -> list[str]:
    method = call.ask.forward if isinstance(call.ask, nn.Module) else call.ask
    return list(inspect.signature(method).parameters)
