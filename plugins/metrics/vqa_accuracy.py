"""VQA accuracy: the share of right answers, after small differences of spelling are taken out."""

from __future__ import annotations

import re
from collections.abc import Sequence

from workbench import Metric, Prediction, hookimpl

SURVEY = 10  # answers: from here on they are what as many people said, below they are answers that are all right

ARTICLES = frozenset({"a", "an", "the"})
NUMBERS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
DIGITS = {"none": "0", **{word: str(number) for number, word in enumerate(NUMBERS)}}

PUNCTUATION = ';/[]"{}()=+\\_-><@`,?!'
COMMA_IN_NUMBER = re.compile(r"\d,\d")
PERIOD = re.compile(r"\.(?!\d)")


class VQAAccuracy(Metric):
    """Share of right answers (Antol et al. 2015, https://arxiv.org/abs/1505.00468, section 3).

    With ten answers or more, an answer counts as much as people agree with it: min(people who said the same / 3, 1),
    averaged over leaving out one of them at a time. With fewer answers they are taken for alternatives: an answer is
    right (1) when it equals any of them, else wrong (0).

    The normalisation is that of https://visualqa.org/evaluation.html, with the word lists of its script. Both sides are
    always normalised, as that page says; the script leaves them as they are where all ten people agree.
    """

    percent = True

    def scores(self, predictions: Sequence[Prediction]) -> list[float]:
        """The share to which each answer is right, 0 to 1."""
        return [agreement(prediction.answer, prediction.example.answers) for prediction in predictions]


def agreement(answer: str, right: Sequence[str]) -> float:
    """How far `answer` agrees with the `right` answers, 0 to 1."""
    answer = normalise(answer)
    same = sum(answer == normalise(each) for each in right)
    people = len(right)
    if people < SURVEY:
        return float(same > 0)
    without_one_of_them = min((same - 1) / 3, 1.0)
    without_another = min(same / 3, 1.0)
    return (same * without_one_of_them + (people - same) * without_another) / people


def normalise(answer: str) -> str:
    """Lower case, number words as digits, no articles, punctuation in numbers only, contractions with apostrophe."""
    words = _without_punctuation(answer.replace("\n", " ").replace("\t", " ").strip()).lower().split()
    words = [DIGITS.get(word, word) for word in words]
    return " ".join(CONTRACTIONS.get(word, word) for word in words if word not in ARTICLES)


def _without_punctuation(text: str) -> str:
    """A mark between two words becomes a space, one beside a space nothing; "1,000" is 1000, and "2.5" stays."""
    commas_join = COMMA_IN_NUMBER.search(text) is not None
    result = text
    for mark in PUNCTUATION:
        beside_a_space = f"{mark} " in text or f" {mark}" in text
        result = result.replace(mark, "" if beside_a_space or commas_join else " ")
    return PERIOD.sub("", result)


def contractions() -> dict[str, str]:
    """The official contractions by every spelling that lacks one apostrophe: `dont` -> `don't`, `couldnt've` ->
    `couldn't've`. Words that the official script leaves alone are left out, as are those it spells with a capital I:
    it looks them up in lower case and never finds them."""
    shortened = {
        "'d": "he how it someone something there they where who you",
        "'ll": "how it somebody someone something they what who why you",
        "'re": "there they what why you",
        "'s": "he how somebody someone that there what when where who why",
        "'ve": "could might must not should they we what where who would you",
        "'d've": "he it she somebody someone something there they we who you",
        "n't": "ai are ca could did does do had has have is might must need ought sha should was were wo would",
        "n't've": "could had might should would",
    }
    whole = [f"{word}{ending}" for ending, words in shortened.items() for word in words.split()]
    whole += ["'ow's'at", "'twas", "ma'am", "o'clock", "y'all", "y'all'd've", "y'all'll"]
    spellings = {
        word[:place] + word[place + 1 :]: word for word in whole for place, letter in enumerate(word) if letter == "'"
    }
    return {**spellings, "somebody'd": "somebodyd"}


CONTRACTIONS = contractions()


@hookimpl
def register_metrics(register):
    """The official accuracy of VQA, over all its human answers."""
    register("vqa_accuracy", VQAAccuracy)
