"""Images that are held out: which ones, of whatever dataset, and that none of them is left to train on."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import pytest
from PIL import Image

from workbench.contracts.dataset import Dataset
from workbench.contracts.example import Example
from workbench.data.annotations import DataError
from workbench.data.held_out import HeldOutImages, WithHeldOut
from workbench.storage.splits import HELD_OUT


class Album(Dataset):
    """Sets of images by task, in a given order; every set is asked one question."""

    def __init__(self, sets: Sequence[tuple[str, ...]], own: Sequence[tuple[str, ...]] = (), **tasks: Any):
        self.by_task = {"questions": sets, **tasks}
        self.own = own

    def splits(self) -> Sequence[str]:
        return ("held_out", "train", "test") if self.own else ("train", "test")

    def tasks(self):
        return tuple(self.by_task)

    def examples(self, split: str, task: str) -> list[Example]:
        if split == "held_out":
            chosen: Sequence[tuple[str, ...]] = self.own
        else:
            chosen = self.by_task[task] if split == "train" else [("unseen",)]
        return [
            Example(f"{split}/{task}/{number}", keys[0], "what is it?", (f"{number}",), more=tuple(keys[1:]))
            for number, keys in enumerate(chosen)
        ]

    def image(self, key: str) -> Image.Image:
        return Image.new("RGB", (4, 4))

    def fingerprint(self) -> str:
        return "album"


def single(count: int, folder: str = "train") -> list[tuple[str, ...]]:
    return [(f"{folder}/{number}.jpg",) for number in range(count)]


def clips(count: int, frames: int) -> list[tuple[str, ...]]:
    return [tuple(f"clip{clip}.gif/{frame}" for frame in range(frames)) for clip in range(count)]


def of(dataset: Dataset, share: float = 0.1) -> WithHeldOut:
    return HeldOutImages(share).out_of(dataset)


def keys(dataset: Dataset, split: str, task: str = "questions") -> set[str]:
    return {key for each in dataset.examples(split, task) for key in each.images}


def test_a_share_is_a_split_of_its_own_and_trains_no_more():
    dataset = of(Album(single(4000)))
    assert dataset.splits() == ("train", "test", "held_out")
    train, held_out = keys(dataset, "train"), keys(dataset, HELD_OUT)
    assert not train & held_out
    assert len(train | held_out) == 4000
    assert 340 < len(held_out) < 460
    assert keys(dataset, "test") == {"unseen"}


def test_which_images_depends_neither_on_the_order_nor_on_what_else_there_is():
    sets = single(400)
    mixed = random.Random(3).sample(sets, len(sets))
    whole = keys(of(Album(sets)), HELD_OUT)
    assert keys(of(Album(mixed)), HELD_OUT) == whole
    some = sets[100:]
    assert keys(of(Album(some)), HELD_OUT) == whole & {key for (key,) in some}


def test_which_images_is_pinned_so_that_no_version_chooses_others():
    """A change of this list lets images that were trained on be held out, and the other way round."""
    chosen = keys(of(Album(single(40))), HELD_OUT)
    assert chosen == {f"train/{number}.jpg" for number in (7, 19, 22, 24, 32, 37)}


@pytest.mark.parametrize(
    "sets", [single(300), clips(60, 4), clips(7, 5), single(3)], ids=["images", "clips", "few", "3"]
)
def test_a_larger_share_holds_a_smaller_one(sets):
    chosen = [keys(of(Album(sets), share), HELD_OUT) for share in (0.01, 0.05, 0.1, 0.3, 0.5)]
    for smaller, larger in zip(chosen, chosen[1:], strict=False):
        assert smaller <= larger
    assert chosen[-1] < {key for each in sets for key in each}


def test_images_that_are_asked_about_together_stay_together_and_are_as_likely_as_others():
    sets = clips(1000, 5)
    dataset = of(Album(sets))
    held_out = {each.images for each in dataset.examples(HELD_OUT, "questions")}
    train = {each.images for each in dataset.examples("train", "questions")}
    assert held_out | train == set(sets)
    assert not {key for each in held_out for key in each} & {key for each in train for key in each}
    assert 70 < len(held_out) < 130


def test_sets_that_share_an_image_stay_together_in_whatever_task():
    pairs = [(f"{number}.jpg", f"{number + 1}.jpg") for number in range(0, 300, 3)]
    others = [(f"{number + 1}.jpg", f"{number + 2}.jpg") for number in range(0, 300, 3)]
    dataset = of(Album(pairs, captions=others))
    for task in dataset.tasks():
        assert not keys(dataset, "train", task) & (keys(dataset, HELD_OUT) | keys(dataset, HELD_OUT, "captions"))
        assert len(dataset.examples("train", task)) + len(dataset.examples(HELD_OUT, task)) == 100


def test_what_all_hangs_together_is_not_held_out_by_chance_but_refused():
    chain = [(f"{number}.jpg", f"{number + 1}.jpg") for number in range(100)]
    with pytest.raises(DataError, match=r"no share of its 101 training image.*together.*split: test"):
        of(Album(chain)).examples("train", "questions")


def test_a_large_group_that_is_more_than_the_share_trains():
    chain = [(f"{number}.jpg", f"{number + 1}.jpg") for number in range(400)]
    dataset = of(Album([*chain, *single(400, "alone")]))
    assert keys(dataset, HELD_OUT) <= {key for (key,) in single(400, "alone")}


@pytest.mark.parametrize("count", [3, 4, 12])
def test_of_few_images_two_are_held_out_so_that_there_is_an_evaluation(count):
    dataset = of(Album(single(count)), 0.01)
    assert len(keys(dataset, HELD_OUT)) == 2
    assert len(keys(dataset, "train")) == count - 2


def test_two_images_are_too_few():
    with pytest.raises(DataError, match="no share of its 2 training"):
        of(Album(single(2))).examples(HELD_OUT, "questions")


def test_an_image_is_held_out_of_every_task():
    some = single(300)[::2]
    dataset = of(Album(single(300), captions=some, other=single(300)[::3]))
    held_out = set().union(*(keys(dataset, HELD_OUT, task) for task in dataset.tasks()))
    trained = set().union(*(keys(dataset, "train", task) for task in dataset.tasks()))
    assert not held_out & trained
    assert keys(dataset, HELD_OUT, "captions") == held_out & {key for (key,) in some}


def test_an_image_that_several_datasets_have_is_held_out_of_all_wherever_it_lies():
    choice = HeldOutImages(0.2)
    first = choice.out_of(Album(single(200, "coco/train2014")))
    second = choice.out_of(Album(single(300, "again")))
    third = choice.out_of(Album([(f"{number}.jpg", f"{number + 1}.jpg") for number in range(0, 100, 2)]))
    parts = (first, second, third)
    held_out, trained = (
        {key.rpartition("/")[2] for part in parts for key in keys(part, split)} for split in (HELD_OUT, "train")
    )
    assert not held_out & trained
    assert len(held_out) > 20


def test_an_image_of_coco_is_one_image_under_both_of_its_names():
    """As mixtures of VQA v2 (images of 2014) and A-OKVQA (the same ones, of 2017) have them."""
    choice = HeldOutImages(0.2)
    numbers = [f"{number:012}.jpg" for number in range(300)]
    old = choice.out_of(Album([(f"train2014/COCO_train2014_{number}",) for number in numbers]))
    new = choice.out_of(Album([(number,) for number in numbers]))
    held_out, trained = (
        {key[-16:] for part in (old, new) for key in keys(part, split)} for split in (HELD_OUT, "train")
    )
    assert held_out | trained == set(numbers)
    assert not held_out & trained


def test_names_that_tell_no_images_apart_are_not_taken_for_one_image():
    sets: list[tuple[str, ...]] = [(f"train/{number}/image.png",) for number in range(200)]
    assert 5 < len(keys(of(Album(sets)), HELD_OUT)) < 40


def test_a_split_of_that_name_stays_the_datasets_own_and_none_of_it_trains():
    dataset = of(Album(single(50), own=[("train/3.jpg",), ("other/1.jpg",), ("new.jpg",)]))
    assert dataset.splits() == ("held_out", "train", "test")
    assert keys(dataset, HELD_OUT) == {"train/3.jpg", "other/1.jpg", "new.jpg"}
    assert keys(dataset, "train") == {key for (key,) in single(50)} - {"train/3.jpg", "train/1.jpg"}


def test_a_dataset_that_trains_nothing_has_nothing_to_hold_out():
    class Pure(Album):
        def splits(self):
            return ("test",)

    assert of(Pure(single(3))).splits() == ("test",)
    assert keys(of(Pure(single(3))), "test") == {"unseen"}


def test_captions_of_an_image_that_train_one_by_one_are_alternatives_when_they_are_asked():
    thrice = [each for each in single(60) for _ in range(3)]
    dataset = of(Album(single(60), captions=thrice), 0.5)
    asked = dataset.examples(HELD_OUT, "captions")
    assert len(asked) == len(keys(dataset, HELD_OUT))
    assert {len(each.answers) for each in asked} == {3}
    assert {len(each.answers) for each in dataset.examples("train", "captions")} == {1}


def test_broken_images_are_told_where_they_would_have_been():
    class Broken(Album):
        def skipped(self, split, task):
            return {key: "it is missing" for (key,) in single(40)[::2]} if split == "train" else {}

    dataset = of(Broken(single(40)[1::2]), 0.3)
    parts = [set(dataset.skipped(split, "questions")) for split in ("train", HELD_OUT)]
    assert parts[0] | parts[1] == {key for (key,) in single(40)[::2]}
    assert not parts[0] & parts[1]
    assert parts[1]


def test_a_dataset_with_such_a_split_of_its_own_tells_all_its_broken_images():
    class Broken(Album):
        def skipped(self, split, task):
            return {f"{split}/{number}.jpg": "it is missing" for number in range(40)}

    dataset = of(Broken(single(40)[1::2], own=[("apart",)]), 0.3)
    assert [len(dataset.skipped(split, "questions")) for split in ("train", HELD_OUT, "test")] == [40, 40, 40]


def test_at_least_two_sets_of_images_are_held_out_where_most_examples_are_text_alone():
    class Mostly:
        def __init__(self, images):
            self.images = images

        def __getattr__(self, name):
            return {"splits": lambda: ("train",), "tasks": lambda: ("questions",)}[name]

        def examples(self, split, task):
            keys = [f"{place}.jpg" if place < self.images else "" for place in range(60)]
            return [Example(f"train/{place}", key, "q", ("a",)) for place, key in enumerate(keys)]

    held = HeldOutImages(0.05).out_of(Mostly(8))  # pyright: ignore[reportArgumentType]
    out, left = (held.examples(split, "questions") for split in ("held_out", "train"))
    assert sum(bool(each.image) for each in out) >= 2
    assert len(out) + len(left) == 60
    assert {each.row for each in out}.isdisjoint(each.row for each in left)
