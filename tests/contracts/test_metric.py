"""A metric of all answers together: its totals become numbers, also where there is nothing to divide by."""

from __future__ import annotations

import numpy

from workbench.contracts.metric import Metric, summarized


class Share(Metric):
    """Hits of tries, and the misses beside it."""

    def summary(self, totals: numpy.ndarray) -> numpy.ndarray:
        return totals[..., 0] / totals[..., 1]

    def details(self, totals: numpy.ndarray) -> dict[str, numpy.ndarray]:
        return {"missed": 1 - totals[..., 0] / totals[..., 1]}


def test_a_metric_comes_with_its_details_and_has_no_value_without_any_answer(recwarn):
    totals = numpy.array([[1.0, 4.0], [0.0, 0.0]])
    found = summarized(Share(), totals)
    assert set(found) == {"", "missed"}
    numpy.testing.assert_array_equal(found[""], [0.25, numpy.nan])
    numpy.testing.assert_array_equal(found["missed"], [0.75, numpy.nan])
    assert not recwarn.list


def test_a_metric_that_is_a_mean_of_scores_has_no_counts_and_no_details():
    assert Metric().counts([]) is None
    assert Metric().details(numpy.zeros(1)) == {}
