"""The simulation that verdicts are tried with knows the truth, counts what is false, and finds the rules it should."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import numpy
import pytest

from benchmarks.paired_holm import paired_holm
from benchmarks.simulated_studies import LATTICE, SHAPES, Setting, Shares, Study, simulate

ROOT = Path(__file__).parents[2]
DIFFERENT = Shares(image=0.2, question=0.1, seed=0.3, trial=0.2)


@pytest.fixture
def beside(monkeypatch: pytest.MonkeyPatch):
    """Modules of benchmarks that import each other, as when one of them is run."""
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    return importlib.import_module


def studies(setting: Setting, count: int) -> list[Study]:
    return [simulate(setting, numpy.random.default_rng(number)) for number in range(count)]


@pytest.mark.parametrize("shape", SHAPES)
def test_what_a_seed_adds_is_nothing_on_average_and_spreads_as_far_as_is_said(shape: str):
    values = SHAPES[shape]((numpy.arange(LATTICE) + 0.5) / LATTICE)
    assert (values.mean(), values.std()) == (pytest.approx(0, abs=1e-4), pytest.approx(1, abs=1e-3))


@pytest.mark.parametrize("shares", [Shares(), DIFFERENT])
@pytest.mark.parametrize("real", [False, True])
def test_scores_are_on_average_what_is_said_to_be_true(shares: Shares, real: bool):
    setting = Setting(
        "s", values=2, accuracy=80, apart=(0, 5), spread=2, images=100, questions=3, shares=shares, real=real
    )
    found = studies(setting, 300)
    means = numpy.mean([study.sums.sum(1) / study.counts.sum(1) for study in found], axis=0)  # [T]
    assert means == pytest.approx([0.80] * 3 + [0.85] * 3, abs=0.006)
    assert found[0].expected == pytest.approx([0.80] * 3 + [0.85] * 3, abs=1e-12)
    assert found[0].difference("value", "value1", "value0") == pytest.approx(0.05)


def test_at_the_end_of_the_scale_the_truth_is_what_is_left_there():
    setting = Setting("s", values=2, accuracy=99.5, spread=3, spreads=(1, 0), images=1)
    found = studies(setting, 3000)
    trained = numpy.mean([study.accuracies[:3].mean() for study in found])
    assert trained < 0.99
    assert found[0].mean("value", "value0") == pytest.approx(trained, abs=0.001)
    assert found[0].mean("value", "value1") == 0.995


def test_a_seed_missing_leaves_the_truth_and_an_interaction_is_where_it_was_put():
    some = simulate(Setting("s", values=2, apart=(0, 4), finished=((0, 1, 2), (5,))), numpy.random.default_rng(0))
    assert some.seeds == ["0", "1", "2", "5"]
    assert some.difference("value", "value1", "value0") == pytest.approx(0.04)
    grid = simulate(Setting("g", values=2, others=(3, 2), change=12), numpy.random.default_rng(0))
    asked = ("value", "value1", "value0")
    assert grid.change(asked, ("second", "second2", "second0")) == pytest.approx(0.12)
    assert grid.change(asked, ("second", "second1", "second0")) == 0
    assert grid.difference("value", "value1", "value0") == pytest.approx(0.04)


def test_copies_answer_alike_within_a_seed():
    study = simulate(Setting("s", values=3, shared_spread=2, copies=True), numpy.random.default_rng(0))
    for seed in "012":
        rows = study.sums[[each == seed for each in study.seeds]]
        assert (rows == rows[0]).all()
    assert study.trained_difference("value", "value2", "value0") == 0


def test_false_claims_are_those_of_the_wrong_sign_or_of_no_difference(beside: Any):
    rules, counted = beside("verdict_rules"), beside("coverage_figures")

    def claim(truth: float, told: int, low: float, high: float, family: str = "value") -> Any:
        return rules.Claim(rules.TABLE, family, truth, low, high, told)

    right, missed, turned, made_up = (
        claim(0.1, 1, 0.05, 0.2),
        claim(0.1, 0, -0.1, 0.2),
        claim(0.1, -1, -0.3, -0.1),
        claim(0.0, 1, 0.1, 0.2, "other"),
    )
    figures = counted.figures([[right, missed], [turned, made_up]])
    assert [each.false for each in (right, missed, turned, made_up)] == [False, False, True, True]
    assert (figures["differences"], figures["power"]) == (0.5, 1 / 3)
    assert (figures["table"], figures["page"]) == (2 / 3, 0.5)


def test_the_rule_reports_had_gives_what_reports_gave(beside: Any):
    """p of `axis_effects` before verdicts were sharpened, on the same study with the same 400 resamples."""
    study = simulate(Setting("s", values=4, others=(2,), apart=(0, 12, -9, 0), spread=2), numpy.random.default_rng(4))
    estimates, replicates = beside("verdict_rules").resampled(study, 400)
    cells = list(study.axes["second"])
    found = paired_holm(estimates, replicates, list(study.axes["value"]), cells, study.seeds, "value0", 200)
    assert [each.p for each in found.values()] == pytest.approx([0.016107170, 0.011204278, 0.167199658], rel=1e-6)
    assert [each.told for each in found.values()] == [1, -1, 0]


@pytest.mark.parametrize(
    "setting",
    [
        Setting("no difference", values=4, seeds=3, spread=2.8),
        Setting("at the end", values=8, seeds=3, accuracy=99.9),
        Setting("seeds missing", values=2, finished=((0, 1, 2), (0,)), spread=2.8),
        Setting("one seed", values=4, seeds=1, spread=2.8),
        Setting("a page", values=2, others=(3, 2), seeds=3, spread=1.0),
        Setting("one base", values=2, seeds=5, spread=0.3, shared_spread=2.8, shares=Shares(0.3, 0.2, 0.42, 0.03)),
        Setting("alike", values=2, seeds=5, accuracy=93.0, shared_spread=1.0, copies=True),
    ],
    ids=lambda setting: setting.name,
)
def test_a_small_part_of_the_simulation_holds(beside: Any, setting: Setting):
    """60 studies of a kind: at 5 % false pages, more than 8 come in 3 of 1,000 runs."""
    measured = beside("coverage_figures").measured(setting, ["ours"], 60, 200)[0]
    assert measured["page"] <= 8 / 60
    assert measured["headline"] <= 8 / 60
    assert measured["differences"] >= 0.9


def test_a_difference_is_found_at_least_a_fifth_more_often_than_before(beside: Any):
    setting = Setting("power", values=4, seeds=3, spread=2.8, images=1000, apart=(0.0, 12.0))
    ours, before = beside("coverage_figures").measured(setting, ["ours", "before"], 80, 200)
    assert ours["power"] >= 1.2 * before["power"] > 0
