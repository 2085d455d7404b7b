"""Rules for metrics: a score for each prediction, best for perfect answers."""

from __future__ import annotations

import math

from workbench.conformance.findings import Subject, expect
from workbench.contracts import Example, Prediction

EXAMPLES = (
    Example("0", "0", "is there a red shape?", ("yes",), "yes/no"),
    Example("1", "0", "what shape is in the image?", ("circle", "disc"), "shape"),
    Example("2", "1", "what is the color?", ("teal",), "color"),
    Example("3", "2", "how many?", ("2",), "count"),
)
RIGHT = [Prediction(example, example.answers[0], 0.0) for example in EXAMPLES]
WRONG = [Prediction(example, "something else altogether", 7.5) for example in EXAMPLES]


def it_can_be_built_with_these_options(subject: Subject) -> None:
    """What it raises is the finding."""
    subject.build()


def every_prediction_gets_a_number(subject: Subject) -> None:
    """Odd answers too: intervals and paired tests need a score each."""
    odd = [Prediction(EXAMPLES[0], answer, 3.0) for answer in ("", "   ", "日本 🙂", "?!.,", "yes " * 200)]
    metric = subject.build()
    for predictions in ([], RIGHT, WRONG, odd):
        scores = metric.scores(predictions)
        expect(
            len(scores) == len(predictions),
            f"scores gives {len(scores)} numbers for {len(predictions)} predictions: one for each, in the same order",
        )
        wrong = [score for score in scores if not isinstance(score, (int, float)) or not math.isfinite(score)]
        expect(not wrong, f"scores gives {wrong[:3]}: every score is a finite number")


def perfect_answers_get_the_best_value(subject: Subject) -> None:
    """Better than wrong answers, in the direction that `higher_is_better` says."""
    metric = subject.build()
    right, wrong = metric.scores(RIGHT), metric.scores(WRONG)
    better = min(right) > max(wrong) if metric.higher_is_better else max(right) < min(wrong)
    expect(
        better,
        f"perfect answers get {right} and wrong ones {wrong}, but higher_is_better is {metric.higher_is_better}",
    )
    expect(len(set(right)) == 1, f"perfect answers get different scores: {right}")


def a_share_lies_between_0_and_1(subject: Subject) -> None:
    """`percent = True` says that reports show scores times 100."""
    metric = subject.build()
    if metric.percent:
        scores = [*metric.scores(RIGHT), *metric.scores(WRONG)]
        expect(all(0 <= score <= 1 for score in scores), f"percent is True, but scores are {scores}, not shares of 1")


def a_score_depends_on_its_own_prediction_alone(subject: Subject) -> None:
    """Whatever stands beside it, in whatever order."""
    metric = subject.build()
    mixed = [RIGHT[0], WRONG[1], RIGHT[2], WRONG[3]]
    together = metric.scores(mixed)
    alone = [score for prediction in mixed for score in metric.scores([prediction])]
    backwards = metric.scores(mixed[::-1])[::-1]
    expect(
        together == alone == backwards,
        "a prediction's score changes with the others beside it: the metric is the mean of single scores, and intervals"
        " are drawn from them",
    )


CHECKS = (
    it_can_be_built_with_these_options,
    every_prediction_gets_a_number,
    perfect_answers_get_the_best_value,
    a_share_lies_between_0_and_1,
    a_score_depends_on_its_own_prediction_alone,
)
