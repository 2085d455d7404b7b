"""Near 0 and 100 % an interval does not vanish, and covers what it promises."""

from __future__ import annotations

import numpy
import pytest
from statsmodels.stats.proportion import proportion_confint

from tests.statistics.made_samples import sample_of
from workbench.statistics.estimates import Sample, estimate_of
from workbench.statistics.proportions import clopper_pearson, difference_reach, share_interval


@pytest.mark.parametrize(("right", "count"), [(0, 40), (1, 40), (20, 40), (39, 40), (40, 40), (9_673, 9_673)])
def test_the_interval_of_independent_questions_is_that_of_statsmodels(right: int, count: int):
    assert clopper_pearson(right / count, count, 0.95) == pytest.approx(
        proportion_confint(right, count, method="beta"), abs=1e-12
    )


def test_ten_thousand_right_answers_on_a_thousand_images_are_worth_a_thousand():
    sums = numpy.stack([numpy.full((1, 1000), 9.673), numpy.full((1, 1000), 9.673)], 1)
    sample = Sample(numpy.ones(1), numpy.ones((50, 1)), ["0"], 1000, (0.0, 1.0), sums)
    interval = estimate_of(sample, numpy.ones(1), ["only"]).interval
    assert interval.high == 1.0
    assert interval.low == pytest.approx(0.996318, abs=1e-5)


@pytest.mark.parametrize("truth", [0.003, 0.9, 0.99, 0.997, 0.999])
@pytest.mark.parametrize(("images", "questions"), [(40, 1), (40, 10), (200, 10)])
def test_the_interval_of_a_share_covers_it_however_near_it_is_to_an_end(truth: float, images: int, questions: int):
    """Half of what decides an answer lies in its image, so that they fail together."""
    random, covered = numpy.random.default_rng(4), 0
    threshold = numpy.quantile(random.standard_normal(200_000), truth)
    for _ in range(300):
        image = random.standard_normal((images, 1)) * numpy.sqrt(0.5)
        scores = (image + numpy.sqrt(0.5) * random.standard_normal((images, questions)) < threshold).astype(float)
        sums = scores.sum(1)
        counts = numpy.full(images, float(questions))
        draws = random.multinomial(images, numpy.full(images, 1 / images), 200)
        means = (draws @ sums / (draws @ counts))[:, None]
        sample = Sample(
            numpy.array([scores.mean()]), means, ["0"], images, (0.0, 1.0), numpy.stack([sums, counts])[None]
        )
        interval = estimate_of(sample, numpy.ones(1), ["only"]).interval
        covered += interval.low <= truth <= interval.high
    assert covered / 300 >= 0.93


def test_where_no_image_differs_a_difference_is_still_not_known_to_be_zero():
    below, above = difference_reach(numpy.zeros(1000), 0.95)
    assert below == above == pytest.approx(1 - 0.025**0.001, rel=1e-6)


def test_with_many_images_that_differ_the_reach_is_no_more_than_the_normal_one():
    contrast = numpy.repeat([1.0, 0.0, -1.0], [300, 400, 300])
    below, above = difference_reach(contrast, 0.95)
    normal = 1.96 * contrast.std() / numpy.sqrt(1000)
    assert 0.75 * normal < below < normal
    assert above == pytest.approx(below)


def test_scores_between_right_and_wrong_are_worth_more_questions():
    """Scores that hardly differ leave a narrow interval, though right and wrong answers would leave a wide one."""
    scores = numpy.clip(numpy.random.default_rng(0).normal(0.5, 0.05, (1, 400)), 0, 1)
    free = sample_of(scores)
    sums = numpy.stack([scores, numpy.ones_like(scores)], 1)
    interval = estimate_of(Sample(*vars(free).values()), numpy.ones(1), ["only"]).interval
    bound = estimate_of(
        Sample(free.estimates, free.replicates, ["0"], 400, (0.0, 1.0), sums), numpy.ones(1), ["only"]
    ).interval
    assert bound.high - bound.low == pytest.approx(interval.high - interval.low, rel=0.1)


def test_few_failures_are_not_taken_for_independent_ones():
    few = share_interval(0.999, 0.0003, numpy.inf, 1000, 1, 0.95)
    many = share_interval(0.999, 0.0003, numpy.inf, 1000, 500, 0.95)
    assert few[0] < many[0]
