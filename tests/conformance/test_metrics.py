"""A metric that gives no score for each answer, or prefers wrong ones, is found out."""

from __future__ import annotations

import pytest

from tests import broken_plugins as broken
from tests.conformance.tried import result_of, results_of


class LeavesQuestionsOut(broken.Counting):
    """Of yes/no questions alone, as F1 and recall are; the others have the score of a wrong answer."""

    def scores(self, predictions):
        return [float(each.example.group == "yes/no" and each.answer in each.example.answers) for each in predictions]

    def counts(self, predictions):
        asked = [float(each.example.group == "yes/no") for each in predictions]
        return list(zip(self.scores(predictions), asked, strict=True))


@pytest.mark.parametrize(
    ("factory", "rule"),
    [
        (broken.SortsPredictions, "predictions stay as they were"),
        (broken.LowersAnswers, "predictions stay as they were"),
        (broken.ScoresOnceInFifty, "it gives the same each time"),
        (broken.OneForAll, "every prediction gets a number"),
        (broken.UpsideDown, "perfect answers get the best value"),
        (broken.Percents, "a share lies between 0 and 1"),
        (broken.ComparesThem, "a score depends on no other answer"),
        (broken.CountsTheBatch, "a score depends on no other answer"),
        (broken.TakesTheFirst, "counts add up to the metric"),
        (broken.GrowsWithTheQuestions, "counts add up to the metric"),
    ],
)
def test_a_broken_rule_is_found(factory, rule):
    result = result_of("metric", factory, rule)
    assert not result.passed
    assert len(result.explanation) > 20


def test_a_metric_that_leaves_questions_out_keeps_every_rule():
    assert [
        f"{each.title}: {each.explanation}" for each in results_of("metric", LeavesQuestionsOut) if not each.passed
    ] == []
