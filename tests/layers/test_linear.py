"""Linear layers in all their forms: told apart, measured, and put in each other's place."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from workbench.layers.linear import (
    QuantizedLinear,
    is_adaptable,
    is_plain_linear,
    linear_sizes,
    product_type,
    replace_modules,
)


class Halved(QuantizedLinear):
    """Keeps the weight in half the bytes."""

    def __init__(self, linear: nn.Linear):
        super().__init__(linear)
        self.register_buffer("narrow", linear.weight.detach().half())

    def dequantized(self, kind: torch.dtype) -> Tensor:
        return self.get_buffer("narrow").to(kind)

    def forward(self, input: Tensor) -> Tensor:
        return nn.functional.linear(input, self.weight, self.bias)


class Own(nn.Linear):
    def forward(self, input: Tensor) -> Tensor:
        return 2 * super().forward(input)


@pytest.mark.parametrize(
    ("layer", "plain", "adaptable"),
    [
        (nn.Linear(2, 3), True, True),
        (Halved(nn.Linear(2, 3)), False, True),
        (Own(2, 3), False, False),
        (nn.modules.linear.NonDynamicallyQuantizableLinear(2, 3), True, False),
        (nn.Embedding(2, 3), False, False),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, nn.Module) else "",
)
def test_layers_are_told_apart_by_what_they_compute(layer, plain, adaptable):
    assert is_plain_linear(layer) == plain
    assert is_adaptable(layer) == adaptable


def test_a_quantized_layer_has_the_sizes_and_the_bias_and_a_weight_of_the_models_type():
    linear = nn.Linear(2, 3).eval()
    halved = Halved(linear)
    assert linear_sizes(halved) == linear_sizes(linear) == (2, 3)
    assert halved.bias is linear.bias
    assert not halved.training
    assert dict(halved.named_parameters()).keys() == {"bias"}, "the weight never trains"
    assert halved.weight.dtype == torch.float32
    assert halved.double().weight.dtype == torch.float64


def test_a_layer_in_two_places_is_replaced_in_both_by_one():
    shared, new = nn.Linear(2, 2), nn.Linear(2, 2)
    model = nn.Sequential(shared, nn.Sequential(nn.ReLU(), shared), nn.Linear(2, 2))
    other = model[2]
    replace_modules(model, {shared: new})
    inner = model[1]
    assert isinstance(inner, nn.Sequential)
    assert model[0] is inner[1] is new
    assert model[2] is other


def test_a_product_has_the_type_of_autocast_or_the_inputs_own():
    assert product_type(torch.ones(1).double()) == torch.float64
    with torch.autocast("cpu", torch.bfloat16):
        assert product_type(torch.ones(1)) == torch.bfloat16
