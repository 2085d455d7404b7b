"""Batches in micro-batches: every image once, and together the gradient of the whole."""

from __future__ import annotations

import copy
import random

import pytest
import torch

from tests.small import small_registry
from tests.training.phases import data_for, phase_of, trained
from workbench.data.sampler import sample_examples
from workbench.training.batches import micro_batch_slices
from workbench.training.loop import Training


def test_at_most_so_many_questions_of_an_image_are_asked_in_a_step(model):
    examples = [example for example in small_registry().create("dataset", "squares").examples("train", "questions")][:3]
    for most in (1, 2):
        drawn = [tuple(each.id for each in sample_examples(examples, most, random.Random(seed))) for seed in range(30)]
        assert {len(set(each)) for each in drawn} == {most}
        assert {id_ for each in drawn for id_ in each} == {each.id for each in examples}
    assert (
        sample_examples(examples, 3, random.Random(0)) == sample_examples(examples, None, random.Random(0)) == examples
    )
    assert trained(model, steps=4, questions=2)[0].examples == 4 * 4 * 2


@pytest.mark.parametrize("count", [2, 3, 8])
def test_micro_batches_give_the_gradient_of_the_whole(model, count):
    """Micro-batches with other numbers of answer tokens: a plain mean of their means would be another gradient."""
    twin = copy.deepcopy(model)
    whole = Training(model, [], phase_of(batch=8, steps=1, questions=2), data_for(model), 0)
    cut = Training(twin, [], phase_of(batch=8, steps=1, questions=2, accumulate=count), data_for(twin), 0)
    keys = whole.batches.sampler.next(8)
    questions = [whole.batches.grouped[key][: 1 + place % 3] for place, key in enumerate(keys)]
    one, other = (each._gradients(each.batches.prepare(keys, questions)) for each in (whole, cut))
    torch.testing.assert_close(other, one)
    for mine, theirs in zip(model.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(theirs.grad, mine.grad, rtol=1e-4, atol=1e-6)
    weights = [cut.objective.prepare(keys[each], questions[each], None).weight for each in micro_batch_slices(8, count)]
    assert count == 8 or len(set(weights)) > 1


def test_micro_batches_hold_every_image_once_and_differ_by_one_at_most():
    for size, count in ((8, 3), (32, 5), (7, 7), (4, 1)):
        cut = [list(range(size))[each] for each in micro_batch_slices(size, count)]
        assert [place for each in cut for place in each] == list(range(size))
        assert max(map(len, cut)) - min(map(len, cut)) <= 1
