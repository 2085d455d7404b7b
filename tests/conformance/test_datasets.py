"""A dataset whose examples are not whole, or not the same each time, is found out."""

from __future__ import annotations

import pytest

from tests import broken_plugins as broken
from tests.conformance.tried import result_of


@pytest.mark.parametrize(
    ("factory", "rule"),
    [
        (broken.SameIds, "ids are unique"),
        (broken.SameImages, "splits share no image"),
        (broken.NoQuestions, "examples are whole"),
        (broken.WrongPlaces, "examples are whole"),
        (broken.GreyImages, "images open"),
        (broken.Restless, "examples and fingerprint are the same each time"),
        (broken.DrawsElsewhere, "augmenting is drawn from the given random alone"),
        (broken.ListsAnswers, "examples are whole"),
        (broken.AsksOtherwiseTomorrow, "examples and fingerprint are the same each time"),
        (broken.HandsOutItsImage, "what it hands out is not kept"),
        (broken.HandsOutItsList, "what it hands out is not kept"),
        (broken.ShowsAnotherOnceInFifty, "an image is the same each time"),
    ],
)
def test_a_broken_rule_is_found(factory, rule):
    result = result_of("dataset", factory, rule)
    assert not result.passed
    assert len(result.explanation) > 20
