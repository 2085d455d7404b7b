"""Groups of questions are counted and scored from their own questions alone."""

from __future__ import annotations

import pandas
import pytest

from workbench.reports.metric_samples import Reading
from workbench.reports.question_groups import QuestionGroups
from workbench.storage.records import SCORE


def answers(scores: list[float]) -> pandas.DataFrame:
    """Two questions of each group about one image, two about another, as `read_predictions` gives them."""
    return pandas.DataFrame(
        {
            "condition": ["image"] * 4 + ["shuffled"] * 4,
            "image": ["a", "a", "b", "b"] * 2,
            "group": ["color", "shape", "shape", "shape"] * 2,
            SCORE + "m": [*scores, 0.0, 0.0, 0.0, 0.0],
        }
    )


@pytest.fixture
def groups() -> QuestionGroups:
    predictions = {"one": answers([1.0, 0.0, 1.0, 1.0]), "two": answers([0.0, 1.0, 1.0, 1.0])}
    return QuestionGroups([Reading("m", True)], predictions, ["0", "0"], 50)


def test_groups_stand_in_alphabetical_order_and_count_what_was_asked_with_the_image(groups: QuestionGroups):
    assert groups.names == ["color", "shape"]
    assert (groups.asked("one", "color"), groups.asked("two", "shape")) == ((1, 1), (3, 2))


def test_a_group_is_scored_by_its_own_questions(groups: QuestionGroups):
    scores = groups.scores("m")
    assert scores.loc["one"].tolist() == pytest.approx([1.0, 2 / 3])
    assert scores.loc["two"].tolist() == pytest.approx([0.0, 1.0])
    assert groups.samples["color"]["m"].replicates.std(0).tolist() == [0, 0], (
        "the one image of that group is always drawn"
    )
    assert groups.scores("another").empty
