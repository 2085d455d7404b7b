"""A fusion that changes what it should leave alone is found out."""

from __future__ import annotations

import pytest

from tests import broken_plugins as broken
from tests.conformance.tried import result_of


@pytest.mark.parametrize(
    ("factory", "rule"),
    [
        (broken.ReturnsHiddenAlone, "blocks get back what they read"),
        (broken.WritesOverWhatItReadsToAnswer, "what it is given stays as it was"),
        (broken.AddsInPlace, "what it is given stays as it was"),
        (broken.ScalesItsVision, "what it is given stays as it was"),
        (broken.FusesOnceInFifty, "it gives the same each time"),
        (broken.StartsOpen, "a new fusion leaves the decoder as it was"),
        (broken.SeesNothingToNaN, "a prompt with nothing visible gives no nan"),
        (broken.AveragesTheImages, "prepare gives one entry for each set of images"),
        (broken.ForgetsTheSegments, "the text keeps its places in the sequence"),
    ],
)
def test_a_broken_rule_is_found(factory, rule):
    result = result_of("fusion", factory, rule)
    assert not result.passed
    assert len(result.explanation) > 20
