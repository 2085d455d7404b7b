"""Full fine-tuning and LoRA."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.tiny import builtin_registry, tiny_model
from workbench.contracts.adapter import Adapter
from workbench.errors import UserError
from workbench.layers.attention import Attention
from workbench.layers.mlp import MLP


class Block(nn.Module):
    """A decoder block with the names of the native one."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.attention = Attention(width, heads)
        self.mlp = MLP(width, 4 * width)

    def forward(self, hidden: Tensor) -> Tensor:
        hidden = hidden + self.attention(hidden)
        return hidden + self.mlp(hidden)


class Model(nn.Module):
    """Something before the language model, and the language model."""

    def __init__(self, width: int = 16, depth: int = 2, heads: int = 2):
        super().__init__()
        self.encoder = nn.Linear(width, width)
        self.language_model = nn.Module()
        self.language_model.layers = nn.ModuleList(Block(width, heads) for _ in range(depth))

    def forward(self, hidden: Tensor) -> Tensor:
        hidden = self.encoder(hidden)
        for index in range(2):
            hidden = block(self, index)(hidden)
        return hidden


def block(model: nn.Module, index: int) -> Any:
    return model.get_submodule(f"language_model.layers.{index}")


def adapter(name: str, **options) -> Adapter:
    return builtin_registry().create("adapter", name, **options)


def model() -> Model:
    torch.manual_seed(0)
    return Model()


def hidden() -> Tensor:
    return torch.randn(3, 5, 16, generator=torch.Generator().manual_seed(1))


def trained(name: str = "lora", **options) -> tuple[Model, Adapter]:
    """A model whose adapter is no longer the identity."""
    adapted, chosen = model(), adapter(name, **options)
    for parameter in chosen.attach(adapted):
        nn.init.normal_(parameter, std=0.1)
    return adapted, chosen


def test_full_returns_the_language_models_own_parameters():
    whole = model()
    assert {id(each) for each in adapter("full").attach(whole)} == {
        id(each) for each in whole.language_model.parameters()
    }


def test_full_can_be_narrowed_by_wildcards_over_parameter_names():
    whole = model()
    chosen = adapter("full", targets=("*.mlp.*.bias",)).attach(whole)
    assert [each.shape[0] for each in chosen] == [64, 16, 64, 16]


@pytest.mark.parametrize("side", ["embedding", "output"])
def test_full_trains_a_shared_weight_under_all_its_names_or_none(side: str):
    whole, both = tiny_model("gated"), ("language_model.embedding.weight", "language_model.output.weight")
    with pytest.raises(UserError, match=r"embedding\.weight.* which are one weight.* name both"):
        adapter("full", targets=(f"language_model.{side}.*",)).attach(whole)
    assert adapter("full", targets=both).attach(whole) == [whole.get_parameter(both[1])]


@pytest.mark.parametrize("name", ["full", "lora"])
def test_attach_changes_neither_outputs_nor_what_requires_a_gradient(name: str):
    whole = model()
    whole.encoder.requires_grad_(False)
    before, frozen = whole(hidden()), {name for name, each in whole.named_parameters() if not each.requires_grad}
    adapter(name).attach(whole)
    assert torch.equal(whole(hidden()), before)
    assert {name for name, each in whole.named_parameters() if not each.requires_grad} == frozen


@pytest.mark.parametrize("name", ["full", "lora"])
def test_targets_that_match_nothing_name_what_there_is(name: str):
    with pytest.raises(UserError, match=r"'nowhere\.\*'.*encoder.*language_model"):
        adapter(name, targets=("nowhere.*",)).attach(model())


def test_lora_keeps_the_base_weights_names_and_adds_two_a_layer():
    whole = model()
    before = dict(whole.named_parameters())
    adapter("lora").attach(whole)
    after = dict(whole.named_parameters())
    assert all(after[name] is before[name] for name in before)
    layers = [f"language_model.layers.{index}.attention.{part}" for index in (0, 1) for part in ("qkv", "output")]
    assert set(after) - set(before) == {f"{layer}.lora_{letter}" for layer in layers for letter in "AB"}


def test_lora_refuses_a_rank_above_a_layers_narrow_side():
    with pytest.raises(UserError, match=r"rank 17 .*layers\.0\.attention\.qkv \(16\).*at most 16"):
        adapter("lora", rank=17).attach(model())


def test_lora_gives_pefts_outputs_and_gradients_for_the_same_a_and_b():
    from peft import LoraConfig, get_peft_model

    ours, _ = trained(rank=4, alpha=6.0)
    theirs = get_peft_model(model(), LoraConfig(r=4, lora_alpha=6, target_modules=["qkv", "output"]))
    named = dict(theirs.named_parameters())
    values = {
        name: next(each for key, each in named.items() if name in key.replace(".default.weight", ""))
        for name, _ in ours.named_parameters()
        if "lora_" in name
    }
    with torch.no_grad():
        for name, value in values.items():
            value.copy_(ours.get_parameter(name))
    expected, found = theirs(hidden()), ours(hidden())
    assert (found - model()(hidden())).abs().max() > 1e-2
    assert torch.allclose(found, expected, atol=1e-6)
    expected.square().sum().backward()
    found.square().sum().backward()
    for name, value in values.items():
        gradients = ours.get_parameter(name).grad, value.grad
        torch.testing.assert_close(*gradients, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("shape", [(16,), (5, 16), (2, 3, 5, 16)])
def test_an_adapted_layer_takes_any_number_of_leading_dimensions(shape):
    model = nn.Sequential(nn.Linear(16, 24))
    for parameter in adapter("lora", rank=2, targets=("0",)).attach(model):
        nn.init.normal_(parameter, generator=torch.Generator().manual_seed(3))
    hidden = torch.randn(shape, generator=torch.Generator().manual_seed(4))
    layer: Any = model[0]
    added = 8.0 * (hidden @ layer.lora_A.T @ layer.lora_B.T)  # alpha 16 by rank 2
    torch.testing.assert_close(model(hidden), hidden @ layer.weight.T + layer.bias + added)


def test_in_bf16_an_adapted_layer_gives_bf16_and_gradients_near_those_of_fp32():
    gradients = []
    for enabled in (False, True):
        model = nn.Sequential(nn.Linear(16, 24))
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.copy_(torch.linspace(-1, 1, parameter.numel()).view_as(parameter))
        trained = adapter("lora", rank=2, targets=("0",)).attach(model)
        for parameter in trained:
            nn.init.normal_(parameter, generator=torch.Generator().manual_seed(3))
        hidden = torch.randn(7, 16, generator=torch.Generator().manual_seed(4), requires_grad=True)
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            output = model(hidden)
        assert output.dtype == (torch.bfloat16 if enabled else torch.float32)
        output.float().square().mean().backward()
        gradients.append([each.grad for each in (hidden, *trained)])
    for exact, rounded in zip(*gradients, strict=True):
        assert (rounded - exact).norm() < 0.02 * exact.norm()


def test_lora_starts_as_in_the_reference():
    whole = model()
    adapter("lora", rank=4).attach(whole)
    layer = block(whole, 0).attention.qkv
    assert torch.equal(layer.lora_B, torch.zeros(48, 4))
    bound = 1 / 16**0.5  # kaiming uniform with a = sqrt(5): 1 / sqrt(in)
    assert layer.lora_A.abs().max() <= bound
    assert layer.lora_A.detach().std().item() == pytest.approx(bound / 3**0.5, rel=0.3)


def test_merging_computes_the_same_with_the_names_and_layers_there_were():
    whole, chosen = trained()
    expected = whole(hidden())
    chosen.merge(whole)
    assert torch.allclose(whole(hidden()), expected, atol=1e-5)
    assert [(name, each.shape) for name, each in whole.state_dict().items()] == [
        (name, each.shape) for name, each in model().state_dict().items()
    ]
    layer = block(whole, 0).attention.qkv
    assert type(layer).forward is nn.Linear.forward


def test_merged_weights_are_w_plus_scaled_b_a():
    whole, chosen = trained(rank=2, alpha=3.0)
    layer = block(whole, 1).attention.output
    expected = layer.weight.double() + 1.5 * layer.lora_B.double() @ layer.lora_A.double()
    chosen.merge(whole)
    assert torch.allclose(block(whole, 1).attention.output.weight.double(), expected, atol=1e-6)


def test_unmerging_restores_weights_and_outputs_bit_for_bit():
    whole, chosen = trained()
    before, expected = {name: each.clone() for name, each in whole.state_dict().items()}, whole(hidden())
    parameters = list(whole.parameters())
    chosen.merge(whole)
    chosen.unmerge(whole)
    after = whole.state_dict()
    assert list(after) == list(before)
    assert all(torch.equal(after[name], before[name]) for name in before)
    assert torch.equal(whole(hidden()), expected)
    assert all(one is other for one, other in zip(whole.parameters(), parameters, strict=True))


def test_a_layer_used_in_two_places_stays_one():
    whole = model()
    block(whole, 1).attention = block(whole, 0).attention
    chosen = adapter("lora").attach(whole)
    assert len(chosen) == 4
    assert block(whole, 1).attention.qkv is block(whole, 0).attention.qkv


@pytest.mark.parametrize("merged", [False, True])
def test_an_adapted_model_can_be_copied_and_pickled(merged: bool):
    whole, chosen = trained()
    if merged:
        chosen.merge(whole)
    expected = whole(hidden())
    for twin in (copy.deepcopy(whole), pickle.loads(pickle.dumps(whole))):
        assert torch.equal(twin(hidden()), expected)
        chosen.unmerge(twin)
        assert not torch.equal(block(twin, 0).attention.qkv.lora_B, torch.zeros(48, 8))


def test_dropout_works_in_training_only():
    whole, _ = trained(dropout=0.5)
    assert not torch.equal(whole(hidden()), whole(hidden()))
    whole.eval()
    assert torch.equal(whole(hidden()), whole(hidden()))


def test_at_the_width_of_gpt2_small_lora_trains_two_per_cent_or_less_of_full():
    with torch.device("meta"):
        whole = Model(width=768, depth=12, heads=12)
        full = sum(each.numel() for each in adapter("full").attach(whole))
        lora = sum(each.numel() for each in adapter("lora", rank=8).attach(whole))
    assert lora == 12 * 8 * ((768 + 3 * 768) + (768 + 768))
    assert lora <= 0.02 * full


def test_one_step_on_lora_moves_a_and_b_and_nothing_else():
    whole = model()
    chosen = adapter("lora").attach(whole)
    whole.requires_grad_(False)
    for parameter in chosen:
        parameter.requires_grad_(True)
        nn.init.normal_(parameter, std=0.1)
    before = {name: each.clone() for name, each in whole.named_parameters()}
    optimizer = torch.optim.SGD(chosen, lr=0.1)
    whole(hidden()).square().sum().backward()
    optimizer.step()
    moved = {name for name, each in whole.named_parameters() if not torch.equal(each, before[name])}
    assert moved == {name for name in before if "lora_" in name}
