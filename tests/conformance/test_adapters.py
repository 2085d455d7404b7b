"""An adapter that starts as something, trains anything else or leaves a trace is found out."""

from __future__ import annotations

import pytest

from tests import broken_plugins as broken
from tests.conformance.tried import result_of


@pytest.mark.parametrize(
    ("factory", "rule"),
    [
        (broken.AdaptsOnceInFifty, "an adapted model gives the same each time"),
        (broken.AdaptsInPlace, "what its layers are given stays as it was"),
        (broken.AdaptsTheBatch, "rows do not mix"),
        (broken.StartsLoud, "it starts as nothing"),
        (broken.Freezes, "attaching leaves requires grad alone"),
        (broken.ReturnsAll, "it returns parameters of the model that all train"),
        (broken.ReturnsNothing, "it returns parameters of the model that all train"),
        (broken.NeverMerges, "merging keeps the outputs and restores the names"),
        (broken.NeverUnmerges, "unmerging restores it to the bit"),
    ],
)
def test_a_broken_rule_is_found(factory, rule):
    result = result_of("adapter", factory, rule)
    assert not result.passed
    assert len(result.explanation) > 20
