"""The layers that an adapter or a quantizer put into a model, to be asked by themselves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from workbench.conformance.copy_and_compare import copied
from workbench.conformance.determinism import Call
from workbench.conformance.reference_model import batch_for, reference_model
from workbench.conformance.reference_questions import QUESTIONS
from workbench.data.collator import Batch
from workbench.model.vision_language_model import VisionLanguageModel


def calls_of_changed_layers(model: VisionLanguageModel, number: int) -> Sequence[Call]:
    """One of each sort of layers that are others than in the reference model, with what it is given in a pass."""
    plain = {name: _sort(each) for name, each in reference_model().named_modules()}
    changed = {name: each for name, each in model.named_modules() if name in plain and _sort(each) != plain[name]}
    given: dict[nn.Module, tuple[Any, ...]] = {}

    def note(layer: nn.Module, arguments: tuple[Any, ...]) -> None:
        given.setdefault(layer, copied(arguments))

    hooks = [each.register_forward_pre_hook(note, prepend=True) for each in changed.values()]
    with torch.no_grad():
        model.logits(_batch(model, number))
    for hook in hooks:
        hook.remove()
    sorts = {_sort(each): (name, each) for name, each in changed.items() if each in given}
    return [Call(name, layer, given[layer]) for name, layer in sorts.values()]


def whole_model(model: VisionLanguageModel, number: int) -> Sequence[Call]:
    """The model with one of two questions."""
    return [Call("the model", model.logits, (_batch(model, number),))]


def _batch(model: VisionLanguageModel, number: int) -> Batch:
    return batch_for(model, questions=[QUESTIONS[number]])


def _sort(layer: nn.Module) -> tuple[Any, ...]:
    """What tells an untouched layer from one that was replaced, wrapped or hung with hooks."""
    hooks = len(layer._forward_hooks), len(layer._forward_pre_hooks)
    return type(layer), *hooks, "forward" in vars(layer), nn.utils.parametrize.is_parametrized(layer)
