"""Seeds are paired where trained stages are shared, and only there; of one seed nothing is known."""

from __future__ import annotations

import math

import numpy
import pytest
from scipy import stats
from statsmodels.stats.weightstats import CompareMeans, DescrStatsW

from workbench.statistics.estimates import Sample, estimate_of
from workbench.statistics.seed_noise import Spread, pooled_spread, seed_noise

ONE, OTHER = [0.70, 0.74, 0.69, 0.71], [0.60, 0.69, 0.61]


def without_images(scores: list[float], seeds: list[str]) -> Sample:
    """A sample whose seeds alone are uncertain."""
    estimates = numpy.array(scores)
    return Sample(estimates, numpy.tile(estimates, (20, 1)), seeds, 10_000)


def compared(one: list[float], other: list[float], shared: bool, spread: Spread | None = None):
    seeds = [str(place) for scores in (one, other) for place in range(len(scores))]
    weights = numpy.array([1 / len(one)] * len(one) + [-1 / len(other)] * len(other))
    groups = ["one"] * len(one) + ["other"] * len(other)
    return estimate_of(without_images([*one, *other], seeds), weights, groups, [0] * 7 if shared else groups, spread)


def test_values_that_share_nothing_are_compared_by_welchs_test():
    found = compared(ONE, OTHER, shared=False)
    assert found.p == pytest.approx(stats.ttest_ind(ONE, OTHER, equal_var=False)[1], rel=1e-9)
    low, high = CompareMeans(DescrStatsW(ONE), DescrStatsW(OTHER)).tconfint_diff(usevar="unequal")
    assert (found.interval.low, found.interval.high) == pytest.approx((low, high), abs=0.01)
    assert found.luck


def test_values_that_share_a_trained_stage_are_compared_as_pairs():
    one, other = ONE[:3], OTHER
    weights, groups = numpy.repeat([1 / 3, -1 / 3], 3), ["one"] * 3 + ["other"] * 3
    found = estimate_of(without_images([*one, *other], ["0", "1", "2"] * 2), weights, groups, [0] * 6)
    assert found.p == pytest.approx(stats.ttest_rel(one, other)[1], rel=1e-9)


def test_one_seed_tells_nothing_however_many_the_other_has():
    found = compared(ONE, OTHER[:1], shared=False)
    assert not found.luck
    assert found.error == 0
    assert not found.pulls


def test_a_spread_from_elsewhere_stands_in_for_the_seed_that_is_missing():
    found = compared(ONE[:1], OTHER[:1], shared=False, spread=Spread(0.03, 8))
    assert found.luck
    assert found.error == pytest.approx(0.03 * math.sqrt(2))
    assert found.freedom == 8
    assert found.p == pytest.approx(2 * stats.t.sf(0.1 / found.error, 8))


def test_an_equal_spread_is_that_of_the_pooled_t_test():
    spread = pooled_spread([ONE, OTHER])
    assert spread is not None
    found = compared(ONE, OTHER, shared=False, spread=Spread(spread.deviation, spread.freedom, everywhere=True))
    pooled = stats.ttest_ind(ONE, OTHER)[0]
    assert spread.freedom == 5
    assert float(numpy.mean(ONE) - numpy.mean(OTHER)) / found.error == pytest.approx(pooled)


def test_a_spread_of_single_seeds_is_none():
    assert pooled_spread([[0.5], [0.7]]) is None


def test_what_image_and_seed_do_together_is_counted_once():
    """Scores that are nothing but chance of image and seed: the spread of the seeds' means is the whole error."""
    random, errors = numpy.random.default_rng(3), []
    weights, groups, seeds = numpy.repeat([0.25, -0.25], 4), ["one"] * 4 + ["other"] * 4, list("01234567")
    for _ in range(200):
        scores = random.normal(size=(8, 400))
        draws = random.multinomial(400, numpy.full(400, 1 / 400), 200) / 400
        sample = Sample(scores.mean(1), draws @ scores.T, seeds, 400)
        errors.append(estimate_of(sample, weights, groups, groups).error ** 2)
    assert math.sqrt(numpy.mean(errors)) == pytest.approx(math.sqrt(2 / 4 / 400), rel=0.1)


def test_seeds_that_some_have_and_some_have_not_are_trusted_no_more_than_the_fewest():
    """One stratum, three seeds of the one and two of the other."""
    scores = numpy.array([0.70, 0.74, 0.69, 0.60, 0.69])
    weights, groups = numpy.array([1 / 3] * 3 + [-1 / 2] * 2), ["one"] * 3 + ["other"] * 2
    found = seed_noise(scores, numpy.tile(scores, (5, 1)), ["0", "1", "2", "0", "1"], weights, groups, [0] * 5)
    assert found.freedom == 1
