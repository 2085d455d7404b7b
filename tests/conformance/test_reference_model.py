"""The reference model asks, trains and changes the same way each time."""

from __future__ import annotations

import math

import torch

from tests.conformance.tried import subject_of
from workbench.conformance.reference_model import (
    batch_for,
    compose,
    different_images,
    gap,
    opened,
    other_ids,
    reference_model,
    train_briefly,
)
from workbench.conformance.reference_parts import ReferenceConnector
from workbench.conformance.reference_questions import PROMPTS, QUESTIONS, SEVERAL


class Mine(ReferenceConnector):
    """A connector under test."""


def test_the_plugin_stands_in_its_place_and_reference_parts_in_all_others():
    model, plain = compose(subject_of("connector", Mine)), reference_model()
    assert type(model.connector) is Mine
    for name in ("encoder", "fusion", "language_model"):
        assert type(getattr(model, name)) is type(getattr(plain, name))


def test_a_batch_has_an_image_for_each_place_and_answers_only_where_they_are_wanted():
    model = reference_model()
    assert [len(batch_for(model, questions=rows).images) for rows in (QUESTIONS, SEVERAL)] == [2, 4]
    for prompt in PROMPTS:
        assert not batch_for(model, prompt).prompt[batch_for(model, prompt).segments > 0].all()
        prompts = batch_for(model, prompt, answered=False)
        assert prompts.prompt[prompts.segments > 0].all()


def test_images_differ_from_each_other_and_are_the_same_each_time():
    encoder = reference_model().encoder
    images = different_images(encoder, 3)
    assert torch.equal(images, different_images(encoder, 3))
    assert len({tuple(image.flatten().tolist()) for image in images}) == 3


def test_training_from_the_same_weights_ends_at_the_same_and_reaches_every_parameter():
    first, again = reference_model(), reference_model()
    assert train_briefly(first) == train_briefly(again) == {}
    assert gap(first.get_parameter("fusion.mean.weight"), again.get_parameter("fusion.mean.weight")) == 0
    assert gap(first.get_parameter("fusion.mean.weight"), reference_model().get_parameter("fusion.mean.weight")) > 0
    assert not first.training


def test_only_the_chosen_parameters_are_trained():
    model, before = reference_model(), reference_model()
    train_briefly(model, list(model.connector.parameters()))
    moved = {name for name, each in model.named_parameters() if gap(each, before.get_parameter(name)) > 0}
    assert moved == {"connector.projection.weight", "connector.projection.bias"}


def test_an_opened_module_has_every_weight_moved_the_same_way_each_time():
    first, again, plain = opened(reference_model()), opened(reference_model()), reference_model()
    for one, other, before in zip(first.parameters(), again.parameters(), plain.parameters(), strict=True):
        assert gap(one, other) == 0
        assert gap(one, before) > 0


def test_other_ids_are_all_others_and_none_is_an_image():
    model = reference_model()
    tokenizer = model.language_model.tokenizer
    ids = torch.arange(tokenizer.size)
    changed = other_ids(ids, model)
    assert bool((changed != ids).all())
    assert tokenizer.image not in changed.tolist()
    assert int(changed.min()) >= 0 and int(changed.max()) < tokenizer.size


def test_a_gap_is_the_largest_difference_and_infinite_where_there_is_no_number():
    assert gap(torch.tensor([1.0, 2.0]), torch.tensor([1.5, 2.0])) == 0.5
    assert gap(torch.tensor([math.nan]), torch.tensor([1.0])) == math.inf
    assert gap(torch.empty(0), torch.empty(0)) == 0.0
