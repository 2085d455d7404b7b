"""The permutation test of ranks with trainings that never got there: against scipy, by hand, and on made-up studies."""

from __future__ import annotations

import math

import numpy
import pytest
from scipy import stats

from workbench.statistics.censored_ranks import MOST_DEALS, Arrival, Sooner, compare, least_p


def blocks(*steps: float | None, budget: int = 1000) -> list[list[Arrival]]:
    """One combination of other axes; None for a training that never got there."""
    return [
        [Arrival(budget, False, budget) if each is None else Arrival(int(each), True, int(each) - 1)] for each in steps
    ]


def drawn(rng, seeds: int, cells: int, times: float = 1.0, budget: int = 10**6, every: int = 20):
    """Steps around 300 with luck of each seed, in part the same in all cells; seen every so many steps."""
    found = []
    for _ in range(seeds):
        luck = rng.normal(0, 0.3)
        exact = [times * 300 * math.exp(luck + rng.normal(0, 0.2)) for _ in range(cells)]
        steps = [every * math.ceil(each / every) for each in exact]
        found.append(
            [Arrival(each, True, each - every) if each <= budget else Arrival(budget, False, budget) for each in steps]
        )
    return found


@pytest.mark.parametrize("seed", range(4))
def test_without_ties_and_missing_arrivals_p_is_that_of_the_exact_rank_sum_test(seed):
    rng = numpy.random.default_rng(seed)
    first, second = rng.permutation(1000)[:6] + 1, rng.permutation(1000)[:5] + 1001 * (seed % 2)
    expected = stats.mannwhitneyu(first, second, method="exact").pvalue
    assert compare(blocks(*first), blocks(*second)).p == pytest.approx(expected)


def test_more_deals_than_are_counted_are_drawn_and_agree_with_the_exact_test():
    rng = numpy.random.default_rng(5)
    first, second = rng.permutation(2000)[:10], rng.permutation(2000)[:10] + 300
    assert math.comb(20, 10) > MOST_DEALS
    expected = stats.mannwhitneyu(first, second, method="exact").pvalue
    assert compare(blocks(*first), blocks(*second)).p == pytest.approx(expected, rel=0.15)


def test_who_never_got_there_is_later_than_who_did_and_a_tie_with_who_did_not():
    late = compare(blocks(None, None, None), blocks(100, 200, 1000))
    assert late.p == pytest.approx(least_p(3, 3)) == pytest.approx(0.1)
    assert late.ratio.high == math.inf
    assert math.isnan(late.ratio.estimate), "it is more than tenfold in one pair, and no number in any"
    both = compare(blocks(None, None, None), blocks(None, None, None))
    assert both.p == 1
    assert (both.ratio.low, both.ratio.high) == (0, math.inf)


def test_nothing_is_told_of_a_training_that_had_fewer_steps_than_the_other_needed():
    short, long = blocks(None, None, budget=100), blocks(500, 600)
    assert compare(short, long).p == 1, "it may have been there at 200"
    assert compare(blocks(None, None, budget=700), long).p == least_p(2, 2)


def test_the_ratio_is_the_median_of_all_pairs_and_lies_in_its_interval():
    found = compare(blocks(100, 200, 400, 110), blocks(200, 400, 800, 220))
    assert found.ratio.estimate == pytest.approx(0.5, rel=0.01), "it got there within the step before"
    turned = compare(blocks(200, 400, 800, 220), blocks(100, 200, 400, 110))
    assert turned.ratio.estimate == pytest.approx(1 / found.ratio.estimate)
    assert found.p == turned.p
    assert (1 / turned.ratio.high, 1 / turned.ratio.low) == pytest.approx((found.ratio.low, found.ratio.high))


@pytest.mark.parametrize("seeds", [(1, 1), (1, 5), (5, 1)])
def test_of_one_seed_nothing_is_told(seeds):
    first, second = (blocks(*[100 + each for each in range(count)]) for count in seeds)
    found = compare(first, second)
    assert math.isnan(found.p)
    assert math.isnan(found.ratio.low)
    assert math.isnan(compare([], second).p)


def test_p_and_the_interval_never_contradict_each_other():
    rng = numpy.random.default_rng(1)
    for number in range(60):
        budget = (10**6, 400)[number % 2]
        found = compare(drawn(rng, 5, 1 + number % 3, budget=budget), drawn(rng, 4, 1 + number % 3, 1.5, budget))
        assert (found.p > 0.05) == (found.ratio.low <= 1 <= found.ratio.high) or _touches(found)


def _touches(found: Sooner) -> bool:
    """An end at one: steps are seen every twenty, and many are equal."""
    return math.isclose(found.ratio.high, 1) or math.isclose(found.ratio.low, 1)


def test_of_trainings_that_were_there_at_the_first_look_no_ratio_is_told():
    at_once = [[Arrival(20, True, 0)] for _ in range(5)]
    found = compare(at_once, at_once)
    assert found.p == 1
    assert (found.ratio.low, found.ratio.high) == (0, math.inf), "one may need two steps and the other twenty"


def test_coarse_looks_make_a_wide_interval_and_never_a_single_point():
    first = [[Arrival(40, True, 20)], *([Arrival(20, True, 0)] for _ in range(5))]
    second = [[Arrival(60, True, 40)] if each % 2 else [Arrival(60, False, 60)] for each in range(6)]
    found = compare(first, second)
    assert found.p == least_p(6, 6)
    assert (found.ratio.low, found.ratio.high) == (0, 0.5), "from 20 to 40 beside at least 40, and sooner"
    assert math.isnan(found.ratio.estimate) or found.ratio.low <= found.ratio.estimate <= found.ratio.high


def test_who_is_looked_at_seldom_is_not_called_later():
    often = [[Arrival(20 * each, True, 20 * each - 20)] for each in (6, 7, 8, 9, 10)]
    seldom = [[Arrival(200, True, 0)] for _ in range(5)]
    assert compare(often, seldom).p == 1, "they may have been there at the same steps"
    assert compare(often, [[Arrival(400, True, 200)] for _ in range(5)]).p == least_p(5, 5)


@pytest.mark.parametrize(("every", "other"), [(100, 100), (200, 200), (100, 20)])
def test_the_true_ratio_is_held_however_seldom_somebody_looks(every, other):
    rng = numpy.random.default_rng(every + other)
    equal = [compare(drawn(rng, 5, 1, every=every), drawn(rng, 5, 1, every=other)) for _ in range(120)]
    assert sum(each.p < 0.05 for each in equal) <= 12
    apart = [compare(drawn(rng, 5, 1, 0.5, every=every), drawn(rng, 5, 1, every=other)) for _ in range(120)]
    assert sum(each.ratio.low <= 0.5 <= each.ratio.high for each in apart) >= 108


@pytest.mark.parametrize(("cells", "budget"), [(1, 10**6), (1, 320), (3, 350)])
def test_luck_is_called_real_seldom_and_the_true_ratio_is_held(cells, budget):
    """5 % of 120 studies are 6, with a standard deviation of 2.4."""
    rng = numpy.random.default_rng(cells)
    equal = [compare(drawn(rng, 5, cells, budget=budget), drawn(rng, 5, cells, budget=budget)) for _ in range(120)]
    assert sum(each.p < 0.05 for each in equal) <= 12
    apart = [compare(drawn(rng, 5, cells, 0.5, budget), drawn(rng, 5, cells, 1.0, budget)) for _ in range(120)]
    assert sum(each.ratio.low <= 0.5 <= each.ratio.high for each in apart) >= 108
    assert sum(each.p < 0.05 for each in apart) >= 70, "half the steps are found"
    assert numpy.nanmedian([each.ratio.estimate for each in apart]) == pytest.approx(0.5, abs=0.06)
    assert sum(math.isnan(each.ratio.estimate) for each in apart) <= 40, "though some never got there"
