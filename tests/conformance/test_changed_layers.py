"""Of an adapted or quantized model the layers that changed are asked, one of each sort."""

from __future__ import annotations

import torch
from torch import nn

from workbench.conformance.changed_layers import calls_of_changed_layers, whole_model
from workbench.conformance.reference_model import reference_model


class Wrapped(nn.Module):
    """A linear layer in another one."""

    def __init__(self, inner: nn.Module):
        super().__init__()
        self.inner = inner

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.inner(x)


def test_nothing_is_asked_of_a_model_that_is_as_it_was():
    assert calls_of_changed_layers(reference_model().eval(), 0) == []


def test_one_of_each_sort_of_changed_layers_is_asked_with_what_a_pass_gives_it():
    model = reference_model().eval()
    for part, name in ((model.connector, "projection"), (model.fusion, "mean")):
        part.set_submodule(name, Wrapped(part.get_submodule(name)))
    model.get_submodule("language_model.output").register_forward_hook(lambda *_: None)
    found = {call.name: call for call in calls_of_changed_layers(model, 0)}
    assert len(found) == 2, "the two that are wrapped are of one sort"
    assert "language_model.output" in found
    [wrapped] = found.keys() - {"language_model.output"}
    assert wrapped in ("connector.projection", "fusion.mean")
    assert all(torch.isfinite(call.answer()).all() for call in found.values())


def test_the_whole_model_is_asked_one_of_two_questions():
    model = reference_model().eval()
    first, second = ([call] for number in (0, 1) for call in whole_model(model, number))
    assert first[0].answer().shape[-1] == model.language_model.tokenizer.size
    assert not torch.equal(first[0].arguments[0].images, torch.empty(0))
    assert first[0].arguments[0].ids.tolist() != second[0].arguments[0].ids.tolist()
