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
    """Share of right answers (Antol et al. 2015, https://arxiv.org/abs/1505.00468, section 3), normalised as there.

    With ten answers or more, an answer counts as much as people agree with it: min(people who said the same / 3, 1),
    averaged over leaving out one of them at a time. With fewer answers they are taken for alternatives: an answer is
    right (1) when it equals any of them, else wrong (0).

    Both sides are always normalised; the official script leaves them as they are where all ten people agree.
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
    return " ".join(CONTRACTIONS.get(word.replace("'", ""), word) for word in words if word not in ARTICLES)


def _without_punctuation(text: str) -> str:
    """A mark between two words becomes a space, one beside a space nothing; "1,000" is 1000, and "2.5" stays."""
    commas_join = COMMA_IN_NUMBER.search(text) is not None
    result = text
    for mark in PUNCTUATION:
        beside_a_space = f"{mark} " in text or f" {mark}" in text
        result = result.replace(mark, "" if beside_a_space or commas_join else " ")
    return PERIOD.sub("", result)


def contractions() -> dict[str, str]:
    """Contractions by their spelling without apostrophe: `dont` -> `don't`, `couldntve` -> `couldn't've`.

    Those that would be another word (its, well, were, shed, wed, id, ill, hell, shell, whore) are left out.
    """
    modal = ("could", "might", "must", "should", "would")
    negated = (*modal, "had", "has", "have", "is", "are", "was", "were", "do", "does", "did")
    negated += ("ai", "ca", "wo", "sha", "need", "ought")
    subjects = {
        "he": ("d", "s", "d've"),
        "she": ("s", "d've"),
        "it": ("d", "ll", "d've"),
        "i": ("m", "ve", "d've"),
        "we": ("ve", "d've"),
        **dict.fromkeys(("they", "you"), ("d", "ll", "re", "ve", "d've")),
        "what": ("d", "ll", "re", "s", "ve"),
        **dict.fromkeys(("who", "how", "why", "when", "where"), ("d", "ll", "s", "ve")),
        **dict.fromkeys(("that", "there"), ("d", "ll", "re", "s", "d've")),
        **dict.fromkeys(("somebody", "someone", "something"), ("d", "ll", "s", "d've")),
    }
    whole = [f"{verb}n't" for verb in negated]
    whole += [f"{verb}n't've" for verb in (*modal, "had")]
    whole += [f"{verb}'ve" for verb in modal]
    whole += [f"{subject}'{ending}" for subject, endings in subjects.items() for ending in endings]
    whole += ["let's", "ma'am", "o'clock", "y'all", "'twas"]
    return {word.replace("'", ""): word for word in whole}


CONTRACTIONS = contractions()


@hookimpl
def register_metrics(register):
    """VQA accuracy."""
    register("vqa_accuracy", VQAAccuracy)
