"""Whole images are drawn, and the same ones each time."""

from __future__ import annotations

import numpy
import pytest

from workbench.statistics.bootstrap import image_draws, resampled_means


def test_images_with_more_questions_weigh_more():
    sums, counts = numpy.array([[3.0, 0.0]]), numpy.array([[3.0, 1.0]])
    means = resampled_means(sums, counts, 500)
    assert set(numpy.round(means[:, 0], 6)) == {0.0, 0.75, 1.0}


def test_resamples_are_the_same_each_time():
    sums = numpy.random.default_rng(0).uniform(size=(2, 30))
    assert numpy.array_equal(resampled_means(sums, numpy.ones_like(sums)), resampled_means(sums, numpy.ones_like(sums)))


def test_every_resample_draws_as_many_images_as_there_are():
    pieces = list(image_draws(7, resamples=300))
    draws = numpy.concatenate(pieces)
    assert draws.shape == (300, 7)
    assert set(draws.sum(1)) == {7.0}
    assert draws.mean() == pytest.approx(1.0)
    assert not numpy.array_equal(draws, numpy.concatenate(list(image_draws(7, resamples=300, seed=1))))


def test_a_column_without_questions_in_a_resample_is_no_number_there():
    means = resampled_means(numpy.array([[1.0, 0.0]]), numpy.array([[1.0, 0.0]]), 200)[:, 0]
    assert numpy.isnan(means).any()
    assert set(means[~numpy.isnan(means)]) == {1.0}
