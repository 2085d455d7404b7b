"""Layers made ready to answer compute what they did, and are as they were afterwards."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from torch import nn

from tests.model.test_vision_language_model import batch_for
from tests.tiny import builtin_registry, tiny_model
from workbench.layers.prepared_linear import SideBySide, beside, ready_to_answer
from workbench.model.generation import generate

SHAPES = [(1, 24), (1, 1, 24), (2, 24), (3, 5, 24), (100, 24), (0, 24)]


def layer(bias: bool = True, inputs: int = 24) -> nn.Linear:
    torch.manual_seed(0)
    return nn.Linear(inputs, 40, bias=bias)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("inputs", [24, 100])
@torch.no_grad()
def test_a_ready_layer_gives_what_it_gave_in_fp32(shape, bias, inputs):
    linear, hidden = layer(bias, inputs), torch.randn(*shape[:-1], inputs)
    before = linear(hidden)
    with ready_to_answer(linear):
        after = linear(hidden)
    torch.testing.assert_close(after, before, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(linear(hidden), before, rtol=0, atol=0)


@pytest.mark.parametrize("shape", SHAPES)
@torch.no_grad()
def test_a_ready_layer_gives_what_autocast_gave(shape):
    linear, hidden = layer(), torch.randn(shape)
    with torch.autocast("cpu", torch.bfloat16):
        before = linear(hidden)
        with ready_to_answer(linear):
            after = linear(hidden)
    assert before.dtype == after.dtype == torch.bfloat16
    torch.testing.assert_close(after, before, rtol=2**-7, atol=1e-3)


@torch.no_grad()
def test_hidden_that_is_no_block_of_memory_is_taken():
    linear = layer()
    hidden = torch.randn(24, 6, 3).transpose(0, 2)
    before = linear(hidden)
    with ready_to_answer(linear):
        torch.testing.assert_close(linear(hidden), before, rtol=1e-5, atol=1e-5)


class Doubled(nn.Linear):
    """A linear layer that does something of its own."""

    def forward(self, hidden):  # pyright: ignore[reportIncompatibleMethodOverride]
        return 2 * super().forward(hidden)


@torch.no_grad()
def test_a_layer_with_a_forward_pass_of_its_own_keeps_it():
    linear, hidden = Doubled(24, 40), torch.randn(2, 24)
    before = linear(hidden)
    with ready_to_answer(linear):
        torch.testing.assert_close(linear(hidden), before, rtol=0, atol=0)


class Counting(nn.Linear):
    """A linear layer that has more to offer."""

    def size(self) -> int:
        return self.weight.numel()


@torch.no_grad()
def test_a_layer_made_ready_stays_what_it_is_to_all_who_hold_it():
    linear, hidden = Counting(24, 40), torch.randn(2, 24)
    seen, state, before = [], linear.state_dict(), linear(hidden)
    linear.register_forward_hook(lambda *found: seen.append(found))
    with ready_to_answer(linear):
        assert isinstance(linear, Counting) and linear.size() == 960
        torch.testing.assert_close(linear(hidden), before, rtol=1e-5, atol=1e-5)
        assert len(seen) == 1
        assert linear.state_dict().keys() == state.keys()
    assert type(linear) is Counting


@torch.no_grad()
def test_a_model_can_be_made_ready_while_it_is_ready():
    three, hidden = Three(), torch.randn(1, 1, 32)
    before = three(hidden)
    with ready_to_answer(three):
        with ready_to_answer(three):
            three(hidden)
        for one, other in zip(three(hidden), before, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5)
    assert type(three.first) is nn.Linear


def test_a_module_with_layers_side_by_side_has_to_name_them():
    class Misspelt(SideBySide):
        besides = (("first",),)

    with pytest.raises(AttributeError, match="beside"), ready_to_answer(Misspelt()):
        pass


def test_a_failure_inside_leaves_the_layers_as_they_were():
    linear = layer()
    with pytest.raises(ZeroDivisionError), ready_to_answer(linear):
        raise ZeroDivisionError
    assert type(linear) is nn.Linear and vars(linear).keys() == vars(layer()).keys()
    with torch.no_grad():
        linear.weight.zero_()
    assert not (linear(torch.ones(1, 24)) - linear.bias).any()


@pytest.mark.parametrize("decoder", ["gpt", "llama"])
@torch.no_grad()
def test_a_model_made_ready_gives_the_same_answers(decoder):
    model = tiny_model("gated", decoder_name=decoder).eval()
    prompts = batch_for(model, answered=False)
    before = generate(model, model.see(prompts.images), prompts, max_new_tokens=6)
    with ready_to_answer(model):
        assert generate(model, model.see(prompts.images), prompts, max_new_tokens=6) == before


class Three(SideBySide):
    """Layers that read the same rows, as queries, keys and values do."""

    beside = (("first", "second", "third"),)

    def __init__(self, bias: bool = True):
        super().__init__()
        torch.manual_seed(0)
        self.first, self.second, self.third = (nn.Linear(32, outputs, bias=bias) for outputs in (32, 16, 48))

    def forward(self, hidden: torch.Tensor) -> Sequence[torch.Tensor]:
        return beside(hidden, self.first, self.second, self.third)


@pytest.mark.parametrize("shape", [(1, 1, 32), (3, 5, 32)])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("quantizer", ["none", "int8"])
@torch.no_grad()
def test_layers_beside_each_other_give_as_one_what_each_gave(shape, bias, quantizer):
    three, hidden = Three(bias), torch.randn(shape)
    builtin_registry().create("quantizer", quantizer).quantize(three)
    before, state = three(hidden), three.state_dict()
    with ready_to_answer(three):
        assert "joined" in vars(three.first)
        after = three(hidden)
        assert three.state_dict().keys() == state.keys()
    for one, other in zip(after, before, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5)
    assert "joined" not in vars(three.first)


@torch.no_grad()
def test_quantized_layers_with_adapters_beside_them_are_not_joined():
    three, hidden = Three(), torch.randn(3, 5, 32)
    builtin_registry().create("quantizer", "int8").quantize(three)
    builtin_registry().create("adapter", "lora", targets=("*",)).attach(three)
    before = three(hidden)
    with ready_to_answer(three):
        assert "joined" not in vars(three.first)
        assert all(torch.equal(one, other) for one, other in zip(three(hidden), before, strict=True))


@torch.no_grad()
def test_a_layer_that_somebody_watches_is_not_joined():
    three, seen = Three(), []
    three.second.register_forward_hook(lambda *found: seen.append(found))
    with ready_to_answer(three):
        three(torch.randn(1, 1, 32))
    assert len(seen) == 1
