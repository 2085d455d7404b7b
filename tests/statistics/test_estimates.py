"""Intervals cover what they promise, differences are paired, and many comparisons are paid for."""

from __future__ import annotations

import math

import numpy
import pytest
from scipy import stats
from statsmodels.stats.multitest import multipletests

from tests.statistics.made_samples import sample_of
from workbench.statistics.bootstrap import resampled_means
from workbench.statistics.estimates import Sample, estimate_of, holm


def test_the_interval_of_a_mean_is_the_normal_interval_of_the_textbook():
    scores = numpy.random.default_rng(3).normal(0.3, 1.0, (1, 400))
    found = estimate_of(sample_of(scores, resamples=20_000), numpy.ones(1), ["only"])
    error = scores.std() / math.sqrt(400)
    assert found.error == pytest.approx(error, rel=0.02)
    assert found.interval.low == pytest.approx(scores.mean() - 1.96 * error, abs=0.05 * error)
    assert found.interval.high == pytest.approx(scores.mean() + 1.96 * error, abs=0.05 * error)
    assert found.p == pytest.approx(stats.ttest_1samp(scores[0], 0)[1], rel=0.25)


def test_with_seed_noise_alone_the_interval_is_students():
    """Every image scores alike, so only the three seeds differ: the t interval of three numbers."""
    values = numpy.array([0.70, 0.74, 0.69])
    sample = sample_of(numpy.repeat(values[:, None], 50, axis=1), ["0", "1", "2"], resamples=50_000)
    found = estimate_of(sample, numpy.full(3, 1 / 3), ["cell"] * 3)
    low, high = stats.t.interval(0.95, 2, loc=values.mean(), scale=stats.sem(values))
    assert found.interval.low == pytest.approx(low, abs=0.002)
    assert found.interval.high == pytest.approx(high, abs=0.002)
    assert found.p == pytest.approx(stats.ttest_1samp(values, 0)[1], rel=1e-6)


def test_questions_of_one_image_are_not_counted_as_independent():
    """Ten equal questions an image say no more than one: the interval must not shrink."""
    scores = (numpy.random.default_rng(1).uniform(size=(1, 200)) < 0.7).astype(float)
    one = estimate_of(sample_of(scores), numpy.ones(1), ["only"])
    means = resampled_means(10 * scores, numpy.full_like(scores, 10))
    ten = estimate_of(Sample(scores.mean(1), means, ["0"], 200), numpy.ones(1), ["only"])
    assert ten.error == pytest.approx(one.error)


def test_what_is_hard_for_both_cancels_in_a_paired_difference():
    random = numpy.random.default_rng(5)
    hard = random.normal(size=300)
    sample = sample_of(numpy.stack([hard, hard + 0.05 + 0.1 * random.normal(size=300)]))
    alone = estimate_of(sample, numpy.array([0.0, 1.0]), ["a", "b"])
    paired = estimate_of(sample, numpy.array([-1.0, 1.0]), ["a", "b"])
    assert paired.error < alone.error / 5
    assert paired.p < 0.001


@pytest.mark.parametrize("seeds", [1, 3])
def test_intervals_cover_the_truth_about_95_times_in_100(seeds: int):
    """Simulated studies whose truth is known; with seeds, their noise is as large as that of the images."""
    random = numpy.random.default_rng(11 + seeds)
    studies, images, covered = 400, 100, 0
    for _ in range(studies):
        hard = random.normal(size=images)
        luck = random.normal(size=(seeds, 1)) * (0.1 if seeds > 1 else 0.0)
        scores = hard + luck + 0.3 * random.normal(size=(seeds, images))
        names = [str(each) for each in range(seeds)]
        interval = estimate_of(sample_of(scores, names, 300), numpy.full(seeds, 1 / seeds), ["cell"] * seeds).interval
        covered += interval.low <= 0 <= interval.high
    assert 0.92 <= covered / studies <= 0.99


@pytest.mark.parametrize("seeds", [2, 5])
def test_seeds_that_agree_by_luck_prove_nothing(seeds: int):
    """Studies of two equal values. The luck of a seed is five times that of the images; in a few studies the seeds
    happen to agree, and nothing but the images would seem to be uncertain."""
    random = numpy.random.default_rng(seeds)
    studies, ps, covered = 3000, [], 0
    weights = numpy.repeat([1 / seeds, -1 / seeds], seeds)
    names, groups = [str(each) for each in range(seeds)] * 2, ["one"] * seeds + ["other"] * seeds
    for _ in range(studies):
        luck = numpy.concatenate([5 * random.normal(size=seeds), numpy.zeros(seeds)]) + random.normal() * (weights > 0)
        images = random.normal(size=(100, 1)) * (weights > 0)
        found = estimate_of(Sample(luck, luck + images, names, 1000), weights, groups)
        ps.append(found.p)
        covered += found.interval.low <= 0 <= found.interval.high
    assert 0.93 <= covered / studies <= 0.97
    for level in (0.05, 0.01, 0.001):
        assert sum(p < level for p in ps) <= studies * level + 3 * math.sqrt(studies * level)


def test_seeds_that_disagree_widen_the_interval():
    scores = 0.2 * numpy.random.default_rng(4).normal(size=(3, 200))
    names, weights, cell = ["0", "1", "2"], numpy.full(3, 1 / 3), ["cell"] * 3
    calm = estimate_of(sample_of(scores, names), weights, cell)
    wild = estimate_of(sample_of(scores + numpy.array([[-0.2], [0.0], [0.2]]), names), weights, cell)
    assert wild.error > 3 * calm.error


@pytest.mark.parametrize("values", [[0.01, 0.04, 0.03, 0.005], [0.5], [0.2, 0.2, 0.9], [0.04, 0.001, 0.6, 0.02, 0.02]])
def test_holm_agrees_with_statsmodels(values: list[float]):
    assert holm(values) == pytest.approx(multipletests(values, method="holm")[1])


def test_a_comparison_that_could_not_be_made_is_not_paid_for():
    found = holm([math.nan, 0.01, 0.03])
    assert math.isnan(found[0])
    assert found[1:] == pytest.approx([0.02, 0.03])


def test_seeds_that_agree_to_the_last_question_are_no_surer_than_the_images():
    """Two seeds of a pair with a common base, each 3 of 200 questions better: 10 images better, 7 worse."""
    scores = numpy.full((4, 200), 1.0)  # baseline with seeds 0 and 1, then the other value
    for seed in (0, 1):
        own = slice(20 * seed, 20 * seed + 10), slice(20 * seed + 10, 20 * seed + 17)
        scores[seed, own[0]], scores[2 + seed, own[1]] = 0.0, 0.0
    sample = sample_of(scores, seeds=["0", "1", "0", "1"])
    found = estimate_of(sample, numpy.array([-0.5, -0.5, 0.5, 0.5]), [0, 0, 1, 1])
    assert found.luck
    assert found.interval.estimate == pytest.approx(0.015)
    assert found.error == pytest.approx(math.sqrt(34) / 2 / 200, rel=0.05)
    assert found.p > 0.25  # 20 questions against 14
    assert found.interval.low < 0
