"""Sums of squares are those of statsmodels, and intervals cover what they say."""

from __future__ import annotations

import numpy
import pandas
import pytest
from scipy import stats
from statsmodels.formula.api import ols
from statsmodels.stats.anova import anova_lm

from workbench.statistics.variance_shares import score_shares, trial_parts


def of_statsmodels(scores: numpy.ndarray, names: str, formula: str) -> pandas.DataFrame:
    """Type II, by the names of the axes and `s` for the seed."""
    columns = [*names, "s"]
    rows = [dict(zip(columns, map(str, place), strict=True)) | {"y": y} for place, y in numpy.ndenumerate(scores)]
    return anova_lm(ols(formula, pandas.DataFrame(rows)).fit(), typ=2)


def test_sums_of_squares_of_two_axes_and_seeds_are_those_of_statsmodels():
    scores = numpy.random.default_rng(0).normal(0.8, 0.05, (3, 2, 4))
    found = trial_parts(scores, ["a", "b"], strata=6)
    table = of_statsmodels(scores, "ab", "y ~ C(a) * C(b) + C(s)")
    told = {":".join(f"C({name})" for name in part.factors): part for part in (*found["axis"], *found["pair"])}
    for name, part in {**told, "C(s)": found["seed"][0], "Residual": found["luck"][0]}.items():
        assert part.sum_of_squares == pytest.approx(table.loc[name, "sum_sq"], rel=1e-9)
        assert part.freedom == table.loc[name, "df"]
        assert part.share == pytest.approx(table.loc[name, "sum_sq"] / table["sum_sq"].sum(), rel=1e-9)
    assert found["higher"] == []
    assert sum(part.share for parts in found.values() for part in parts) == pytest.approx(1)


def test_of_three_axes_what_all_do_together_is_apart_from_what_seeds_do():
    scores = numpy.random.default_rng(1).normal(0.8, 0.05, (2, 3, 2, 3))
    found = trial_parts(scores, ["a", "b", "c"], strata=12)
    table = of_statsmodels(scores, "abc", "y ~ C(a) * C(b) * C(c) + C(s)")
    for part in found["pair"]:
        assert part.sum_of_squares == pytest.approx(table.loc["C({}):C({})".format(*part.factors), "sum_sq"], rel=1e-9)
    assert found["higher"][0].sum_of_squares == pytest.approx(table.loc["C(a):C(b):C(c)", "sum_sq"], rel=1e-9)
    assert found["luck"][0].sum_of_squares == pytest.approx(table.loc["Residual", "sum_sq"], rel=1e-9)
    pairs = of_statsmodels(scores, "abc", "y ~ (C(a) + C(b) + C(c))**2 + C(s)")
    rest = found["higher"][0].sum_of_squares + found["luck"][0].sum_of_squares
    assert rest == pytest.approx(pairs.loc["Residual", "sum_sq"], rel=1e-9)


def test_an_axis_is_held_against_what_it_does_with_the_seed():
    """The yardstick is statsmodels' sum of squares of axis and seed together, and the bounds are the noncentral F's."""
    scores = numpy.random.default_rng(2).normal(0.8, 0.02, (3, 2, 4)) + numpy.array([0, 0.03, 0.05])[:, None, None]
    found = trial_parts(scores, ["a", "b"], strata=6)["axis"][0]
    table = of_statsmodels(scores, "ab", "y ~ C(a) + C(b) + C(s) + C(a):C(b) + C(a):C(s) + C(b):C(s)")
    square = table.loc["C(a):C(s)", "sum_sq"] / table.loc["C(a):C(s)", "df"]
    own, total = found.sum_of_squares, ((scores - scores.mean()) ** 2).sum()
    left = own - 2 * square
    assert found.estimated.estimate == pytest.approx(left / (left + total - own))
    for bound, below in ((found.estimated.low, 0.975), (found.estimated.high, 0.025)):
        noncentrality = bound / (1 - bound) * (total - own) / square
        assert stats.ncf.cdf(own / 2 / square, 2, 6, noncentrality) == pytest.approx(below, abs=1e-6)
    assert found.estimated.low < found.estimated.estimate < found.estimated.high


def test_a_true_zero_is_seldom_more_than_luck_though_some_trials_share_their_training():
    """Of two values of `b` the one is made of the other's trained model, so that `a` has all the luck, `b` hardly any:
    one yardstick for both would call `a` real in 23 %."""
    random = numpy.random.default_rng(3)
    above = {"a": 0, "b": 0}
    for _ in range(400):
        trained = random.normal(0, 0.03, (2, 1, 3))
        scores = 0.8 + trained + random.normal(0, 0.003, (2, 2, 3))
        for part in trial_parts(scores, ["a", "b"], strata=2)["axis"]:
            above[part.factors[0]] += part.estimated.low > 0
    assert max(above.values()) <= 24  # 2.5 % are 10: more than 24 come in one of 20,000 runs


def test_an_interval_covers_the_share_that_an_axis_truly_has():
    random, covered = numpy.random.default_rng(4), 0
    effects = numpy.array([-0.02, 0, 0.02])
    for _ in range(300):
        scores = 0.8 + effects[:, None] + random.normal(0, 0.02, (3, 4))
        [part] = trial_parts(scores, ["a"], strata=3)["axis"]
        rest = ((scores - scores.mean()) ** 2).sum() - part.sum_of_squares
        truth = 4 * (effects**2).sum()
        covered += part.estimated.low <= truth / (truth + rest) <= part.estimated.high
    assert covered >= 270


def test_the_interval_of_a_seeds_share_is_of_the_chi_squared_distribution_and_wide_where_training_is_shared():
    scores = numpy.random.default_rng(5).normal(0.8, 0.02, (2, 3, 4))
    apart, shared = (trial_parts(scores, ["a", "b"], strata)["luck"][0] for strata in (6, 1))
    total = ((scores - scores.mean()) ** 2).sum()
    for part, freedom in ((apart, 15), (shared, 3)):
        own = part.sum_of_squares
        for bound, quantile in ((part.estimated.low, 0.975), (part.estimated.high, 0.025)):
            assert bound / (1 - bound) * (total - own) == pytest.approx(
                own * freedom / stats.chi2.ppf(quantile, freedom)
            )
    assert shared.estimated.low < apart.estimated.low < apart.estimated.high < shared.estimated.high


def test_with_one_seed_nothing_is_known_of_seeds_and_nothing_estimated():
    found = trial_parts(numpy.array([[0.8], [0.9], [0.7]]), ["a"], strata=3)
    assert found["seed"] == found["luck"] == []
    assert found["axis"][0].share == pytest.approx(1)
    assert numpy.isnan(found["axis"][0].estimated.estimate)


def test_scores_that_are_all_the_same_have_no_shares_and_no_residue_counts():
    for scores in (numpy.full((3, 2, 3), 1 / 3), numpy.full((2, 2), 0.1) * numpy.array([3, 1])[:, None]):
        found = trial_parts(scores, ["a", "b"][: scores.ndim - 1], strata=1)
        assert found["seed"][0].sum_of_squares == found["luck"][0].sum_of_squares == 0
    assert numpy.isnan(trial_parts(numpy.full((3, 3), 1 / 3), ["a"], 1)["axis"][0].share)


def test_shares_of_single_scores_are_those_of_a_two_way_table():
    """Two-way analysis of variance by statsmodels of trial and image, an image as often as it has questions."""
    random = numpy.random.default_rng(6)
    counts, scores = random.integers(1, 4, 20), random.uniform(size=(4, 20))
    rows = [
        {"t": str(t), "p": str(p), "y": scores[t, p]} for t in range(4) for p in range(20) for _ in range(counts[p])
    ]
    fitted = ols("y ~ C(t) + C(p)", pandas.DataFrame(rows)).fit()
    table = anova_lm(fitted, typ=2)["sum_sq"]
    found = score_shares(scores, counts.astype(float), 100)
    expected = [table[name] / table.sum() for name in ("C(t)", "C(p)", "Residual")]
    assert [found.trials, found.image.estimate, found.together.estimate] == pytest.approx(expected)


def test_the_interval_of_an_images_share_covers_it_and_narrows_with_more_images():
    random, covered, widths = numpy.random.default_rng(7), 0, {}
    truth = (1 + 0.5 / 5) / 1.5  # of five trials: images' own variance 1, and a fifth of the 0.5 of each trial's
    for images in (100, 400):
        for _ in range(100):
            scores = random.normal(0, 1, images) + random.normal(0, 0.5**0.5, (5, images))
            found = score_shares(scores, numpy.ones(images), 200).image
            covered += found.low <= truth <= found.high
            widths[images] = found.high - found.low
    assert covered >= 176  # of 200; 190 expected
    assert widths[400] < 0.7 * widths[100]
