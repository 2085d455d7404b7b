"""What a record says a trial took: of every phase, in operations, tokens and time."""

from __future__ import annotations

import math

import pytest

from tests.small import SMALL, load, records, run_inside, small_registry
from workbench.runs.flops import FlopCounts
from workbench.runs.trial_data import TrialData

TWO = SMALL.replace("metrics:", "    - {name: adapt, train: [adapter], steps: 3, batch: 2}\nmetrics:")
PATIENT = SMALL.replace("steps: 2", "steps: 40, held_out: 0.3, validate_every: 1, patience: 1, rate: 1.0, warmup: 0.0")


def flops_of(trial):
    return FlopCounts(small_registry(), TrialData(small_registry())).of(trial)


def metrics_of(folder, *overrides: str, text: str = SMALL):
    experiment = load(folder, *overrides, text=text)
    outcome = run_inside(experiment, folder / "results")
    assert not outcome.failed
    [record] = records(folder)
    return experiment.trials[0], record["metrics"]


@pytest.fixture(scope="module")
def two_phases(tmp_path_factory):
    """A trial of two phases, and the numbers of its record."""
    return metrics_of(tmp_path_factory.mktemp("two"), "base.adapter={name: lora, rank: 2}", text=TWO)


def test_what_trains_is_told_of_every_phase(two_phases):
    _, metrics = two_phases
    assert metrics["trainable_parameters.tune"] == metrics["parameters"]
    assert 0 < metrics["trainable_parameters.adapt"] < metrics["trainable_parameters.tune"]
    assert metrics["trainable_parameters"] == metrics["trainable_parameters.adapt"], "the last phase's, as ever"


def test_operations_are_those_that_are_counted_without_weights(two_phases):
    trial, metrics = two_phases
    flops = flops_of(trial)
    assert (metrics["flops"], metrics["training_flops"]) == (flops.answer, flops.training)
    assert [phase.steps for phase in flops.phases] == [2, 3]


def test_what_is_looked_at_is_added_up_over_phases(two_phases):
    _, metrics = two_phases
    assert metrics["training_images"] == 2 * 4 + 3 * 2
    assert metrics["training_examples"] == 3 * metrics["training_images"]
    text = metrics["training_tokens"] - 4 * metrics["training_images"]  # an image has four tokens
    assert text > 5 * metrics["training_examples"]


def test_tokens_are_written_and_timed(two_phases):
    trial, metrics = two_phases
    assert 1 <= metrics["generated_tokens"] <= trial.evaluation.max_new_tokens
    assert 0 < metrics["token_latency_ms"] <= metrics["token_latency_ms.highest"]
    assert metrics["token_latency_ms"] <= metrics["latency_ms"]


def test_a_phase_that_stops_early_took_fewer_operations_than_planned(tmp_path):
    trial, metrics = metrics_of(tmp_path, text=PATIENT)
    flops = flops_of(trial)
    steps = metrics["training_flops"] / flops.phases[0].step
    assert steps < 40 == flops.phases[0].steps
    assert steps == metrics["training_images"] / 4


def test_without_phases_nothing_was_read(tmp_path):
    trial, metrics = metrics_of(tmp_path, "base.phases=[]")
    assert metrics["flops"] == flops_of(trial).answer
    zero = [metrics[f"training_{name}"] for name in ("flops", "tokens", "images", "examples", "seconds")]
    assert zero == [0] * 5


def test_what_cannot_be_counted_is_told_as_not_known(tmp_path, monkeypatch):
    monkeypatch.setattr("workbench.runs.flops.MOST_PARAMETERS", 10)
    train = "base.phases.tune.train=[connector, fusion, language_model]"
    _, metrics = metrics_of(tmp_path, "base.encoder=staring", train)
    assert (metrics["flops"], metrics["training_flops"]) == (None, None)
    assert math.isfinite(metrics["training_tokens"])
