"""Images as tensors: opened once, augmented when asked, the same with any number of threads."""

from __future__ import annotations

import random
from typing import Any

import pytest
import torch
from PIL import Image
from torch import Tensor

from tests.small import build, load, small_registry
from tests.training.phases import Squares
from workbench.data.image_loader import ImageLoader, threads_beside
from workbench.training.training_set import training_examples


@pytest.mark.parametrize("augments", [False, True])
def test_images_made_by_several_threads_are_the_same(tmp_path, augments):
    model = build(load(tmp_path).trials[0])
    dataset = small_registry().create("dataset", "squares")
    keys = [key for [key] in training_examples(dataset, ("questions",))]
    found = []
    for threads in (1, 4):
        source: Any = Noisy(dataset) if augments else dataset
        images = ImageLoader(source, model.encoder.views, threads=threads)
        asked = [*keys[:5], *keys[3:9], keys[0]]
        generator = random.Random(0)
        changed = images.augmented(asked, lambda key, generator=generator: generator)
        found.append([*changed, *images.plain(asked), *images.once(keys[:3])])
    assert all(torch.equal(one, other) for one, other in zip(*found, strict=True))
    assert torch.equal(found[0][0], found[0][11]) != augments, "the same image, augmented twice"


class Noisy(Squares):
    """Another shift each time."""

    augments = True

    def augment(self, image: Any, generator: random.Random) -> Any:
        return image.rotate(90 * generator.randrange(4)).point([generator.randrange(256) for _ in range(3 * 256)])


def views_of(image: Image.Image) -> Tensor:
    return torch.tensor(image.getpixel((0, 0)), dtype=torch.float32)[None, :, None, None]


def test_images_are_remembered_while_they_fit_and_else_opened_again():
    dataset = Squares(small_registry().create("dataset", "squares"))
    keys = [key for [key] in training_examples(dataset, ("questions",))][:3]  # pyright: ignore[reportArgumentType]
    loader = ImageLoader(dataset, views_of, budget=2 * views_of(dataset.dataset.image(keys[0])).nbytes)  # pyright: ignore[reportArgumentType]
    first = loader.plain(keys)
    assert all(torch.equal(*pair) for pair in zip(first, loader.plain(keys), strict=True))
    assert [dataset.opened[key] for key in keys] == [1, 1, 2], "there is room for two"


def test_images_that_are_asked_for_once_take_no_room():
    dataset = Squares(small_registry().create("dataset", "squares"))
    keys = [key for [key] in training_examples(dataset, ("questions",))][:2]  # pyright: ignore[reportArgumentType]
    loader = ImageLoader(dataset, views_of)  # pyright: ignore[reportArgumentType]
    assert all(torch.equal(*pair) for pair in zip(loader.once(keys), loader.plain(keys), strict=True))
    assert set(dataset.opened.values()) == {2}


def test_the_empty_image_is_even_mid_grey(tmp_path):
    loader = ImageLoader(small_registry().create("dataset", "squares"), build(load(tmp_path).trials[0]).encoder.views)
    [grey] = loader.grey(16)
    assert grey.shape == (3, 16, 16)
    assert grey.flatten(1).std(1).max() == 0


def test_a_cpu_keeps_its_threads_for_the_model():
    assert threads_beside("cpu") == 1
    assert threads_beside(torch.device("cuda", 0)) == torch.get_num_threads()
