"""A tracker that cannot follow a run, or writes where it should not, is found out."""

from __future__ import annotations

import pytest

from tests import broken_plugins as broken
from tests.conformance.tried import result_of


@pytest.mark.parametrize(
    ("factory", "rule"),
    [
        (broken.RoundsTheMetrics, "what it is told stays as it was"),
        (broken.WantsATraining, "it can be closed before anything happened"),
        (broken.NamesFilesByLabels, "it takes a whole run"),
        (broken.ScattersFiles, "files go into one folder of its own"),
    ],
)
def test_a_broken_rule_is_found(factory, rule):
    result = result_of("tracker", factory, rule)
    assert not result.passed
    assert len(result.explanation) > 20
