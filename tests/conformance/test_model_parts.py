"""What every part of a model is held to: it trains, copies, saves and keeps rows apart."""

from __future__ import annotations

import pytest

from tests import broken_plugins as broken
from tests.conformance.tried import result_of


@pytest.mark.parametrize(
    ("kind", "factory", "rule"),
    [
        ("encoder", broken.NotBuilt, "it can be built with these options"),
        ("encoder", broken.OnADevice, "it can be planned without memory"),
        ("encoder", broken.DrawsItsWeightsElsewhere, "training again gives the same weights"),
        ("encoder", broken.NotFinite, "its numbers are finite"),
        ("encoder", broken.SharesItsWeights, "a copy and a pickle use their own weights"),
        ("encoder", broken.Forgetful, "saved weights compute the same in a new model"),
        ("connector", broken.SinglePrecision, "it trains in bf16"),
        ("connector", broken.BatchNormalises, "rows do not mix in training"),
        ("fusion", broken.BatchStatistics, "rows do not mix"),
        ("fusion", broken.RunningStatistics, "rows do not mix in training"),
        ("fusion", broken.LooksAtOtherRows, "rows do not mix"),
    ],
)
def test_a_broken_rule_is_found(kind, factory, rule):
    result = result_of(kind, factory, rule)
    assert not result.passed
    assert len(result.explanation) > 20
