"""Tomorrow comes for the body alone."""

from __future__ import annotations

import time

import pytest

from workbench.conformance.shifted_clock import ANOTHER_DAY, another_day


def test_it_is_tomorrow_in_the_body_and_today_again_after_it():
    clock, now = time.time, time.time()
    with pytest.raises(ZeroDivisionError), another_day():
        assert time.time() - now == pytest.approx(ANOTHER_DAY, abs=1)
        assert time.time_ns() / 1e9 == pytest.approx(time.time(), abs=1)
        raise ZeroDivisionError
    assert time.time is clock
    assert time.time() - now < ANOTHER_DAY / 2


def test_it_is_another_half_of_the_second():
    assert ANOTHER_DAY % 1 == 0.5
