"""Rules are tried in their order, and one cause is told once."""

from __future__ import annotations

import pytest

from tests import broken_plugins as broken
from tests.conformance.tried import results_of
from tests.tiny import builtin_registry
from workbench.conformance import check
from workbench.conformance.check import RULES
from workbench.conformance.examine import examine
from workbench.conformance.rules import Rule, Subject, expect
from workbench.registry import Plugin, Registry


@pytest.mark.parametrize(
    ("kind", "factory", "rule"),
    [
        ("encoder", broken.WrongShape, "tokens have the declared shape"),
        ("encoder", broken.Noisy, "it gives the same each time"),
        ("fusion", broken.BatchStatistics, "rows do not mix"),
        ("fusion", broken.ReadsTheAnswer, "no answer token is read ahead"),
        ("language_model", broken.Recurrent, "a token sees what the mask shows and nothing else"),
        ("metric", broken.LowersAnswers, "predictions stay as they were"),
    ],
)
def test_one_cause_is_told_once(kind, factory, rule):
    results = results_of(kind, factory)
    [result] = [result for result in results if not result.passed]
    assert result.title == rule
    assert len(results) + len(result.untried) == len(RULES[kind])
    assert f"(And so {len(result.untried)} other rules could not be tried.)" in result.why


def test_a_rule_that_needs_one_which_was_not_tried_is_not_tried():
    def first(subject):
        expect(False, "it is broken")

    def second(subject):
        raise AssertionError("this rule could say nothing")

    def third(subject):
        raise AssertionError("nor could this one")

    def apart(subject):
        pass

    rules = [Rule(first), Rule(second, (first,)), Rule(apart), Rule(third, (second,))]
    subject = Subject(builtin_registry().plugins("metric")[0])
    broken_one, kept = examine(subject, rules)
    assert (broken_one.title, broken_one.untried) == ("first", ("second", "third"))
    assert (kept.title, kept.passed) == ("apart", True)


def test_a_plugin_that_cannot_be_built_is_tried_no_further():
    registry = Registry()
    registry.add(Plugin("encoder", "mine", broken.NotBuilt, "here", "tests/broken_plugins.py"))
    [result] = check(registry, "encoder", "mine")
    assert result.explanation.startswith("it raised ZeroDivisionError: no encoder today (broken_plugins.py, line")
