"""Comparisons that are made together are paid for, and no more than they have to be."""

from __future__ import annotations

import math

import numpy
import pytest
from scipy import stats

from workbench.statistics.estimates import Estimate, Interval, weighted_holm
from workbench.statistics.families import corrected

BASELINE = numpy.random.default_rng(0).standard_normal(40_000)


def estimates(statistics: list[float], common: float) -> list[Estimate]:
    """Normal estimates, any two of which have this correlation."""
    random, found = numpy.random.default_rng(1), []
    for each in statistics:
        own = random.standard_normal(len(BASELINE))
        over_images = math.sqrt(common) * BASELINE + math.sqrt(1 - common) * own
        p = 2 * float(stats.norm.sf(abs(each)))
        found.append(Estimate(Interval(each, each - 2, each + 2), 1.0, p, math.inf, True, over_images, {}))
    return found


def test_against_one_baseline_it_is_dunnetts_test():
    """Three values, each as exact as the baseline: 2.35 is the 5 % point of Dunnett's two-sided table."""
    assert corrected(estimates([2.349, 0.0, 0.0], 0.5), [1] * 3)[0] == pytest.approx(0.05, abs=0.004)


def test_it_is_never_more_than_holms_and_never_less_than_alone():
    found = estimates([2.6, 2.2, -1.0, 4.5], 0.5)
    plain = weighted_holm([each.p for each in found], [1] * 4)
    for p, each, most in zip(corrected(found, [1] * 4), found, plain, strict=True):
        assert each.p <= p <= most


def test_what_weighs_more_pays_less():
    found = estimates([2.3, 2.3], 0.0)
    light, heavy = corrected(found, [1, 9])
    assert heavy <= light
    assert heavy < corrected(found, [1, 1])[1]
    assert weighted_holm([0.04, 0.004], [9, 1]) == pytest.approx([0.04, 0.04])


def test_what_could_not_be_compared_and_what_is_equal_costs_nothing():
    nothing = Estimate(Interval(math.nan, math.nan, math.nan), math.nan, math.nan)
    alone = estimates([2.1], 0.0)
    p = corrected([nothing, *alone], [1, 1])
    assert math.isnan(p[0])
    assert p[1] == alone[0].p


def test_the_same_comparisons_give_the_same_p():
    found = estimates([2.0, 2.1, 2.2], 0.3)
    assert corrected(found, [1, 1, 1]) == corrected(found, [1, 1, 1])
