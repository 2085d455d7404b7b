"""A part that answers otherwise from the cache than in a full pass is found out."""

from __future__ import annotations

import pytest

from tests import broken_plugins as broken
from tests.conformance.tried import result_of


@pytest.mark.parametrize(
    ("factory", "rule"),
    [
        (broken.CountsPlaces, "answers from the cache equal the full pass"),
    ],
)
def test_a_broken_rule_is_found(factory, rule):
    result = result_of("fusion", factory, rule)
    assert not result.passed
    assert len(result.explanation) > 20
