"""Scores: what becomes of predictions, and what is gained over each control."""

from __future__ import annotations

import numpy
import pytest

from tests.small import small_registry
from workbench.contracts.example import Example, Prediction
from workbench.contracts.metric import Metric
from workbench.errors import UserError
from workbench.evaluation.scored import score
from workbench.evaluation.scores import lines_of, summarize

CONDITIONS = ("image", "no_image", "shuffled")


class Scored(Metric):
    """Scores by a table."""

    def __init__(self, scores: dict[str, list[float]], higher_is_better: bool):
        self.table = scores
        self.higher_is_better = higher_is_better

    def scores(self, predictions):
        return self.table[predictions[0].answer]


def predictions(groups: list[str]) -> dict[str, list[Prediction]]:
    """Under every condition the condition's name is the answer."""
    return {
        condition: [
            Prediction(Example(str(place), "p", "?", ("a",), group), condition, 0.0)
            for place, group in enumerate(groups)
        ]
        for condition in CONDITIONS
    }


TABLE = {"image": [1.0, 0.5, 0.0, 0.9], "no_image": [0.2, 0.2, 0.2, 0.2], "shuffled": [0.1, 0.5, 0.1, 0.5]}


def test_the_visual_gain_is_over_the_control_that_is_named():
    flat, scores = summarize(predictions(["", "", "", ""]), {"right": Scored(TABLE, True)}, "no_image")
    assert flat == pytest.approx(
        {
            **{"right": 0.6, "right.no_image": 0.2, "right.shuffled": 0.3},
            **{"visual_gain.no_image": 0.4, "visual_gain.shuffled": 0.3, "visual_gain": 0.4},
        }
    )
    assert {each: scores[each]["right"].scores for each in CONDITIONS} == TABLE


def test_where_no_control_is_named_there_is_no_visual_gain():
    flat, _ = summarize(predictions([""] * 4), {"right": Scored(TABLE, True)})
    assert "visual_gain" not in flat


def test_where_lower_is_better_the_gain_is_turned_round():
    flat, _ = summarize(predictions(["", "", "", ""]), {"wrong": Scored(TABLE, False)}, "no_image")
    assert flat["visual_gain"] == pytest.approx(0.2 - 0.6)


def test_the_gain_is_that_of_the_first_metric():
    metrics: dict[str, Metric] = {"right": Scored(TABLE, True), "wrong": Scored(TABLE, False)}
    assert summarize(predictions([""] * 4), metrics, "shuffled")[0]["visual_gain"] == pytest.approx(0.3)


def test_what_a_control_left_out_counts_on_neither_side_of_its_gain():
    given = predictions([""] * 4)
    given["shuffled"] = given["shuffled"][1:3]
    table = {**TABLE, "shuffled": [0.5, 0.1]}
    flat, scores = summarize(given, {"right": Scored(table, True)}, "shuffled")
    assert flat["right"] == pytest.approx(0.6)
    assert flat["right.shuffled"] == pytest.approx(0.3)
    assert flat["visual_gain"] == pytest.approx(0.25 - 0.3), "of the two questions alone"
    assert len(lines_of(given, scores)) == 10


def test_a_control_that_asked_nothing_has_no_numbers():
    flat, scores = summarize({**predictions([""] * 4), "shuffled": []}, {"right": Scored(TABLE, True)}, "shuffled")
    assert not any("shuffled" in name for name in (*flat, *scores))
    assert "visual_gain" not in flat


def test_a_metric_that_reads_the_loss_has_none_of_what_no_model_said():
    """The prior gives an answer and no loss: NaN stands in no record and no line."""
    registry = small_registry()
    metrics = {name: registry.create("metric", name) for name in ("loss", "perplexity", "exact_match")}
    asked = [Prediction(Example(str(place), "p", "?", ("a",)), "a", 0.5) for place in range(2)]
    prior = [Prediction(each.example, "b", float("nan")) for each in asked]
    flat, scores = summarize({"image": asked, "prior": prior}, metrics, "prior")
    assert {name for name in flat if name.endswith("prior")} == {"exact_match.prior"}
    assert "visual_gain" not in flat
    told = [line for line in lines_of({"image": asked, "prior": prior}, scores) if line["condition"] == "prior"]
    assert [(line["scores"], "counts" in line) for line in told] == [({"exact_match": 0.0}, False)] * 2


def test_a_line_has_the_probability_of_its_answer_where_a_model_gave_it():
    told = [Prediction(Example("0", "p", "?", ("a",)), "a", 0.5, each) for each in (-0.1234567, float("nan"))]
    given = {"image": told[:1], "prior": told[1:]}
    _, scores = summarize(given, {"right": Scored({"a": [1.0]}, True)})
    first, second = lines_of(given, scores)
    assert first["log_probability"] == -0.123457
    assert "log_probability" not in second


def test_each_group_has_its_own_mean_of_the_answers_with_the_image():
    flat, _ = summarize(predictions(["a", "b", "a", ""]), {"right": Scored(TABLE, True)})
    assert {name: value for name, value in flat.items() if ".group." in name} == pytest.approx(
        {"right.group.a": 0.5, "right.group.b": 0.5}
    )


def test_a_metric_with_counts_is_made_of_their_sums_and_not_of_scores():
    told = [
        Prediction(Example(str(place), "p", "?", (right,)), "yes", 0.0) for place, right in enumerate(("yes", "no"))
    ]
    scored = score(small_registry().create("metric", "yes_no"), told)
    assert scored.value()[""] == pytest.approx(2 / 3), "precision 1/2, recall 1"
    assert scored.value([0])[""] == 1.0


def test_a_metric_gives_one_score_for_each_prediction():
    with pytest.raises(UserError, match=r"`scores` of the metric Scored gives 4 for 3 predictions"):
        score(Scored(TABLE, True), predictions([""] * 3)["image"])


def test_a_metric_cannot_change_what_others_are_given():
    class Emptying(Scored):
        def scores(self, predictions):
            found = super().scores(predictions)
            predictions.clear()
            return found

    given = predictions([""] * 4)["image"]
    score(Emptying(TABLE, True), given)
    assert len(given) == 4


def test_a_line_holds_the_prediction_with_its_scores_condition_by_condition():
    given = predictions(["a", "b", "a", ""])
    _, scores = summarize(given, {"right": Scored(TABLE, True)})
    lines = lines_of(given, scores)
    assert [line["condition"] for line in lines] == [each for each in CONDITIONS for _ in range(4)]
    assert numpy.array([line["scores"]["right"] for line in lines]).reshape(3, 4).tolist() == list(TABLE.values())
    assert lines[1]["group"] == "b"
    assert not any("counts" in line or "history" in line or "more_images" in line for line in lines)
