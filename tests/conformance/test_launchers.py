"""A launcher that loses a job, a death or a worker is found out."""

from __future__ import annotations

import pytest

from tests import broken_plugins as broken
from tests.conformance.tried import result_of
from workbench.conformance import launchers


@pytest.mark.parametrize(
    ("factory", "rule"),
    [
        (broken.DoesItItself, "every job is done once and told"),
        (broken.HidesDeath, "a worker that dies is told and replaced"),
        (broken.StopsNothing, "a job can be stopped"),
        (broken.LeavesWorkers, "closing ends every worker"),
    ],
)
def test_a_broken_rule_is_found(factory, rule, monkeypatch):
    monkeypatch.setattr(launchers, "SOON", 0.5)  # what stays stays, however long it is waited for
    result = result_of("launcher", factory, rule)
    assert not result.passed
    assert len(result.explanation) > 20
