"""Numbers have honest digits, a unit, and a dash where there is nothing."""

from __future__ import annotations

import math

import pytest

from workbench.reports.number_format import duration, fixed, megabytes, p_value, share, signed, significant


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (fixed(-0.04, 1), "0.0"),
        (fixed(-0.06, 1), "−0.1"),
        (fixed(math.nan, 1), "–"),
        (signed(0.06, 1), "+0.1"),
        (signed(0.04, 1), "0.0"),
        (significant(1310.4), "1,310"),
        (significant(6.144), "6.14"),
        (significant(0.00123), "0.00123"),
        (significant(0), "0"),
        (megabytes(5_240_000), "5.24"),
        (share(0.334), "33.4"),
        (share(0.0029), "0.29"),
        (duration(4.26), "4.3 s"),
        (duration(59.6), "1 min 0 s"),
        (duration(599.6), "10 min"),
        (duration(3590), "1 h 0 min"),
        (duration(7500), "2 h 5 min"),
        (p_value(0.0004), "<0.001"),
        (p_value(0.0312), "0.031"),
        (p_value(0.52), "0.52"),
    ],
)
def test_numbers_are_written_for_people(written: str, expected: str):
    assert written == expected
