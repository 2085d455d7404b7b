"""Rules for metrics: a score for each prediction, best for perfect answers."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy

from workbench.conformance.determinism import Call, CallPlan, expect_inputs_stay, expect_the_same_each_time
from workbench.conformance.rules import Rule, Subject, after, expect, in_turn
from workbench.contracts.example import Example, Prediction
from workbench.contracts.metric import Metric, summarized


def perfect() -> list[Prediction]:
    """Perfect answers, new each time: a plugin may change what it gets."""
    return [Prediction(example, example.answers[0], 0.0) for example in _examples()]


def mistaken() -> list[Prediction]:
    """Answers to the same questions of which nothing is right."""
    return [Prediction(example, "something else altogether", 7.5) for example in _examples()]


def it_can_be_built_with_these_options(subject: Subject) -> None:
    """What it raises breaks the rule."""
    subject.build()


def every_prediction_gets_a_number(subject: Subject) -> None:
    """Odd answers too: intervals and paired tests need a score each."""
    odd = [Prediction(_examples()[0], answer, 3.0) for answer in ("", "   ", "日本 🙂", "?!.,", "yes " * 200)]
    metric = subject.build()
    for predictions in ([], perfect(), mistaken(), odd):
        scores = metric.scores(list(predictions))
        expect(
            len(scores) == len(predictions),
            f"scores gives {len(scores)} numbers for {len(predictions)} predictions: one for each, in the same order",
        )
        wrong = [score for score in scores if not isinstance(score, (int, float)) or not math.isfinite(score)]
        expect(not wrong, f"scores gives {wrong[:3]}: every score is a finite number")


def it_gives_the_same_each_time(subject: Subject) -> None:
    """However often it is asked, and whatever it was asked before."""
    expect_the_same_each_time(CallPlan(subject.build, _calls))


def predictions_stay_as_they_were(subject: Subject) -> None:
    """The other metrics see the same predictions, and they are written down afterwards."""
    expect_inputs_stay(_calls(subject.build(), 0))


def perfect_answers_get_the_best_value(subject: Subject) -> None:
    """Better than wrong answers, in the direction that `higher_is_better` says. A metric of all answers together may
    leave questions out."""
    metric = subject.build()
    right, wrong = metric.scores(perfect()), metric.scores(mistaken())
    counted = metric.counts(perfect()) is not None
    best, worst = (right, wrong) if metric.higher_is_better else (wrong, right)
    if counted:
        better = right != wrong and all(high >= low for high, low in zip(best, worst, strict=True))
    else:
        better = min(best) > max(worst)
    expect(
        better,
        f"perfect answers get {right} and wrong ones {wrong}, but higher_is_better is {metric.higher_is_better}",
    )
    if metric.percent and not counted:
        expect(len(set(right)) == 1, f"perfect answers get different scores: {right}, though these are shares")


def a_share_lies_between_0_and_1(subject: Subject) -> None:
    """`percent = True` says that reports show scores times 100."""
    metric = subject.build()
    if metric.percent:
        scores = [*metric.scores(perfect()), *metric.scores(mistaken())]
        expect(all(0 <= score <= 1 for score in scores), f"percent is True, but scores are {scores}, not shares of 1")


def a_score_depends_on_no_other_answer(subject: Subject) -> None:
    """Whatever was answered to the other questions, and in whatever order. Counts are held to the same."""
    metric = subject.build()
    mixed = [perfect()[0], mistaken()[1], perfect()[2], mistaken()[3]]
    for judge in (metric.scores, metric.counts):
        together = judge(mixed)
        if together is None:  # the mean of its scores
            continue
        backwards = judge(mixed[::-1]) or []
        otherwise = [
            (judge([each if place == own else mistaken()[place] for place in range(4)]) or [])[own]
            for own, each in enumerate(mixed)
        ]
        expect(
            list(together) == list(backwards)[::-1] == otherwise,
            f"{judge.__name__} changes for a prediction with the other answers beside it: intervals are drawn from what"
            " each prediction is worth alone. A metric of all answers together gives `counts` and makes `summary` of"
            " their sums",
        )


def counts_add_up_to_the_metric(subject: Subject) -> None:
    """For a metric of all answers together: numbers for each prediction, and what many sums of them make at once."""
    metric = subject.build()
    counted = metric.counts(perfect())
    if counted is None:
        return
    width = len(counted[0])
    for predictions in ([], perfect(), mistaken()):
        rows = [tuple(row) for row in metric.counts(predictions) or []]
        fits = len(rows) == len(predictions) and all(len(row) == width for row in rows)
        expect(fits, f"counts gives {rows}: {width} numbers for each of {len(predictions)} predictions")
        expect(all(math.isfinite(each) for row in rows for each in row), f"counts gives {rows}: finite numbers only")
    right, wrong = (numpy.array(metric.counts(each)).sum(0) for each in (perfect(), mistaken()))  # [C]
    totals = numpy.stack([numpy.stack([right, wrong, right + wrong]), numpy.zeros((3, width))])  # [2,3,C]
    made = summarized(metric, totals)
    for name, values in made.items():
        called = f"details['{name}']" if name else "summary"
        shape = numpy.shape(values)
        expect(shape == (2, 3), f"{called} gives {shape} for totals [2,3,{width}]: one number for each, [2,3]")
        alone = [[summarized(metric, each)[name] for each in row] for row in totals]
        same = numpy.allclose(values, numpy.array(alone, dtype=float), equal_nan=True)
        expect(
            same, f"{called} gives another number for totals alone than among others: index the last axis, as [..., 0]"
        )
    best, worst = float(made[""][0, 0]), float(made[""][0, 1])
    better = math.isnan(worst) or (best > worst if metric.higher_is_better else best < worst)
    expect(
        not math.isnan(best) and better,
        f"summary of perfect answers is {best}, of wrong ones {worst}, but higher_is_better is"
        f" {metric.higher_is_better}",
    )
    if metric.percent:
        shares = numpy.concatenate([numpy.ravel(values[0]) for values in made.values()])
        expect(
            bool(numpy.all(numpy.isnan(shares) | ((shares >= 0) & (shares <= 1)))),
            f"percent is True, but of summary and details come {shares}, not shares of 1",
        )


def its_summary_gives_the_same_each_time_and_changes_nothing(subject: Subject) -> None:
    """It is asked for thousands of resamples of the same sums."""
    if subject.build().counts(perfect()) is not None:
        expect_the_same_each_time(CallPlan(subject.build, _summaries))
        expect_inputs_stay(_summaries(subject.build(), 0))


def _calls(metric: Metric, number: int) -> Sequence[Call]:
    """What it is asked in a run, about one of two lists of predictions."""
    predictions = [[perfect()[2], mistaken()[0], perfect()[3]], [mistaken()[3], perfect()[1], mistaken()[2]]][number]
    return [Call("scores", metric.scores, (predictions,)), Call("counts", metric.counts, (predictions,))]


def _summaries(metric: Metric, number: int) -> Sequence[Call]:
    """What it is asked for a report."""
    totals = numpy.array(metric.counts([perfect(), mistaken()][number]), dtype=float).sum(0) * numpy.ones(
        (2, 3, 1)
    )  # [2,3,C]
    return [Call("summary", metric.summary, (totals,)), Call("details", metric.details, (totals,))]


def _examples() -> list[Example]:
    return [
        Example("0", "0", "is there a red shape?", ("yes",), "yes/no"),
        Example("1", "0", "what shape is in the image?", ("circle", "disc"), "shape"),
        Example("2", "1", "what is the color?", ("teal",), "color"),
        Example("3", "2", "how many?", ("2",), "count"),
    ]


BASICS = in_turn(
    it_can_be_built_with_these_options,
    every_prediction_gets_a_number,
    it_gives_the_same_each_time,
    predictions_stay_as_they_were,
)
COUNTED = after((*BASICS, Rule(a_score_depends_on_no_other_answer)), counts_add_up_to_the_metric)
RULES: tuple[Rule, ...] = (
    *BASICS,
    *after(BASICS, perfect_answers_get_the_best_value),
    *after(BASICS, a_share_lies_between_0_and_1, a_score_depends_on_no_other_answer),
    *COUNTED,
    *after(COUNTED, its_summary_gives_the_same_each_time_and_changes_nothing),
)
