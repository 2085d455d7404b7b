"""A connector that gives other tokens than it declares, or mixes images, is found out."""

from __future__ import annotations

import pytest

from tests import broken_plugins as broken
from tests.conformance.tried import result_of


@pytest.mark.parametrize(
    ("factory", "rule"),
    [
        (broken.WiderThanItSays, "tokens have the declared shape"),
        (broken.CentresTheBatch, "an image is connected the same in any batch"),
        (broken.DoublesTokens, "tokens stay as they were"),
    ],
)
def test_a_broken_rule_is_found(factory, rule):
    result = result_of("connector", factory, rule)
    assert not result.passed
    assert len(result.explanation) > 20
