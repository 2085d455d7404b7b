"""Whatever reaches what it should not, in a row or a batch, is found out."""

from __future__ import annotations

import pytest

from tests import broken_plugins as broken
from tests.conformance.tried import result_of


@pytest.mark.parametrize(
    ("kind", "factory", "rule"),
    [
        ("fusion", broken.ReadsTheAnswer, "no answer token is read ahead"),
        ("fusion", broken.MixesTheSequence, "no answer token is read ahead"),
        ("fusion", broken.ReadsOtherQuestions, "questions of an image do not reach each other"),
        ("fusion", broken.CountsPlaces, "questions are answered in a row as if each stood alone"),
        ("fusion", broken.LooksAtWhatIsNotThere, "rows with fewer images are read as if each stood alone"),
        ("fusion", broken.LooksAtTheFirstImage, "every image of a row changes the loss"),
        ("language_model", broken.LooksAhead, "no answer token is read ahead"),
        ("language_model", broken.IgnoresPositions, "questions are answered in a row as if each stood alone"),
    ],
)
def test_a_broken_rule_is_found(kind, factory, rule):
    result = result_of(kind, factory, rule)
    assert not result.passed
    assert len(result.explanation) > 20
