"""Which other image a question is shown: never its own, always the same, and one where another answer is right."""

from __future__ import annotations

import random

import pytest

from tests.tiny import builtin_registry
from workbench.config.phase import Evaluation
from workbench.contracts.example import Example
from workbench.evaluation.evaluate import examples_by_image
from workbench.evaluation.partners import other_answers, shuffled

Grouped = dict[tuple[str, ...], list[Example]]


def asked(*questions: tuple[str, str, str]) -> Grouped:
    """Questions as (image, question, answers parted by /)."""
    grouped: Grouped = {}
    for number, (image, question, answers) in enumerate(questions):
        example = Example(str(number), image, question, tuple(answers.split("/")))
        grouped.setdefault(example.images, []).append(example)
    return grouped


def numbered(count: int) -> Grouped:
    return asked(*((str(each), "which?", f"it is {each}") for each in range(count)))


@pytest.mark.parametrize("count", [2, 3, 7, 50])
def test_shuffling_is_a_derangement(count):
    grouped = numbered(count)
    shown = shuffled(grouped).shown
    pairs = {grouped[keys][0].id: keys for keys in grouped}
    assert all(shown[id_] != own for id_, own in pairs.items())
    assert sorted(shown.values()) == sorted(pairs.values())


@pytest.mark.parametrize("partners", [shuffled, other_answers])
def test_partners_depend_on_the_questions_and_not_on_their_order(partners):
    grouped = numbered(30)
    items = list(grouped.items())
    random.Random(3).shuffle(items)
    assert partners(dict(items)).shown == partners(grouped).shown


def test_the_same_question_has_another_answer_about_the_image_that_is_shown():
    """Also where a person of several said what is right here, and where it is written otherwise."""
    grouped = asked(
        ("a", "what color?", "red/Crimson"),
        ("b", "What  color?", "crimson/pink"),
        ("c", "what color?", "blue"),
        ("d", "what color?", "RED"),
        ("d", "is it big?", "yes"),
    )
    found = other_answers(grouped)
    assert found.shown["0"] == ("c",)
    assert found.shown["1"] in (("c",), ("d",))
    assert found.shown["3"] in (("b",), ("c",))
    assert found.presumed == 0


def test_an_image_whose_own_question_was_answered_alike_is_not_shown():
    grouped = asked(("a", "how many?", "two"), ("b", "how many?", "two"), ("c", "how many?", "two"))
    found = other_answers(grouped)
    assert found.shown == {}, "there is none with another answer"


def test_a_question_of_its_own_is_shown_an_image_that_nothing_says_its_answer_is_right_of():
    grouped = asked(
        ("a", "what does the dog wear?", "hat"), ("b", "what is on the table?", "hat"), ("c", "what flies?", "kite")
    )
    found = other_answers(grouped)
    assert found.shown["0"] == ("c",)
    assert found.presumed == 3


def test_of_yes_and_no_nothing_is_presumed():
    """That nothing asked about an image is a yes does not say that there is no dog."""
    grouped = asked(("a", "is there a dog?", "yes"), ("b", "is there a cat?", "no"), ("c", "what flies?", "kite"))
    assert set(other_answers(grouped).shown) == {"2"}


def test_a_rare_answer_is_found_however_far_it_is():
    grouped = asked(*((str(each), "is it?", "yes" if each == 333 else "no") for each in range(500)))
    shown = other_answers(grouped).shown
    assert len(shown) == 500
    assert {shown[str(each)] for each in range(500) if each != 333} == {("333",)}


def test_images_are_shown_about_equally_often():
    """A row of questions about one image then is not much longer than those of its own."""
    generator = random.Random(0)
    grouped = asked(*((str(each), "what?", generator.choice("abc")) for each in range(300)))
    counts: dict[tuple[str, ...], int] = {}
    for keys in other_answers(grouped).shown.values():
        counts[keys] = counts.get(keys, 0) + 1
    assert max(counts.values()) <= 4


def test_sets_of_several_images_are_shown_as_many():
    grouped: Grouped = {}
    for number, keys in enumerate([("a", "b"), ("c", "d"), ("e",), ("f",), ("a", "f", "g")]):
        grouped[keys] = [Example(str(number), keys[0], "which?", (str(number),), more=keys[1:])]
    shown = shuffled(grouped).shown
    for keys, [example] in grouped.items():
        assert len(shown[example.id]) == len(keys)
        assert not set(shown[example.id]) & set(keys)
    others = other_answers(grouped).shown
    assert others["0"] == ("c", "d")
    assert "4" not in others, "there is no other set of three"


def test_on_easy_vqa_no_right_answer_is_right_of_the_image_that_is_shown():
    dataset = builtin_registry().create("dataset", "easy_vqa")
    grouped = examples_by_image(dataset, Evaluation(split="test"))
    found = other_answers(grouped)
    answers: dict[tuple[tuple[str, ...], str], set[str]] = {}
    for keys, examples in grouped.items():
        for example in examples:
            answers.setdefault((keys, example.question), set()).update(example.answers)
    every = [example for examples in grouped.values() for example in examples]
    assert (len(found.shown), found.presumed) == (len(every), 0)
    assert all(answers[found.shown[example.id], example.question].isdisjoint(example.answers) for example in every)
