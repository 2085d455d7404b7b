"""The prior answers as training does, and needs neither a model nor an image."""

from __future__ import annotations

from tests.tiny import builtin_registry
from workbench.contracts.dataset import Dataset
from workbench.contracts.example import Example
from workbench.evaluation.prior import Prior
from workbench.evaluation.training_split import TrainingSplit

QUESTIONS = [
    ("is it red?", "yes", "yes/no"),
    ("is it red?", "no", "yes/no"),
    ("is it red?", "no", "yes/no"),
    ("is it blue?", "yes", "yes/no"),
    ("is it green?", "yes", "yes/no"),
    ("is it round?", "yes", "yes/no"),
    ("what color is it?", "teal", "color"),
    ("what color is it?", "gray", "color"),
]


def example(question: str, *answers: str, group: str = "", id_: str = "") -> Example:
    return Example(id_ or question, "p", question, answers or ("?",), group)


def learned() -> Prior:
    return Prior(example(question, answer, group=group) for question, answer, group in QUESTIONS)


def test_the_same_text_counts_before_the_group_and_the_group_before_all():
    prior = learned()
    assert prior.answer(example("is it red?", group="color")) == "no"
    assert prior.answer(example("  Is it  RED? ")) == "no", "neither case nor gaps make another question"
    assert prior.answer(example("which color has it?", group="color")) == "gray"
    assert prior.answer(example("is it tall?", group="size")) == "yes", "the most frequent of all"


def test_of_equally_frequent_answers_the_first_by_the_alphabet_is_taken():
    assert learned().answer(example("what color is it?")) == "gray"
    turned = Prior(example(question, answer, group=group) for question, answer, group in reversed(QUESTIONS))
    assert turned.answer(example("what color is it?")) == "gray"


def test_of_several_right_answers_the_one_that_is_trained_counts():
    prior = Prior([example("what is it?", "cat", "dog", "dog"), example("what is it?", "dog")])
    assert prior.answer(example("what is it?")) == "dog"


def test_where_nothing_trains_there_is_no_prior():
    assert Prior([]).predictions([example("is it red?")]) == []


class Tasks(Dataset):
    """Captions and questions to train on; `other` is only asked."""

    def __init__(self, splits: tuple[str, ...] = ("train", "test")):
        self._splits = splits

    def splits(self):
        return self._splits

    def tasks(self):
        return ("questions", "captions", "other")

    def examples(self, split, task):
        if split == "test" or task == "other":
            return [] if split == "train" else [example("asked?", "test")]
        return [example("asked?", f"{split} {task}")]


def test_it_is_learned_from_the_task_that_is_asked_else_from_those_that_train():
    split = TrainingSplit(Tasks(), ("captions",))
    assert split.prior("questions").answer(example("asked?")) == "train questions"
    assert split.prior("other").answer(example("asked?")) == "train captions"
    assert TrainingSplit(Tasks()).prior("other").answer(example("asked?")) is None
    assert TrainingSplit(Tasks(("test",))).prior("questions").answer(example("asked?")) is None, "never from the test"


def test_on_easy_vqa_it_is_right_as_often_as_counting_by_hand_says():
    """Two thirds of all questions, and 87.1 % for who tells colours and shapes perfectly and is blind for the rest."""
    dataset = builtin_registry().create("dataset", "easy_vqa")
    prior = TrainingSplit(dataset).prior("questions")
    asked = dataset.examples("test", "questions")
    right = {each.id: prior.answer(each) in each.answers for each in asked}
    counts: dict[str, dict[str, int]] = {}
    for each in dataset.examples("train", "questions"):
        found = counts.setdefault(each.question, {})
        found[each.answer] = found.get(each.answer, 0) + 1
    by_hand = [sorted(counts[each.question].items(), key=lambda item: (-item[1], item[0]))[0][0] for each in asked]
    assert [prior.answer(each) for each in asked] == by_hand
    assert round(100 * sum(right.values()) / len(right), 1) == 66.9
    perfect = [right[each.id] or each.group in ("what color", "what shape") for each in asked]
    assert round(100 * sum(perfect) / len(perfect), 1) == 87.1
