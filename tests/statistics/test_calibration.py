"""Calibration in closed form, and told only where it is known how probable the given answers were."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy
import pytest

from tests.made_results import write_results
from workbench.reports.calibration_table import calibration_table
from workbench.reports.results_data import read_study
from workbench.statistics.calibration import calibration
from workbench.storage.experiment_summary import Summary


def likely(folder: Path, right: float, wrong: float, trials: int | None = None) -> Path:
    """Say of answers how probable they were, other ones under controls; of the first `trials` alone."""
    for file in sorted(folder.glob("trials/*/predictions.jsonl"))[:trials]:
        lines = [json.loads(line) for line in file.read_text().splitlines()]
        for line in lines:
            told = right if line["scores"]["vqa_accuracy"] else wrong
            line["log_probability"] = float(numpy.log(told if line["condition"] == "image" else 0.001))
        file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder


def test_a_model_that_is_as_often_right_as_it_says_is_calibrated():
    random = numpy.random.default_rng(0)
    confidences = random.uniform(size=60_000)
    scores = (random.uniform(size=60_000) < confidences).astype(float)
    found = calibration(confidences, scores)
    assert found.error < 0.01
    assert found.brier == pytest.approx(1 / 6, abs=0.005)  # the mean of c (1 - c)
    assert found.selective == pytest.approx(0.6, abs=0.01)  # confidences from 0.2 to 1
    assert found.risk == pytest.approx(0.25, abs=0.01)  # at coverage q: q / 2
    boasting = calibration(numpy.sqrt(confidences), scores)
    assert boasting.error == pytest.approx(2 / 3 - 1 / 2, abs=0.01)
    assert (boasting.selective, boasting.risk) == (pytest.approx(found.selective), pytest.approx(found.risk))


def test_bins_have_equally_many_answers():
    """30 answers, two a bin, one right and one wrong in each, at confidences from 0.5 on: as far off as those are."""
    confidences = numpy.linspace(0.5, 0.5 + 29 / 60, 30)
    found = calibration(confidences, (numpy.arange(30) % 2).astype(numpy.float64))
    pairs = confidences.reshape(15, 2).mean(1)
    assert found.error == pytest.approx((pairs - 0.5).mean())


def test_the_order_among_answers_of_one_confidence_makes_no_number():
    scores = numpy.array([1.0, 1.0, 1.0, 0.0, 0.0])
    confidences = numpy.full(5, 0.9)
    found = calibration(confidences, scores)
    assert found == calibration(confidences, scores[::-1])
    assert (found.error, found.selective, found.risk) == (
        pytest.approx(0.3),
        pytest.approx(0.6),
        pytest.approx(0.4),
    )
    assert found.brier == pytest.approx((3 * 0.01 + 2 * 0.81) / 5)


def test_who_is_surest_of_what_is_right_misses_nothing_of_it():
    scores = numpy.array([1.0] * 8 + [0.0] * 2)
    found = calibration(numpy.linspace(0.9, 0.1, 10), scores)
    assert found.selective == 1.0
    assert found.risk == pytest.approx((1 / 9 + 2 / 10) / 10)


def test_the_table_reads_the_answers_given_with_the_image(tmp_path):
    study = read_study(likely(write_results(tmp_path, images=40, seeds=(0, 1)), 1.0, 0.5), resamples=50)
    table = calibration_table(study)
    assert table
    assert len(table.rows) == len(study.done)
    for row, right in zip(table.rows, study.samples["vqa_accuracy"].estimates, strict=True):
        assert row["brier"] == pytest.approx(0.25 * (1 - right))
        assert row["error"] == pytest.approx(0.5 * (1 - right))
        assert row["selective"] == pytest.approx(min(1.0, right / 0.8))
    assert table.csv().splitlines()[0].endswith("seed,error,brier,selective,risk")


def test_the_loss_of_the_right_answer_is_no_confidence_and_older_results_have_no_table(tmp_path):
    assert calibration_table(read_study(write_results(tmp_path, images=10), resamples=50)) is None


def test_trials_that_did_not_keep_it_are_counted(tmp_path):
    study = read_study(likely(write_results(tmp_path, images=10), 0.9, 0.5, trials=5), resamples=50)
    table = calibration_table(study)
    assert table
    assert len(table.rows) == 5
    assert "7 of 12 trials did not keep it" in " ".join(table.notes)


def test_of_a_metric_that_is_no_share_there_is_no_calibration(tmp_path):
    study = read_study(likely(write_results(tmp_path, images=10), 0.9, 0.5), resamples=50)
    loss = Summary(**{**vars(study.summary), "metrics": ["loss", "vqa_accuracy"]})
    assert calibration_table(replace(study, summary=loss)) is None
