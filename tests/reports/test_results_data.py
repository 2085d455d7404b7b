"""A results folder is read as its trials left it, and every metric computed afresh."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.made_results import write_results
from tests.reports.made_counts import write
from workbench.registry import Registry
from workbench.reports.disagreements import disagreements
from workbench.reports.experiment_results import GAIN
from workbench.reports.results_data import read_study


def test_what_the_records_say_can_be_made_again_from_the_predictions(tmp_path):
    study = read_study(write(tmp_path), resamples=20)
    assert disagreements(study) == []
    assert study.measures == ["yes_no", *(f"yes_no.{each}" for each in ("accuracy", "precision", "recall", "yes_rate"))]
    for name in (*study.measures, "yes_no.no_image", "visual_gain"):
        assert study.samples[name].estimates == pytest.approx(study.numbers(name))
    for group in study.groups.names:
        for name, sample in study.groups.samples[group].items():
            assert sample.estimates == pytest.approx(study.numbers(f"{name}.group.{group}")), name


def test_a_metric_whose_plugin_is_not_there_is_left_out_and_said(tmp_path):
    study = read_study(write(tmp_path), resamples=20, registry=Registry())
    assert study.samples == {}
    [note] = study.notes
    assert "'yes_no' is left out" in note
    assert "there is no metric 'yes_no'" in note


def test_a_study_recomputes_what_the_records_say(tmp_path: Path):
    study = read_study(write_results(tmp_path, images=40), resamples=50)
    assert disagreements(study) == []
    assert study.samples[GAIN].estimates == pytest.approx(study.numbers(GAIN))
    assert study.groups.scores("vqa_accuracy").loc[study.done[0].id, "shape"] == pytest.approx(
        study.done[0].metrics["vqa_accuracy.group.shape"]
    )


def test_a_gain_needs_a_control_and_takes_the_one_there_is(tmp_path: Path):
    none = read_study(write_results(tmp_path / "a", images=10, conditions=("image",)), resamples=20)
    one = read_study(write_results(tmp_path / "b", images=10, conditions=("image", "shuffled")), resamples=20)
    assert not none.has_gain
    assert one.samples[GAIN].estimates == pytest.approx(
        one.samples["vqa_accuracy"].estimates - one.samples["vqa_accuracy.shuffled"].estimates
    )


def test_trials_that_the_experiment_no_longer_has_are_left_out(tmp_path: Path):
    folder = write_results(tmp_path, images=5)
    write_results(tmp_path / "now", images=5, axes={"quantizer": ["none", "int8"]})
    for name in ("experiment.json", "experiment.yaml"):
        (folder / name).write_text((tmp_path / "now" / "made" / name).read_text())
    study = read_study(folder, resamples=20)
    assert ([record.id for record in study.done], study.strays) == (study.summary.trials, 10)
