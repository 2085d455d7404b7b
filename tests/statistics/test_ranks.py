"""Chances and ranks are those of the joint posterior: closed forms, p values, and what is equal shares a rank."""

from __future__ import annotations

import math
from pathlib import Path

import numpy
import pytest
from scipy import integrate, stats

from tests.made_results import copy_answers, write_results
from workbench.reports.experiment_results import Study
from workbench.reports.rank_table import METHODS, MODELS, axis_ranks, chance, rank_table
from workbench.reports.results_data import read_study
from workbench.statistics.estimates import Estimate, Interval
from workbench.statistics.ranks import ranks
from workbench.statistics.verdicts import BETTER_OF_ANY, WORSE_OF_ANY

MANY = 0.008  # more than random draws move a chance


def difference(estimate: float, pulls: dict, freedom: float = math.inf) -> Estimate:
    """All of its error in `pulls`, by (source, name)."""
    error = math.sqrt(sum(each**2 for each in pulls.values()))
    p = 2 * float(stats.t.sf(abs(estimate) / error, freedom))
    interval = Interval(estimate, math.nan, math.nan)
    return Estimate(interval, error, p, freedom, True, numpy.zeros(10), pulls)


@pytest.mark.parametrize(("apart", "error"), [(0.02, 0.01), (-0.03, 0.02), (0.001, 0.02), (0.0, 0.01)])
def test_of_two_independent_normal_values_the_chance_is_that_of_the_normal_distribution(apart: float, error: float):
    found = ranks([difference(apart, {("a", 0): 0.6 * error, ("b", 0): -0.8 * error})], True)
    truth = stats.norm.cdf(apart / error)
    assert found[1].over_reference == pytest.approx(truth, abs=MANY)
    assert found[1].best == pytest.approx(truth, abs=MANY)
    assert found[0].best == pytest.approx(1 - truth, abs=MANY)
    assert found[1].rank.estimate == pytest.approx(2 - truth, abs=MANY)
    assert math.isnan(found[0].over_reference)


def test_noise_of_images_counts_as_that_of_seeds_does():
    random = numpy.random.default_rng(0)
    over = 0.02 * random.standard_normal(4000)
    estimate = Estimate(
        Interval(0.03, math.nan, math.nan), 0.02, 2 * float(stats.norm.sf(1.5)), math.inf, True, over, {}
    )
    assert ranks([estimate], True)[1].over_reference == pytest.approx(stats.norm.cdf(1.5), abs=0.015)


@pytest.mark.parametrize("freedom", [2, 5])
def test_few_degrees_of_freedom_make_chances_those_of_students_t(freedom: float):
    found = ranks([difference(0.02, {("a", 0): 0.01}, freedom)], True)
    assert found[1].over_reference == pytest.approx(stats.t.cdf(2, freedom), abs=MANY)


def test_of_three_independent_values_the_chance_of_being_best_is_the_integral():
    means, errors = [0.0, 0.01, 0.015], [0.01, 0.02, 0.005]
    given = [
        difference(means[place] - means[0], {("v", place): errors[place], ("v", 0): -errors[0]}) for place in (1, 2)
    ]
    found = ranks(given, True)

    def best(own: int) -> float:
        def density(x: float) -> float:
            others = [stats.norm.cdf((x - means[i]) / errors[i]) for i in range(3) if i != own]
            return float(stats.norm.pdf(x, means[own], errors[own]) * numpy.prod(others))

        return integrate.quad(density, -0.2, 0.2, points=[means[own]])[0]

    assert [each.best for each in found] == pytest.approx([best(place) for place in range(3)], abs=MANY)
    above = [
        [stats.norm.cdf((means[j] - means[i]) / math.hypot(errors[i], errors[j])) for j in range(3)] for i in range(3)
    ]
    expected = [1 + sum(above[i][j] for j in range(3) if j != i) for i in range(3)]
    assert [each.rank.estimate for each in found] == pytest.approx(expected, abs=2 * MANY)
    assert [(each.rank.low, each.rank.high) for each in found] == [(1, 3), (1, 3), (1, 3)]


def test_where_less_is_better_the_order_is_turned_round():
    given = [difference(0.03, {("v", 1): 0.01}), difference(-0.01, {("v", 2): 0.01})]
    up, down = ranks(given, True), ranks(given, False)
    assert [each.rank.estimate for each in down] == pytest.approx([4 - each.rank.estimate for each in up], abs=0.001)
    assert down[2].over_reference == pytest.approx(1 - up[2].over_reference, abs=0.001)


def test_values_that_are_equal_in_every_way_share_their_rank_and_the_chance():
    """As INT8 that answers word for word like fp32: nothing random breaks the tie, nor floating point."""
    twin = {("v", 1): 0.01}
    found = ranks(
        [
            difference(0.05, twin),
            difference(0.05 + 1e-17, twin),
            Estimate(Interval(0, 0, 0), 0.0, 1.0, over_images=numpy.zeros(10)),
        ],
        True,
    )
    assert [each.best for each in found] == pytest.approx([0, 0.5, 0.5, 0], abs=1e-3)
    assert (found[1].rank.low, found[1].rank.high) == (1.5, 1.5)
    assert found[0].rank == found[3].rank
    assert found[3].rank.estimate == pytest.approx(3.5, abs=1e-3)
    assert found[3].over_reference == 0.5


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    return read_study(write_results(tmp_path_factory.mktemp("ranks"), images=60, seeds=(0, 1, 2)), resamples=400)


def test_chances_agree_with_the_uncorrected_p_and_with_the_direction_of_verdicts(study: Study):
    for axis in study.compared:
        found = axis_ranks(study, axis)
        assert found.about == METHODS
        assert sum(each.best for each in found.ranks.values()) == pytest.approx(1)
        count = len(found.ranks)
        assert sum(each.rank.estimate for each in found.ranks.values()) == pytest.approx(count * (count + 1) / 2)
        for effect in study.effects(axis):
            if effect.value == study.baseline(axis):
                continue
            estimate = study.comparisons.pairs[axis, effect.value, study.baseline(axis)].estimate
            ahead = found.ranks[effect.value].over_reference
            one_sided = estimate.p / 2 if effect.difference.estimate < 0 else 1 - estimate.p / 2
            assert ahead == pytest.approx(one_sided, abs=MANY)
            assert ahead >= 0.97 or effect.verdict not in BETTER_OF_ANY
            assert ahead <= 0.03 or effect.verdict not in WORSE_OF_ANY


def test_a_chance_is_no_surer_than_the_seeds_alone_make_it():
    """An error of 0.01 with many degrees of freedom, of which the seeds' is 0.009 with two: p is theirs."""
    p = 2 * float(stats.t.sf(0.02 / 0.009, 2))
    estimate = Estimate(Interval(0.02, 0, 0), 0.01, p, 2, True, numpy.zeros(10), {("v", 0): 0.01})
    assert ranks([estimate], True)[1].over_reference == pytest.approx(1 - p / 2, abs=MANY)


def test_with_one_seed_the_table_is_about_the_trained_models(tmp_path: Path):
    table = rank_table(read_study(write_results(tmp_path, images=60), resamples=100))
    assert table
    assert {row["about"] for row in table.rows} == {MODELS}
    assert "not of methods" in " ".join(table.notes)


def test_a_value_with_one_seed_is_left_out_and_named_where_others_have_more(tmp_path: Path):
    axes = {"fusion": ["concat_projection", "cross_attention", "gated"]}
    left_out = (7, 8)  # gated has its first seed alone
    found = axis_ranks(
        read_study(write_results(tmp_path, images=60, axes=axes, seeds=(0, 1, 2), left_out=left_out), resamples=100),
        "fusion",
    )
    assert list(found.ranks) == ["concat_projection", "cross_attention"]
    assert found.about == METHODS
    assert found.note == "gated left out, with one seed to compare"


def test_values_compared_over_different_combinations_have_no_ranks(tmp_path: Path):
    axes = {"fusion": ["concat_projection", "cross_attention", "gated"], "quantizer": ["none", "int8"]}
    study = read_study(write_results(tmp_path, images=30, axes=axes, left_out=(2, 5)), resamples=100)
    found = axis_ranks(study, "fusion")
    assert found.ranks == {}
    table = rank_table(study)
    assert table
    assert "fusion: values were compared over different combinations" in " ".join(table.notes)


def test_without_a_baseline_there_is_no_table(tmp_path: Path):
    axes = {"fusion": ["concat_projection", "gated"]}
    assert rank_table(read_study(write_results(tmp_path, images=10, axes=axes, left_out=(0,)), resamples=50)) is None


def test_the_table_has_a_row_for_each_value_with_its_verdict(study: Study):
    table = rank_table(study)
    assert table
    assert [row["value"] for row in table.rows] == [
        "vit",
        "clip",
        "concat_projection",
        "cross_attention",
        "gated",
        "none",
        "int8",
    ]
    assert table.csv().splitlines()[0] == "axis,value,best,rank,rank.low,rank.high,over_baseline,verdict,about"
    assert "flat prior" in " ".join(table.notes)


def test_answers_that_are_the_same_leave_both_with_half_a_chance(tmp_path: Path):
    folder = write_results(tmp_path, images=30, axes={"quantizer": ["none", "int8"]}, seeds=(0, 1, 2))
    copy_answers(folder, "none", "int8")
    found = axis_ranks(read_study(folder, resamples=100), "quantizer").ranks
    assert [each.best for each in found.values()] == [0.5, 0.5]
    assert [each.rank for each in found.values()] == [Interval(1.5, 1.5, 1.5)] * 2
    assert found["int8"].over_reference == 0.5


def test_a_chance_says_no_more_at_its_ends_than_draws_can_tell():
    assert [chance(each) for each in (0.0, 0.5, 1.0, math.nan)] == ["<0.1", "50.0", ">99.9", "–"]
