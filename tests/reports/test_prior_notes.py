"""In which groups of questions a model answers no better than the prior, and what that alone would make."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy
import pytest

from tests.made_results import write_results
from tests.reports.read_page import page_of
from workbench.reports.experiment_results import Study
from workbench.reports.group_tables import group_table
from workbench.reports.prior_notes import group_gains, prior_sentences
from workbench.reports.results_data import read_study

Right = Callable[[str, int], bool]


def write(folder: Path, prior: Right, model: Right, axes: dict[str, list[str]] | None = None) -> Path:
    """Trials of which `prior` and `model` say whether a group's how-manieth question is answered rightly."""
    results = write_results(
        folder, images=60, axes=axes or {}, conditions=("image", "prior"), gain_against="prior", failed=()
    )
    for file in results.glob("trials/*/predictions.jsonl"):
        counts: dict[tuple[str, str], int] = {}
        lines = [json.loads(line) for line in file.read_text().splitlines()]
        for line in lines:
            key = line["condition"], line["group"]
            counts[key] = counts.get(key, -1) + 1
            right = (prior if line["condition"] == "prior" else model)(line["group"], counts[key])
            line["scores"]["vqa_accuracy"] = float(right)
        file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return results


def study_of(folder: Path, prior: Right, model: Right, **made) -> Study:
    return read_study(write(folder, prior, model, **made), resamples=300)


def guesses(group: str, number: int) -> bool:
    """Two of three yes/no questions, one of five colours, one of three shapes."""
    return number % {"yes/no": 3, "color": 5, "shape": 3}[group] < (2 if group == "yes/no" else 1)


def blind_for_yes_and_no(group: str, number: int) -> bool:
    return guesses(group, number) if group == "yes/no" else number % 10 > 0


def test_the_groups_where_the_model_is_no_better_are_named_with_their_intervals(tmp_path):
    study = study_of(tmp_path, guesses, blind_for_yes_and_no)
    first, second, third = prior_sentences(study)
    assert "has 46.7 % VQA accuracy" in first, "(2/3 x 120 + 1/5 x 60 + 1/3 x 60) / 240"
    assert second.startswith("In the group yes/no (0.0 points, ")
    assert "the model cannot be told to answer better than the prior" in second
    assert "color" not in second
    assert "has 83.3 % VQA accuracy" in third, "(2/3 x 120 + 120) / 240: a plateau that needs no yes or no"


def test_questions_without_a_score_are_no_part_of_the_plateau(tmp_path):
    folder = write(tmp_path, guesses, blind_for_yes_and_no)
    for file in folder.glob("trials/*/predictions.jsonl"):
        lines = [json.loads(line) for line in file.read_text().splitlines()]
        unjudged = sorted({line["id"] for line in lines if line["group"] == "shape"})[::2]
        for line in lines:
            line["scores"] = {} if line["id"] in unjudged else line["scores"]
        file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    third = prior_sentences(read_study(folder, resamples=100))[2]
    assert "has 81.0 % VQA accuracy" in third, "(2/3 x 120 + 60 + 30) / 210"


def test_a_model_that_is_better_everywhere_is_said_to_be(tmp_path):
    study = study_of(tmp_path, guesses, lambda group, number: number % 20 > 0)
    _, second = prior_sentences(study)
    assert second.startswith("In every group of questions the model is better, by 28.3 to 75.0 points")


def test_a_model_that_learned_nothing_is_told_of_all_groups_and_of_no_plateau(tmp_path):
    sentences = prior_sentences(study_of(tmp_path, guesses, guesses))
    assert len(sentences) == 2
    assert sentences[1].startswith("In no group of questions, color (")


def test_of_several_trials_the_best_is_meant(tmp_path):
    study = study_of(tmp_path, guesses, blind_for_yes_and_no, axes={"fusion": ["concat_projection", "gated"]})
    assert "the best of 2 trials (concat_projection) cannot be told" in prior_sentences(study)[1]


def test_a_gain_of_a_group_is_paired_over_its_own_questions(tmp_path):
    study = study_of(tmp_path, guesses, blind_for_yes_and_no)
    gains = group_gains(study, study.done[0])
    assert {name: round(gain.estimate, 4) for name, gain in gains.items()} == {
        "color": pytest.approx(0.9 - 0.2, abs=1e-3),
        "shape": pytest.approx(0.9 - 1 / 3, abs=1e-3),
        "yes/no": 0.0,
    }
    assert -gains["yes/no"].low == gains["yes/no"].high < 0.07, "the same answers, on 60 images"
    spread = numpy.sqrt(0.54 / 60)  # of differences of +1 (44 of 60), 0 and -1 (2 of 60)
    assert gains["color"].high - gains["color"].low == pytest.approx(3.92 * spread, rel=0.4)


def test_without_a_prior_nothing_is_said_and_no_group_has_its_row(tmp_path):
    study = read_study(write_results(tmp_path, images=20), resamples=20)
    assert prior_sentences(study) == []
    table = group_table(study)
    assert table
    assert [column.key for column in table.columns][:2] == ["group", "encoder"]


def test_the_prior_is_a_row_of_each_group_s_table_and_a_line_of_the_page(tmp_path):
    folder = write(tmp_path, guesses, blind_for_yes_and_no, {"fusion": ["concat_projection", "gated"]})
    table = group_table(read_study(folder, resamples=50))
    assert table
    assert [(row["group"], row.get("by"), row.get("fusion")) for row in table.rows][:3] == [
        ("color", None, "concat_projection"),
        ("color", None, "gated"),
        ("color", "prior", None),
    ]
    told = {row["group"]: row["vqa_accuracy"].estimate for row in table.rows if row.get("by") == "prior"}
    assert told == {"color": pytest.approx(0.2), "shape": pytest.approx(1 / 3), "yes/no": pytest.approx(2 / 3)}
    page = page_of(folder)
    assert "cannot be told to answer better than the prior" in page.text
    assert "The prior, which is the most frequent training answer to each question's text" in page.text
    assert not re.search(r"\bnan\b", page.text, re.IGNORECASE)
    assert page.open == []
