"""Rules for datasets: examples that are whole, images that open, splits that share nothing."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator, Sequence

from PIL import Image, ImageChops

from workbench.conformance.determinism import Call, CallPlan, expect_the_same_each_time
from workbench.conformance.rules import Rule, Subject, after, expect, in_turn
from workbench.conformance.shifted_clock import another_day
from workbench.contracts.dataset import Dataset
from workbench.contracts.example import Example
from workbench.data.collator import own_places
from workbench.data.image_views import distinct

OPENED = 16  # images of each split that are opened


def it_can_be_built_with_these_options(subject: Subject) -> None:
    """What it raises breaks the rule."""
    subject.build()


def every_split_has_examples(subject: Subject) -> None:
    """Of every task; and there is something to train on, or to test with."""
    dataset = subject.shared
    splits, tasks = tuple(dataset.splits()), tuple(dataset.tasks())
    expect(bool({"train", "test"} & set(splits)), f"splits() gives {splits}: `train` or `test` is needed")
    expect(bool(tasks), "tasks() gives none: `questions` or `captions` is usual")
    for where, examples in _all(dataset):
        expect(len(examples) > 0, f"there are no examples in {where}")


def examples_are_whole(subject: Subject) -> None:
    """Texts are texts, and every question has an answer."""
    for where, examples in _all(subject.shared):
        for example in examples:
            turns = [text for turn in example.history for text in (turn.question, turn.answer)]
            texts = (example.id, *example.images, example.question, example.group, *example.answers, *turns)
            lists = [name for name in ("answers", "history", "more") if not isinstance(getattr(example, name), tuple)]
            expect(
                all(isinstance(text, str) for text in texts) and not lists,
                f"in {where}, {example} should hold strings, and tuples as {', '.join(lists) or 'answers'}",
            )
            expect(
                bool(example.answers) and all(text.strip() for text in (example.question, *example.answers, *turns)),
                f"in {where}, {example} has an empty question, or no answer",
            )
            expect(
                own_places(example) in (0, len(example.images)),
                f"in {where}, the questions of {example} have {own_places(example)} places <image> for"
                f" {len(example.images)} image(s): give one for each, or none",
            )


def ids_are_unique(subject: Subject) -> None:
    """Predictions are compared by id, so an id means one question."""
    for where, examples in _all(subject.shared):
        twice = [name for name, count in Counter(example.id for example in examples).items() if count > 1]
        expect(not twice, f"in {where} several examples have the id {', '.join(map(repr, twice[:5]))}")


def splits_share_no_image(subject: Subject) -> None:
    """An image that was trained on says nothing in a test."""
    dataset = subject.shared
    seen: dict[str, str] = {}
    for split in dataset.splits():
        keys = distinct(each.images for task in dataset.tasks() for each in dataset.examples(split, task))
        shared = sorted(key for key in keys if key in seen)
        expect(not shared, f"the image '{shared[0] if shared else ''}' is in '{split}' and in another split")
        seen.update((key, split) for key in keys)


def images_open(subject: Subject) -> None:
    """Some of each split, spread over it."""
    dataset = subject.shared
    for where, key in _some_keys(dataset):
        image = dataset.image(key)
        expect(
            isinstance(image, Image.Image) and image.mode == "RGB",
            f"in {where} image('{key}') gives {image!r}: give a PIL image of mode RGB",
        )
        expect(dataset.fault(key) is None, f"in {where} fault('{key}') says it cannot be shown, but it opens")


def an_image_is_the_same_each_time(subject: Subject) -> None:
    """However often it is opened, and whatever was opened before."""
    dataset = subject.shared
    keys = [key for _, key in _some_keys(dataset)]
    for _, key in _some_keys(dataset):
        same = dataset.image(key).tobytes() == dataset.image(key).tobytes()
        expect(same, f"image('{key}') gives another image the second time")

    def calls(dataset: Dataset, number: int) -> Sequence[Call]:
        return [Call("image", dataset.image, (keys[number % len(keys)],))]

    expect_the_same_each_time(CallPlan(lambda: dataset, calls))


def what_it_hands_out_is_not_kept(subject: Subject) -> None:
    """Whoever gets an image, or a list of examples, may change it."""
    dataset = subject.shared
    _, key = next(_some_keys(dataset))
    image = dataset.image(key)
    before = image.tobytes()
    image.paste(ImageChops.invert(image))
    expect(
        dataset.image(key).tobytes() == before,
        f"image('{key}') hands out the image that it keeps: drawing on it changes what is shown later. Give"
        " image.copy()",
    )
    for split in dataset.splits():
        for task in dataset.tasks():
            first = dataset.examples(split, task)
            kept = isinstance(first, list) and first is dataset.examples(split, task)
            expect(
                not kept,
                f"examples('{split}', '{task}') hands out the list that it keeps: sorting or shortening it changes the"
                " data. Keep a tuple, or give list(...)",
            )


def examples_and_fingerprint_are_the_same_each_time(subject: Subject) -> None:
    """Results are kept by the fingerprint, and rows by their order."""
    first = subject.shared
    own, examples = first.fingerprint(), {where: list(each) for where, each in _all(first)}
    with another_day():
        second = subject.build()
        expect(
            isinstance(own, str) and own == first.fingerprint() == second.fingerprint(),
            "fingerprint() differs from one time to the next: make it a hash of the data, in a fixed order",
        )
        for where, each in _all(second):
            told = f"the examples of {where} differ from one time to the next: sort what has no order"
            expect(examples.get(where) == list(each), told)


def augmenting_is_drawn_from_the_given_random_alone(subject: Subject) -> None:
    """The same random numbers give the same image, of the same size; the original stays as it was."""
    dataset = subject.shared
    _, examples = next(_all(dataset))
    image = dataset.image(examples[0].image)
    original = image.copy()
    first, again = (dataset.augment(image, random.Random(1)) for _ in range(2))
    expect(first.mode == "RGB" and first.size == original.size, f"augment gives {first!r} of {original!r}")
    expect(first.tobytes() == again.tobytes(), "augment draws from elsewhere: use only the `random` it is given")
    expect(image.tobytes() == original.tobytes(), "augment changes the image it is given: change a copy")
    if not dataset.augments:
        expect(first.tobytes() == original.tobytes(), "augment changes images, but `augments` is False")


def _all(dataset: Dataset) -> Iterator[tuple[str, Sequence[Example]]]:
    for split in dataset.splits():
        for task in dataset.tasks():
            yield f"{split}/{task}", dataset.examples(split, task)


def _some_keys(dataset: Dataset) -> Iterator[tuple[str, str]]:
    """Images of each split and task, spread over it, with where they are."""
    for where, examples in _all(dataset):
        keys = distinct(example.images for example in examples)
        for key in keys[:: max(1, len(keys) // OPENED)]:
            yield where, key


BASICS = in_turn(
    it_can_be_built_with_these_options,
    every_split_has_examples,
    examples_are_whole,
    images_open,
    an_image_is_the_same_each_time,
)
RULES: tuple[Rule, ...] = (
    *BASICS,
    *after(BASICS, what_it_hands_out_is_not_kept),
    *after(BASICS[:3], ids_are_unique, splits_share_no_image, examples_and_fingerprint_are_the_same_each_time),
    *after(BASICS, augmenting_is_drawn_from_the_given_random_alone),
)
