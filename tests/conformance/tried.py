"""A plugin of a test's own, tried by the rules of its kind."""

from __future__ import annotations

from typing import Any

from workbench.conformance.check import RULES
from workbench.conformance.examine import RuleResult, examine
from workbench.conformance.rules import Subject
from workbench.registry import Plugin


def subject_of(kind: str, factory: Any) -> Subject:
    """A plugin as if it had been registered under the name `mine`."""
    return Subject(Plugin(kind, "mine", factory, factory.__module__, "broken_plugins.py"))


def results_of(kind: str, factory: Any) -> list[RuleResult]:
    """The results of all rules that could be tried."""
    return list(examine(subject_of(kind, factory), RULES[kind]))


def result_of(kind: str, factory: Any, title: str) -> RuleResult:
    """The result of that rule alone, whatever rules it needs."""
    [rule] = [each for each in RULES[kind] if each.title == title]
    [result] = examine(subject_of(kind, factory), [rule])
    return result
