"""Which examples train: a share of the images, without those that are held out."""

from __future__ import annotations

from typing import Any

import pytest

from tests.small import small_registry
from tests.training.phases import Squares, data_for, phase_of
from workbench.contracts.dataset import Dataset
from workbench.data.image_views import distinct
from workbench.errors import UserError
from workbench.model.image_features import NeededFeatures
from workbench.training.loop import train
from workbench.training.training_set import hold_out, training_examples


def test_a_phase_without_examples_is_refused(model):
    with pytest.raises(UserError, match="no training examples for the tasks questions"):
        train(model, [], phase_of(), data_for(model, _Empty()), 0, lambda step: None)


class _Empty(Dataset):
    def examples(self, split: str, task: str) -> list[Any]:
        return []


def test_what_is_held_out_does_not_train_and_depends_on_the_seed_alone():
    grouped = training_examples(small_registry().create("dataset", "squares"), ["questions"])
    rest, held = hold_out(grouped, 0.25, seed=1)
    assert len(held) == 4
    assert not set(rest) & set(held)
    assert {**rest, **held} == grouped
    assert set(hold_out(dict(reversed(grouped.items())), 0.25, seed=1)[1]) == set(held)
    assert set(held) < set(hold_out(grouped, 0.5, seed=1)[1])
    assert set(hold_out(grouped, 0.25, seed=2)[1]) != set(held)
    assert len(hold_out(grouped, 0.001, seed=1)[1]) == 1
    assert len(hold_out(grouped, 0.999, seed=1)[0]) == 1
    assert hold_out(grouped, 0.0, seed=1) == (grouped, {})


def test_a_share_of_the_data_holds_every_smaller_share_and_trains_on_nothing_else(model):
    dataset = small_registry().create("dataset", "squares")
    everything, half, quarter = (training_examples(dataset, ["questions"], share) for share in (1.0, 0.5, 0.25))
    assert [len(each) for each in (everything, half, quarter)] == [16, 8, 4]
    assert set(quarter) < set(half) < set(everything)
    assert all(everything[key] == examples for key, examples in half.items())
    seen = Squares(dataset)
    train(model, [], phase_of(data_share=0.25, steps=4, batch=2), data_for(model, seen), 0, lambda step: None)
    assert set(seen.opened) == set(distinct(quarter))
    assert NeededFeatures("train", ("questions",), None, "fp32", 0.25).images(dataset) == tuple(distinct(quarter))
