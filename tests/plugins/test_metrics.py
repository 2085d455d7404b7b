"""What each metric gives for an answer: values worked by hand, and those of official scripts."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from importlib import import_module
from typing import Any

import numpy
import pytest

from tests.tiny import builtin_registry
from workbench.contracts.example import Example, Prediction
from workbench.contracts.metric import Metric
from workbench.errors import UserError
from workbench.evaluation.scored import score

normalise = import_module("workbench.plugins.metrics.vqa_accuracy").normalise


def metric(name: str, **options: Any) -> Metric:
    return builtin_registry().create("metric", name, **options)


def prediction(answer: str, *right: str, loss: float = 0.5) -> Prediction:
    return Prediction(Example("0/0", "0", "what is it?", right), answer, loss)


def accuracy(answer: str, *right: str) -> float:
    return metric("vqa_accuracy").scores([prediction(answer, *right)])[0]


@pytest.mark.parametrize(
    ("answer", "right"),
    [
        ("Blue", "blue"),
        ("  blue\n", "blue"),
        ("a blue\ttriangle", "blue triangle"),
        ("The circle", "circle"),
        ("two", "2"),
        ("None", "0"),
        ("yes.", "yes"),
        ("it's blue!", "it's blue"),
        ("black-white", "black white"),
        ("black/white", "black white"),
        ("red, green", "red green"),
        ("1,000", "1000"),
        ("dont know", "don't know"),
        ("couldn'tve", "couldnt've"),
        ("yall'll see", "y'all'll see"),
        ("notve", "not've"),
        ("whyre", "why're"),
        ("5 oclock", "five o'clock"),
        ("(red)", "red"),
        ("ten dogs", "10 dogs"),
    ],
)
def test_answers_that_differ_in_spelling_only_are_equal(answer: str, right: str):
    assert accuracy(answer, right) == 1
    assert accuracy(right, answer) == 1


@pytest.mark.parametrize(
    ("answer", "right"),
    [
        ("blue", "blues"),
        ("2.5", "25"),
        ("its", "it's"),
        ("lets", "let's"),
        ("couldntve", "couldn't've"),
        ("Im here", "I'm here"),
        ("ill", "i'll"),
        ("well", "we'll"),
        ("were", "we're"),
        ("11", "one one"),
        ("", "blue"),
        ("blue triangle", "triangle blue"),
        ("yes no", "yes"),
    ],
)
def test_answers_that_differ_in_more_are_not(answer: str, right: str):
    assert accuracy(answer, right) == 0


@pytest.mark.parametrize("same", range(11))
def test_with_ten_answers_the_score_averages_min_of_a_third_over_leaving_one_out(same: int):
    right = ["red"] * same + ["blue"] * (10 - same)
    nine = itertools.combinations(right, 9)
    expected = sum(min(others.count("red") / 3, 1) for others in nine) / 10
    assert accuracy("Red", *right) == pytest.approx(expected)


def test_three_of_ten_people_are_nearly_enough():
    assert accuracy("red", *["red"] * 3, *["blue"] * 7) == pytest.approx(0.9)


def test_with_fewer_than_ten_answers_any_of_them_is_right():
    assert accuracy("red", "blue", "the red", "green") == 1
    assert accuracy("teal", "blue", "the red", "green") == 0


@pytest.mark.parametrize(
    ("answer", "plain"),
    [
        ("The man's two U.S. dollars.", "man's 2 us dollars"),
        ("it:s 2.5 , or 1,000?", "it:s 2.5 or 1000"),
        ("none of a/b", "0 of b"),
        ("red/white", "red white"),
        ("somebody'd", "somebodyd"),
        ("who'dve dont ten\t", "who'd've don't 10"),
    ],
)
def test_an_answer_is_normalised_as_the_official_script_does_it(answer: str, plain: str):
    """The right-hand sides are what `processDigitArticle(processPunctuation(answer))` of that script gives."""
    assert normalise(answer) == plain


@pytest.mark.parametrize(
    ("answer", "right", "score"),
    [("a Red  kite", "a red kite", 1), ("red kite", "a red kite", 0), ("two", "2", 0), ("blue", "red", 0), ("", "", 1)],
)
def test_an_exact_match_minds_every_word_and_no_capital(answer: str, right: str, score: float):
    assert metric("exact_match").scores([prediction(answer, "teal", right)]) == [score]


def test_an_exact_match_can_mind_capitals():
    strict = metric("exact_match", case=True)
    assert strict.scores([prediction("Red", "red"), prediction("Red", "Red")]) == [0, 1]


@pytest.mark.parametrize(
    ("answer", "right", "score"),
    [
        ("95", "100", 1),
        ("105", "100", 1),
        ("1.05", "1", 1),
        ("94.9", "100", 0),
        ("-3", "3", 0),
        ("1,040", "1000", 1),
        ("48%", "50%", 1),
        ("0.5", "50%", 1),
        ("0.01", "0", 0),
        ("0.0", "0", 1),
        ("Germany ", "germany", 1),
        ("Germany", "German", 0),
        ("ten", "10", 0),
        ("nan", "nan", 1),
    ],
)
def test_a_relaxed_match_lets_numbers_be_five_percent_off(answer: str, right: str, score: float):
    assert metric("relaxed_match").scores([prediction(answer, right)]) == [score]


def test_how_far_a_number_may_be_off_can_be_set():
    assert metric("relaxed_match", tolerance=0.1).scores([prediction("91", "100")]) == [1]


def test_yes_no_counts_as_popes_script_does():
    """3 true yes, 1 missed, 2 false, 4 true no: the confusion of that script, worked by hand."""
    said = [("Yes, there is.", "yes")] * 3 + [("No", "yes")] + [("yes", "no")] * 2 + [("There is not a dog.", "no")] * 4
    metric_ = metric("yes_no")
    totals = numpy.array(metric_.counts([prediction(*each) for each in said])).sum(0)
    assert metric_.summary(totals) == pytest.approx(2 * 0.6 * 0.75 / (0.6 + 0.75))
    expected = {"accuracy": 0.7, "precision": 0.6, "recall": 0.75, "yes_rate": 0.5}
    assert metric_.details(totals) == pytest.approx(expected)
    assert metric_.scores([prediction(*each) for each in said]) == [1] * 3 + [0] * 3 + [1] * 4


@pytest.mark.parametrize(("unclear", "scores"), [("wrong", [0, 0, 1, 1]), ("yes", [1, 0, 1, 1])])
def test_an_answer_without_yes_or_no_is_wrong_or_a_yes(unclear: str, scores: list[float]):
    """POPE's script looks at the first sentence alone."""
    said = [("a dog", "yes"), ("a dog", "no"), ("yes. No doubt", "yes"), ("red", "red")]
    assert metric("yes_no", unclear=unclear).scores([prediction(*each) for each in said]) == scores


SAID = {
    "no": [
        *(
            "There isn't any dog",
            "Nope",
            "No, it doesn't",
            "I don't see one",
            "not at all",
            "It isn't",
            "It isn\u2019t.",
        ),
        *("There aren\u2018t", "isnt", "It isn ' t", "nah", "I cannot see one", "It can't be", "I don't think so"),
        *("No\u2014it doesn't", "NO!", "Yes, but not a dog"),
        *("None", "None of them", "**None.**", "1. no", "1) No", "(2) No.", "a. No", "A) no", "\n. No", "...no"),
        *("**No.** Yes would be wrong", "<b>No</b>.", "<p>1. No</p>", "<b>1.</b> No", "_No_", "# No. 1", "`no`"),
    ],
    "yes": [
        *(
            "Yes, there is",
            "yeah",
            "Yep!",
            "**Yes**",
            "There is no doubt that yes",
            "not only this one, yes",
            "Yes, no doubt",
        ),
        *("yes, why not", "Yes. There isn't", "yes, a knot", "Yes, nothing else"),
        *("1. yes", "**Yes.** No dog", "<i>Yes</i>. No", "None but yes", "Yes, none is missing", "a) yes", ". Yes. No"),
    ],
    "": [
        "nothing",
        "knot",
        "a dog",
        "",
        "no doubt",
        "I don't know",
        "I'm not sure",
        "can't tell",
        "yesterday",
        "note",
        "never",
        "1. a dog. No",
    ],
}


@pytest.mark.parametrize(("meant", "said"), [(meant, said) for meant, each in SAID.items() for said in each])
def test_what_an_answer_says_is_told_by_its_words(meant: str, said: str):
    scores = [metric("yes_no").scores([prediction(said, right)])[0] for right in ("yes", "no")]
    assert scores == [float(meant == "yes"), float(meant == "no")]


CAPTIONS = [
    ("a red dog runs on grass", ("a red dog sits on grass", "the dog is on the grass")),
    ("two cats", ("two cats sleep", "a cat and another cat")),
    ("A man, with a hat!", ("a man with a hat", "man with hat")),
    ("", ("a boat on the sea",)),
]


CIDER = [2.6801470588235294, 1.8782355985150683, 6.600508308128205, 0.0]


def captioned() -> list[Prediction]:
    return [prediction(answer, *right) for answer, right in CAPTIONS]


def test_cider_is_what_pycocoevalcap_gives_for_the_same_words():
    """Stored: that package gave them for these captions in lower case and without punctuation."""
    assert metric("cider").scores(captioned()) == pytest.approx(CIDER, abs=1e-9)


@pytest.mark.parametrize("order", [1, 2, 3, 4])
def test_bleu_of_all_captions_is_that_of_sacrebleu(order: int):
    from sacrebleu.metrics.bleu import BLEU

    bleu = metric("bleu", order=order)
    plain = captioned()
    plain[2] = prediction("a man with a hat", *CAPTIONS[2][1])
    totals = numpy.array(bleu.counts(captioned())).sum(0)
    right: list[Any] = [
        [each.example.answers[place] if place < len(each.example.answers) else None for each in plain]
        for place in (0, 1)
    ]
    oracle = BLEU(tokenize="none", max_ngram_order=order).corpus_score([each.answer for each in plain], right)
    assert bleu.summary(totals) == pytest.approx(oracle.score / 100)
    assert bleu.scores(captioned())[3] == 0


def test_rouge_l_is_the_share_of_the_longest_common_subsequence():
    """Five of six words in order; two of two and two of three; all; none."""
    expected = [5 / 6, 2 / (2 + 3) * 2, 1, 0]
    assert metric("rouge_l").scores(captioned()) == pytest.approx(expected)


def test_perplexity_is_e_to_the_mean_loss():
    predictions = [prediction("no", "yes", loss=loss) for loss in (0.5, 1.5)]
    perplexity = metric("perplexity")
    assert perplexity.summary(numpy.array(perplexity.counts(predictions)).sum(0)) == pytest.approx(math.e)
    assert perplexity.scores(predictions) == pytest.approx([math.exp(0.5), math.exp(1.5)])


def test_every_prediction_has_a_score_of_its_own_in_order():
    predictions = [
        prediction("red", "red", loss=0.25),
        prediction("red", "blue", loss=2.0),
        prediction("no", "no", loss=0.5),
    ]
    assert metric("vqa_accuracy").scores(predictions) == [1, 0, 1]
    assert metric("loss").scores(predictions) == [0.25, 2.0, 0.5]
    assert metric("vqa_accuracy").scores([]) == metric("loss").scores([]) == []


def test_accuracy_is_a_share_and_grows_loss_is_neither():
    assert (metric("vqa_accuracy").percent, metric("vqa_accuracy").higher_is_better) == (True, True)
    assert (metric("loss").percent, metric("loss").higher_is_better) == (False, False)
    assert Metric.percent is False


class Emptying(Metric):
    """Takes out of the list what it has judged, and then has nothing to judge."""

    def scores(self, predictions: Sequence[Prediction]) -> list[float]:
        answers = [predictions.pop() for _ in range(len(predictions))]  # pyright: ignore[reportAttributeAccessIssue]
        return [float(each.answer in each.example.answers) for each in answers[::-1]]


class Dropping(Metric):
    """Leaves out what has no answer."""

    def scores(self, predictions: Sequence[Prediction]) -> list[float]:
        return [1.0 for each in predictions if each.answer]


def test_what_a_metric_does_to_its_list_reaches_no_other():
    predictions = [Prediction(Example(str(place), "0", "?", ("yes",)), "yes", 0.0) for place in range(3)]
    assert score(Emptying(), predictions).value() == {"": 1.0}
    assert len(predictions) == 3


def test_a_metric_that_judges_too_few_is_told():
    predictions = [Prediction(Example("0", "0", "?", ("yes",)), answer, 0.0) for answer in ("yes", "", "no")]
    with pytest.raises(UserError, match="`scores` of the metric Dropping gives 2 for 3 predictions"):
        score(Dropping(), predictions)
