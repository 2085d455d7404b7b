"""An answer that depends on anything but the question is found, and so is a question that was changed."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import pytest
import torch
from torch import Tensor

from workbench.conformance.determinism import Call, CallPlan, expect_inputs_stay, expect_the_same_each_time
from workbench.conformance.random_numbers import random_states_restored
from workbench.conformance.rules import Broken


class Doubles:
    """Twice what it is given."""

    def __init__(self) -> None:
        self.calls = 0
        self.out = torch.zeros(2)

    def plain(self, x: Tensor) -> Tensor:
        return 2 * x

    def counts(self, x: Tensor) -> Tensor:
        self.calls += 1
        return x + self.calls

    def draws(self, x: Tensor) -> Tensor:
        torch.rand(1)
        return 2 * x

    def looks_at_the_clock(self, x: Tensor) -> Tensor:
        return x + time.time() // 86400

    def gives_out_the_same_tensor(self, x: Tensor) -> Tensor:
        return self.out.copy_(2 * x)

    def in_place(self, x: Tensor) -> Tensor:
        return x.mul_(2)


def plan(method: Callable[[Doubles, Tensor], Tensor]) -> CallPlan:
    def calls(component: Doubles, number: int) -> Sequence[Call]:
        return [Call(method.__name__, getattr(component, method.__name__), (torch.full((2,), 1.0 + number),))]

    return CallPlan(Doubles, calls)


@pytest.fixture(autouse=True)
def numbers():
    with random_states_restored():
        yield


def test_a_method_that_asks_nothing_but_its_arguments_passes():
    expect_the_same_each_time(plan(Doubles.plain))
    expect_inputs_stay(plan(Doubles.plain).calls(Doubles(), 0))


@pytest.mark.parametrize(
    ("method", "told"),
    [
        (Doubles.counts, "asked the same again, `counts` answers otherwise"),
        (Doubles.draws, "`draws` draws from (or seeds) the random numbers of torch"),
        (Doubles.looks_at_the_clock, "asked the same again, `looks_at_the_clock` answers otherwise"),
        (Doubles.gives_out_the_same_tensor, "what `gives_out_the_same_tensor` gave out changes"),
    ],
)
def test_a_method_that_asks_anything_else_is_told(method, told: str):
    with pytest.raises(Broken) as broken:
        expect_the_same_each_time(plan(method))
    assert str(broken.value).startswith(told)


def test_a_changed_argument_is_named():
    with pytest.raises(Broken, match="`in_place` changes the `x` it is given"):
        expect_inputs_stay(plan(Doubles.in_place).calls(Doubles(), 0))
