"""Any image becomes the declared tokens, each by itself: an encoder that does otherwise is found out."""

from __future__ import annotations

import pytest

from tests import broken_plugins as broken
from tests.conformance.tried import result_of


@pytest.mark.parametrize(
    ("factory", "rule"),
    [
        (broken.KeepsTheMode, "any image becomes a tensor of its image size"),
        (broken.DividesByTheSpread, "any image becomes a tensor of its image size"),
        (broken.WrongShape, "tokens have the declared shape"),
        (broken.PoolsWrongly, "pool gives one vector for each image"),
        (broken.NormalisesTheBatch, "an image is encoded the same in any batch"),
        (broken.HasAnUnusedLayer, "gradients reach every parameter"),
        (broken.Blind, "another image gives other tokens"),
        (broken.Blind, "another image changes the loss"),
        (broken.SaysItIsBlind, "another image gives other tokens"),
        (broken.SaysItIsBlind, "another image changes the loss"),
        (broken.SeesABit, "another image gives other tokens"),
        (broken.Noisy, "it gives the same each time"),
        (broken.OnceInFifty, "it gives the same each time"),
        (broken.EveryFiftieth, "it gives the same each time"),
        (broken.EveryOtherDay, "it gives the same each time"),
        (broken.SometimesDraws, "it gives the same each time"),
        (broken.SetsTheSeed, "it gives the same each time"),
        (broken.KeepsTheFirstAnswer, "it gives the same each time"),
        (broken.WritesOverItsAnswers, "it gives the same each time"),
        (broken.DrawsItsWeightsElsewhere, "it gives the same each time"),
        (broken.ShrinksImages, "images stay as they were"),
        (broken.CentresInPlace, "images stay as they were"),
        (broken.CentresInPlaceToTrain, "images stay as they were"),
    ],
)
def test_a_broken_rule_is_found(factory, rule):
    result = result_of("encoder", factory, rule)
    assert not result.passed
    assert len(result.explanation) > 20
