"""Copies share nothing, and comparisons see every bit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy
import pytest
import torch
from PIL import Image

from workbench.conformance.copy_and_compare import copied, same
from workbench.contracts.example import Example, Prediction

NAN = float("nan")
EXAMPLE = Example("0", "0", "is it red?", ("yes",), "yes/no")


def add_one(tensor: torch.Tensor) -> None:
    """In place."""
    tensor.add_(1)


@pytest.mark.parametrize(
    ("value", "change"),
    [
        (torch.zeros(2), add_one),
        ({"a": [torch.zeros(2)]}, lambda value: add_one(value["a"][0])),
        ((torch.zeros(2), 1), lambda value: add_one(value[0])),
        ([1, 2], lambda value: value.append(3)),
        (numpy.zeros(2), lambda value: value.__iadd__(1)),
        (Image.new("RGB", (2, 2)), lambda value: value.putpixel((0, 0), (1, 2, 3))),
        ([Prediction(EXAMPLE, "yes", 0.0)], lambda value: value.reverse() or value.clear()),
    ],
)
def test_changing_a_copy_leaves_the_original(value: Any, change: Callable[[Any], None]):
    copy = copied(value)
    assert same(copy, value)
    change(copy)
    assert not same(copy, value)


def test_a_copy_of_a_tensor_takes_no_part_in_its_gradients():
    assert not copied(torch.ones(2, requires_grad=True) * 2).requires_grad


@pytest.mark.parametrize(
    ("first", "second", "equal"),
    [
        (torch.tensor([1.0, NAN]), torch.tensor([1.0, NAN]), True),
        (torch.tensor([1.0]), torch.tensor([1.0 + 1e-7]), False),
        (torch.tensor([1.0]), torch.tensor([1.0], dtype=torch.float64), False),
        (torch.zeros(2, 1), torch.zeros(1, 2), False),
        (numpy.array([NAN, 1.0]), numpy.array([NAN, 1.0]), True),
        (numpy.array(["a"]), numpy.array(["b"]), False),
        (NAN, NAN, True),
        (1, 1.0, False),
        ({"a": NAN}, {"a": NAN}, True),
        ({"a": 1}, {"b": 1}, False),
        ([1, 2], [1, 2, 3], False),
        (Image.new("L", (2, 3)), Image.new("L", (3, 2)), False),
        (Prediction(EXAMPLE, "yes", NAN), Prediction(EXAMPLE, "yes", NAN), True),
        (Prediction(EXAMPLE, "yes", 0.0), Prediction(EXAMPLE, "no", 0.0), False),
    ],
)
def test_values_are_the_same_to_the_last_bit_or_not(first: Any, second: Any, equal: bool):
    assert same(first, second) is equal
