"""Metrics of all answers together are counted, summed and resampled as means are."""

from __future__ import annotations

import numpy
import pandas
import pytest

from tests.broken_plugins import Counting
from tests.reports.made_counts import YES_NO, asked
from workbench.contracts.example import Prediction
from workbench.reports.metric_samples import Reading, read_samples
from workbench.storage.records import COUNTS, SCORE


def frame(predictions: list[Prediction], metric) -> pandas.DataFrame:
    """As `read_predictions` gives it."""
    return pandas.DataFrame(
        {
            "condition": "image",
            "image": [each.example.image for each in predictions],
            "group": [each.example.group for each in predictions],
            SCORE + "m": metric.scores(predictions),
            COUNTS + "m": [list(each) for each in metric.counts(predictions)],
        }
    )


def test_a_mean_that_is_counted_has_the_very_resamples_of_a_mean_of_scores():
    metric = Counting()
    frames = [frame(asked(60, seed), metric) for seed in range(3)]
    by_score = read_samples([Reading("m", True)], frames, ["0"] * 3, 50)["m"]
    by_count = read_samples([Reading("m", True, metric)], frames, ["0"] * 3, 50)["m"]
    assert numpy.array_equal(by_score.estimates, by_count.estimates)
    assert numpy.array_equal(by_score.replicates, by_count.replicates)


def test_f1_spreads_over_images_as_the_delta_method_says():
    predictions = asked(900, 1)
    found = read_samples([Reading("m", True, YES_NO)], [frame(predictions, YES_NO)], ["0"], 4_000)["m"]
    counts = numpy.array(YES_NO.counts(predictions)).reshape(300, 3, 5).sum(1)  # by image
    said, true, both = counts[:, 2], counts[:, 3], counts[:, 4]
    f1 = 2 * both.sum() / (said + true).sum()
    pull = (2 * both - f1 * (said + true)) / (said + true).sum()
    assert found.estimates[0] == pytest.approx(f1)
    assert found.replicates[:, 0].std() == pytest.approx(numpy.sqrt(pull @ pull), rel=0.05)
