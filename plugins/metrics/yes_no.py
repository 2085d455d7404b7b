"""Yes or no: the F1 of "yes" with accuracy, precision, recall and yes-rate, as POPE counts them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Annotated, Literal

import numpy
from pydantic import Field

from workbench import Metric, Prediction, hookimpl

YES_WORDS = frozenset({"yes", "yeah", "yep", "yup", "yea"})
NO_WORDS = frozenset({"no", "not", "nope", "nah", "cannot"})
NONE = "none"  # as the first word: MME's script looks at four letters, and finds "no" in "none"
# What stands before the first sentence and is none: the number of a list, and the tags of a page.
BEFORE = re.compile(r"^[\W_]*(?:\(?(?:\d+|[a-z])[.)]+[\W_]*)?")
TAG = re.compile(r"</?[a-z][^<>]*>")
# Contractions of "not" whose apostrophe was left out; with it they end in n't.
BARE = re.compile(r"(?:ai|are|ca|could|did|does|do|had|has|have|is|should|was|were|wo|would)nt")
# What holds a "no" or "not" and says neither yes nor no: it is passed over.
NEITHER = re.compile(
    r"\b(?:no (?:doubt|question|wonder|problem|matter)"
    r"|not (?:only|just|merely)|why not|(?:do not|don't|dont) (?:know|see why not)"
    r"|(?:can't|cant|cannot|can not|could not|couldn't) (?:tell|say|know|determine)"
    r"|(?:not|\w+n't) (?:sure|certain|clear))\b"
)
APOSTROPHES = str.maketrans(dict.fromkeys("\u2019\u2018\u02bc\u2032\u00b4`\uff07", "'"))


class YesNo(Metric):
    """F1 of the answer "yes" over all yes/no questions; details are accuracy, precision, recall and yes_rate (POPE, Li
    et al. 2023, https://arxiv.org/abs/2305.10355, section 3).

    What counts is the first sentence, without the number of a list ("1. no") and marks around it ("**No.**",
    "<b>No</b>"): with "no", "not" or a contraction of it ("isn't"), "nope" or "nah" the answer is no. Without, POPE's
    script takes it for a yes, whatever it says; by default it has to contain "yes" or "yeah". "No doubt", "not only",
    "not sure" and "don't know" say neither. "None" at the beginning, without a yes behind it, is a no, as in the script
    of MME (Fu et al. 2023, https://arxiv.org/abs/2306.13394); that finds "no" in the first four letters of any word, as
    "nothing" or "north", which say neither here, and none in "never", which says neither in both. Questions with other
    answers are left out; their scores are exact matches.
    """

    percent = True

    def __init__(
        self,
        *,
        unclear: Annotated[
            Literal["wrong", "yes"],
            Field(description="what an answer that says neither yes nor no counts as; yes: as in POPE's script"),
        ] = "wrong",
    ):
        self.unclear = unclear

    def scores(self, predictions: Sequence[Prediction]) -> list[float]:
        """1 for a right answer, else 0."""
        return [float(self._said(each) == _asked(each)) for each in predictions]

    def counts(self, predictions: Sequence[Prediction]) -> list[tuple[float, ...]]:
        """Asked, right, said yes, yes is right, both."""
        return [self._counted(each) for each in predictions]

    def summary(self, totals: numpy.ndarray) -> numpy.ndarray:
        """F1: totals [...,5] -> [...]."""
        _, _, said, true, both = numpy.moveaxis(totals, -1, 0)
        return 2 * both / (said + true)

    def details(self, totals: numpy.ndarray) -> dict[str, numpy.ndarray]:
        """What POPE's tables have beside F1."""
        asked, right, said, true, both = numpy.moveaxis(totals, -1, 0)
        return {"accuracy": right / asked, "precision": both / said, "recall": both / true, "yes_rate": said / asked}

    def _counted(self, prediction: Prediction) -> tuple[float, ...]:
        asked, said = _asked(prediction), self._said(prediction)
        if asked not in ("yes", "no"):
            return (0.0,) * 5
        yes, true = said == "yes", asked == "yes"
        return 1.0, float(said == asked), float(yes), float(true), float(yes and true)

    def _said(self, prediction: Prediction) -> str:
        if _asked(prediction) not in ("yes", "no"):
            return prediction.answer.strip().lower()
        words = _words(prediction.answer)
        if NONE in words[:1] and not YES_WORDS.intersection(words):
            return "no"
        if any(word in NO_WORDS or BARE.fullmatch(word) or word.endswith("n't") for word in words):
            return "no"
        return "yes" if YES_WORDS.intersection(words) or self.unclear == "yes" else ""


def _words(answer: str) -> list[str]:
    """The words of the first sentence that may say yes or no; "isn ' t" of some tokenizers is one word."""
    told = BEFORE.sub("", TAG.sub(" ", answer.translate(APOSTROPHES).lower()))
    sentence = told.partition(".")[0]
    sentence = NEITHER.sub(" ", re.sub(r"(?<=n) ?' ?(?=t\b)", "'", sentence))
    return re.findall(r"[^\W_]+(?:'[^\W_]+)*", sentence)


def _asked(prediction: Prediction) -> str:
    """What would be right."""
    return prediction.example.answer.strip().lower()


@hookimpl
def register_metrics(register):
    """F1 of yes-or-no questions, with what POPE tells beside it."""
    register("yes_no", YesNo)
