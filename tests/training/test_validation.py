"""Held-out images: their loss, what it decides, and that looking at them changes nothing."""

from __future__ import annotations

import copy
import json
import random

import pytest
import torch

from tests.small import small_registry
from tests.training.phases import Squares, data_for, moved, phase_of, trained
from workbench.data.image_views import distinct, gather
from workbench.training.loop import train
from workbench.training.training_set import hold_out, training_examples
from workbench.training.validation import Validation


def test_held_out_images_are_opened_for_validation_alone(model):
    dataset = Squares(small_registry().create("dataset", "squares"))
    phase = phase_of(held_out=0.25, steps=3)
    _, held = hold_out(training_examples(dataset.dataset, phase.tasks), 0.25, 0)
    opened: list[set[str]] = []
    train(model, [], phase, data_for(model, dataset), 0, lambda step: opened.append(set(dataset.opened)))
    assert opened[0]
    assert not opened[1] & set(distinct(held))
    assert set(distinct(held)) <= opened[2], "the last step is followed by a validation"


def test_the_validation_loss_is_the_mean_over_all_held_out_answer_tokens(model):
    summary, curve = trained(model, held_out=0.4, steps=5, validate_every=2, batch=4)
    assert [each.validation_loss is not None for each in curve] == [False, True, False, True, True]
    data = data_for(model)
    _, held = hold_out(training_examples(data.dataset, ["questions"]), 0.4, 0)
    assert len(held) == 6
    with torch.no_grad():
        expected = model.loss(data.collate(gather(list(held), data.images.plain)[0], list(held.values())))
    assert curve[-1].validation_loss == pytest.approx(float(expected), rel=1e-5)
    assert summary.curve == curve


def test_validation_changes_no_bit_of_the_training(model):
    twin = copy.deepcopy(model)
    _, seldom = trained(model, held_out=0.3, steps=4)
    _, often = trained(twin, held_out=0.3, steps=4, validate_every=1)
    assert [each.loss for each in seldom] == [each.loss for each in often]
    assert max(moved(model, twin).values()) == 0


def test_a_phase_stops_when_its_patience_is_at_an_end(model):
    watched = {"held_out": 0.3, "validate_every": 2, "patience": 3, "steps": 60, "rate": 1.0, "warmup": 0.0}
    summary, curve = trained(model, **watched)
    losses = [each.validation_loss for each in curve if each.validation_loss is not None]
    assert summary.steps == len(curve) < 60
    best = losses.index(min(losses))
    assert len(losses) == best + 1 + 3
    assert curve[-1].steps == 60


def test_the_best_weights_are_kept_with_their_losses_and_the_phase_can_finish_with_them(model):
    twin = copy.deepcopy(model)
    settings = {"held_out": 0.3, "validate_every": 1, "steps": 6, "rate": 0.3, "warmup": 0.0, "keep_best": 2}
    last, curve = trained(model, **settings)
    best, _ = trained(twin, **settings, finish_with="best")
    ranked = sorted((each.validation_loss, each.step) for each in curve)
    assert ranked[0][1] != 6, "the last weights are not the best"
    assert [(each.validation_loss, each.step) for each in best.kept[:2]] == ranked[:2]
    assert 6 in [each.step for each in best.kept]
    for name, weight in twin.named_parameters():
        assert torch.equal(weight, best.kept[0].weights[name])
    final = next(each for each in last.kept if each.step == 6)
    for name, weight in model.named_parameters():
        assert torch.equal(weight, final.weights[name])
    data = data_for(twin)
    _, held = hold_out(training_examples(data.dataset, ["questions"]), 0.3, 0)
    with torch.no_grad():
        loss = float(twin.loss(data.collate(gather(list(held), data.images.plain)[0], list(held.values()))))
    assert loss == pytest.approx(ranked[0][0], rel=1e-5)


def test_nothing_is_kept_that_was_not_asked_for(model):
    assert trained(model, held_out=0.3, validate_every=1, steps=3)[0].kept == []


@pytest.mark.parametrize("keep", [1, 3])
def test_the_best_of_many_losses_are_kept_as_sorting_them_would(keep):
    generator = random.Random(keep)
    losses = [generator.choice([1.0, 2.0, 3.0, 4.0]) for _ in range(20)]
    validation = Validation(phase_of(held_out=0.5, keep_best=keep), {})
    for step, loss in enumerate(losses, start=1):
        validation.note(step, loss, {"weight": torch.tensor(float(step))})
    ranked = sorted((loss, step) for step, loss in enumerate(losses, start=1))[:keep]
    assert [(each.validation_loss, each.step) for each in validation.kept] == ranked
    assert [float(each.weights["weight"]) for each in validation.kept] == [step for _, step in ranked]


def test_a_validation_goes_on_with_its_best_weights_and_its_patience():
    phase = phase_of(held_out=0.5, keep_best=2, validate_every=1, patience=2)
    validation, other = Validation(phase, {}), Validation(phase, {})
    for step, loss in ((1, 2.0), (10, 1.0), (11, 3.0)):
        validation.note(step, loss, {"a.weight": torch.full((2,), loss)})
    tensors, values = validation.state()
    other.restore(tensors, json.loads(json.dumps(values)))
    assert not other.stops
    other.note(12, 1.5, {"a.weight": torch.full((2,), 1.5)})
    assert other.stops
    assert [(each.step, float(each.weights["a.weight"][0])) for each in other.kept] == [(10, 1.0), (12, 1.5)]
