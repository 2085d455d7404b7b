"""The finding on an axis names who leads, who shares the lead, and who gave the very same answers."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.made_results import copy_answers, write_results
from workbench.reports.answer import answer
from workbench.reports.findings import finding
from workbench.reports.results_data import read_study


@pytest.mark.parametrize(
    ("seeds", "headline"),
    [
        ((0, 1, 2), "bidirectional and cross_attention lead, and cannot be told apart"),
        ((0,), "of these trained models, bidirectional and cross_attention answered better than concat_projection"),
    ],
)
def test_values_that_share_the_lead_are_said_to(tmp_path: Path, seeds: tuple[int, ...], headline: str):
    axes = {"fusion": ["concat_projection", "bidirectional", "cross_attention"]}
    folder = write_results(tmp_path, images=300, axes=axes, seeds=seeds)
    copy_answers(folder, "cross_attention", "bidirectional")
    study = read_study(folder, resamples=300)
    assert finding(study, "fusion").headline == f"fusion: {headline}"
    assert "bidirectional and cross_attention gave the same answers." in finding(study, "fusion").details


@pytest.mark.parametrize("seeds", [(0,), (0, 1, 2), (0, 1, 2, 3, 4, 5, 6)])
def test_values_with_the_same_answers_are_said_to_have_given_them(tmp_path: Path, seeds: tuple[int, ...]):
    folder = write_results(tmp_path, images=20, axes={"quantizer": ["none", "int8"]}, seeds=seeds)
    copy_answers(folder, "none", "int8")
    study = read_study(folder, resamples=20)
    told = finding(study, "quantizer")
    assert told.headline == "quantizer: none and int8 gave the same answers"
    assert "int8 gave the same answers as none (0.0 points" in " ".join(answer(study))
    found = study.effects("quantizer")[1]
    assert found.difference.estimate == 0
    assert found.difference.low < 0 < found.difference.high
    assert found.verdict == "same answers"


def test_equal_scores_of_other_answers_are_not_the_same_answers(tmp_path: Path):
    folder = write_results(tmp_path, images=20, axes={"quantizer": ["none", "int8"]})
    copy_answers(folder, "none", "int8")
    other = sorted(folder.glob("trials/*/predictions.jsonl"))[1]
    text = other.read_text()
    assert '"answer": "blue"' in text
    other.write_text(text.replace('"answer": "blue"', '"answer": "Blue!"'))
    told = finding(read_study(folder, resamples=20), "quantizer")
    assert told.headline == "quantizer: these trained models cannot be told apart"
    assert "none and int8 have the same score" in told.details
