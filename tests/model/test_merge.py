"""Merging an adapter is proved on the model itself: whatever it changes beyond rounding is told."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from tests.tiny import builtin_registry, tiny_model
from workbench.contracts.adapter import Adapter
from workbench.errors import UserError
from workbench.model.merge import merge_adapter
from workbench.model.vision_language_model import VisionLanguageModel

EVERYWHERE = ("*attention.output", "connector.*", "fusion.*", "language_model.output")


class InPlace(Adapter):
    """Adds to one layer's weight where it lies, and computes beside it until then."""

    def __init__(self, layer: str):
        self.layer = layer

    def attach(self, model: nn.Module) -> list[nn.Parameter]:
        layer: Any = model.get_submodule(self.layer)
        layer.added = nn.Parameter(torch.zeros_like(layer.weight))
        layer.register_forward_hook(lambda module, given, output: output + given[0] @ module.added.T)
        return [layer.added]

    def merge(self, model: nn.Module) -> None:
        layer: Any = model.get_submodule(self.layer)
        with torch.no_grad():
            layer.weight.add_(layer.added)
        layer._forward_hooks.clear()
        del layer.added


def trained(adapter: Adapter, decoder: str = "gpt") -> tuple[VisionLanguageModel, list[nn.Parameter]]:
    model = tiny_model("bidirectional", decoder_name=decoder)
    parameters = adapter.attach(model)
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for each in parameters:
            each.add_(0.3 * torch.randn(each.shape, generator=generator))
    return model, parameters


def test_a_merge_that_moves_another_layer_is_refused():
    adapter = InPlace("language_model.output")
    model, parameters = trained(adapter)
    with pytest.raises(UserError, match=r"moves the logits by \d+%, .*whose weights other layers use"):
        merge_adapter(adapter, model, parameters)


def test_a_merge_that_only_rounds_passes_and_leaves_every_mode_as_it_was():
    adapter = InPlace("language_model.layers.0.attention.output")
    model, parameters = trained(adapter)
    model.train()
    model.encoder.eval()
    merge_adapter(adapter, model, parameters)
    assert model.language_model.training
    assert not model.encoder.training


@pytest.mark.parametrize("decoder", ["gpt", "llama"])
def test_lora_on_encoder_connector_fusion_and_a_shared_head_passes(decoder):
    adapter = builtin_registry().create("adapter", "lora", rank=2, targets=EVERYWHERE)
    model, parameters = trained(adapter, decoder)
    merge_adapter(adapter, model, parameters)


def test_a_model_that_is_lost_is_no_fault_of_the_merge():
    adapter = InPlace("language_model.output")
    model, parameters = trained(adapter)
    with torch.no_grad():
        parameters[0].fill_(float("nan"))
    merge_adapter(adapter, model, parameters)
