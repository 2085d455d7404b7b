"""A metric has the decimals that its intervals can tell apart."""

from __future__ import annotations

import pytest

from workbench.reports.metric_format import Scale, format_for
from workbench.statistics.estimates import Interval


def test_percentages_get_a_second_decimal_only_where_the_intervals_are_narrow_enough_to_mean_it():
    scale = Scale(higher_is_better=True, percent=True)
    wide = [Interval(0.9321, 0.92, 0.94), Interval(0.9324, 0.92, 0.94)]
    narrow = [Interval(0.99812, 0.9979, 0.9983), Interval(0.99823, 0.9980, 0.9984)]
    assert format_for("m", scale, wide).value(0.9321) == "93.2"
    assert format_for("m", scale, narrow).value(0.99812) == "99.81"
    assert format_for("m", Scale(False, False), wide).value(0.25) == "0.250"


@pytest.mark.parametrize(
    ("low", "high", "shown"),
    [
        (-0.01, 0.02, "+0.5 [-1.0, +2.0]"),
        (-0.0001, 0.0002, "+0.01 [-0.01, +0.02]"),
        (-0.0009, -0.00003, "-0.046 [-0.090, -0.003]"),  # not up to 0.0: the verdict says `worse`
        (0.00004, 0.02, "+1.002 [+0.004, +2.000]"),
        (0.0, 0.02, "+1.0 [0.0, +2.0]"),
        (0.0, 0.0, "0.0 [0.0, 0.0]"),
    ],
)
def test_a_difference_has_the_decimals_that_its_interval_needs(low: float, high: float, shown: str):
    form = format_for("m", Scale(True, True), [Interval(0.9, 0.88, 0.92)])
    gap = Interval((low + high) / 2, low, high)
    assert form.difference(gap).replace("\N{MINUS SIGN}", "-") == shown
