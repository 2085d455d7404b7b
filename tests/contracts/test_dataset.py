"""A dataset that says nothing else has train and test, questions, whole images and no changes."""

from __future__ import annotations

import random

import pytest
from PIL import Image

from workbench.contracts.dataset import Dataset
from workbench.errors import RenamedError


def test_a_plain_dataset_trains_and_tests_on_questions_about_images_as_they_are():
    dataset, image = Dataset(), Image.new("RGB", (2, 2))
    assert (dataset.splits(), dataset.tasks()) == (("train", "test"), ("questions",))
    assert (dataset.fault("a"), dataset.most_broken, dataset.skipped("train", "questions")) == (None, 0.0, {})
    assert not dataset.augments
    assert dataset.augment(image, random.Random(0)) is image


def test_a_method_that_nobody_calls_any_more_is_refused_unless_the_new_one_is_there_too():
    with pytest.raises(RenamedError, match="Old.picture is called image now"):
        type("Old", (Dataset,), {"picture": lambda self, key: None})
    type("Both", (Dataset,), {"picture": lambda self, key: None, "image": lambda self, key: None})
