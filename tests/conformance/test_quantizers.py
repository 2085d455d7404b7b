"""A quantizer that saves nothing, costs too much or rounds by chance is found out."""

from __future__ import annotations

import pytest

from tests import broken_plugins as broken
from tests.conformance.tried import result_of


@pytest.mark.parametrize(
    ("factory", "rule"),
    [
        (broken.RoundsOnceInFifty, "a quantized model gives the same each time"),
        (broken.RoundsInPlace, "what its layers are given stays as it was"),
        (broken.RoundsByChance, "the same weights give the same bits"),
        (broken.Doubles, "the model gets smaller"),
        (broken.Halves, "outputs stay within tolerance"),
        (broken.Inexact, "outputs stay within tolerance"),
        (broken.CutsOff, "gradients pass through when it says so"),
        (broken.SaysNoBits, "it says how many bits a weight has"),
    ],
)
def test_a_broken_rule_is_found(factory, rule):
    result = result_of("quantizer", factory, rule)
    assert not result.passed
    assert len(result.explanation) > 20
