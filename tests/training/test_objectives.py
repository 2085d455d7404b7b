"""What a phase makes smaller: a frozen encoder's tokens as recomputed ones, and contrast for the encoder alone."""

from __future__ import annotations

import copy
import random
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.small import small_registry
from tests.training.phases import Squares, data_for, moved, phase_of, trained
from workbench.training.curve import Step
from workbench.training.loop import train
from workbench.training.objectives import objective_of
from workbench.training.training_set import training_examples


class Augmenting(Squares):
    """Says that it augments, and changes nothing: the encoder then runs in every step."""

    augments = True

    def augment(self, image: Any, random: random.Random) -> Any:
        return image


def test_remembered_tokens_of_a_frozen_encoder_train_as_recomputed_ones_do(model):
    dataset = small_registry().create("dataset", "squares")
    phase = phase_of(train=("connector", "language_model"), steps=6, rate=1e-2)
    twin = copy.deepcopy(model)
    curves: list[list[Step]] = [[], []]
    train(model, [], phase, data_for(model, dataset), 0, curves[0].append)
    train(twin, [], phase, data_for(twin, Augmenting(dataset)), 0, curves[1].append)
    assert [each.loss for each in curves[0]] == pytest.approx([each.loss for each in curves[1]], abs=1e-5)
    assert curves[0][-1].loss < curves[0][0].loss


def test_a_frozen_encoder_opens_each_image_once(model):
    dataset = Squares(small_registry().create("dataset", "squares"))
    data = data_for(model, dataset)
    train(model, [], phase_of(train=("connector",), steps=12), data, 0, lambda step: None)
    assert set(dataset.opened.values()) == {1}
    assert len(dataset.opened) == 16


def test_a_frozen_encoder_runs_without_dropout(model):
    model.encoder.register_forward_hook(
        lambda module, arguments, tokens: nn.functional.dropout(tokens, 0.9, module.training)
    )
    before = model.encoder.eval()(torch.ones(1, 3, 16, 16))
    seen: list[Tensor] = []
    model.connector.register_forward_hook(lambda module, arguments, tokens: seen.append(arguments[0]))
    trained(model, train=("connector",), steps=1)
    assert (seen[0] == 0).float().mean() < 0.5
    torch.testing.assert_close(model.encoder(torch.ones(1, 3, 16, 16)), before)


def test_a_contrastive_phase_moves_the_encoder_alone_and_its_loss_falls(model):
    before = copy.deepcopy(model)
    settings = {"objective": "contrastive", "tasks": ("captions",), "train": ("encoder",)}
    summary, curve = trained(model, **settings, steps=25, batch=8, rate=3e-3)
    changes = moved(before, model)
    assert {name.partition(".")[0] for name, change in changes.items() if change > 0} == {"encoder"}
    assert summary.trainable_parameters == sum(map(torch.numel, model.encoder.parameters()))
    assert curve[-1].loss < curve[0].loss - 0.2


def test_a_contrastive_micro_batch_has_a_caption_an_image_the_first_one_where_nothing_is_drawn(model):
    phase = phase_of(objective="contrastive", tasks=("captions",), train=("encoder",))
    data = data_for(model)
    grouped = training_examples(data.dataset, ["captions"])
    objective = objective_of(phase, model, data, grouped, torch.device("cpu"))
    keys = list(grouped)[:3]
    batch = objective.prepare(keys, [grouped[key] for key in keys], None)
    assert batch.text == [grouped[key][0].answer for key in keys]
    assert (batch.weight, len(batch.seen)) == (3, 3)
    assert torch.equal(batch.seen, torch.cat(data.images.plain([key for [key] in keys])))


def test_a_micro_batch_of_answers_weighs_as_many_as_it_has_answer_tokens(model):
    data = data_for(model)
    grouped = training_examples(data.dataset, ["questions"])
    keys = list(grouped)[:2]
    batch = objective_of(phase_of(), model, data, grouped, torch.device("cpu")).prepare(
        keys, [grouped[key] for key in keys], None
    )
    tokenizer = model.language_model.tokenizer
    answers = [example.answer for key in keys for example in grouped[key]]
    assert batch.weight == sum(len(tokenizer.encode(answer)) + 1 for answer in answers)
