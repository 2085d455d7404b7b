"""A rule is named after its function and knows what it rests on."""

from __future__ import annotations

import pytest
import torch

from tests.conformance.tried import subject_of
from workbench.conformance.check import RULES
from workbench.conformance.reference_parts import ReferenceEncoder
from workbench.conformance.rules import Broken, Rule, Subject, after, expect, in_turn
from workbench.hookspecs import KINDS


@pytest.mark.parametrize("kind", KINDS)
def test_a_rule_comes_after_those_it_needs(kind):
    seen = []
    for rule in RULES[kind]:
        assert set(rule.needs) <= set(seen), rule.title
        assert rule.check not in seen
        seen.append(rule.check)


def holds(subject: Subject) -> None:
    """A rule that is always kept."""


def holds_as_well(subject: Subject) -> None:
    """Another."""


def holds_too(subject: Subject) -> None:
    """And another."""


def test_a_rule_is_called_what_its_function_is_called():
    assert Rule(holds_as_well).title == "holds as well"


def test_rules_in_turn_need_all_before_them_and_rules_after_them_nothing_of_each_other():
    basics = in_turn(holds, holds_as_well)
    assert [rule.needs for rule in basics] == [(), (holds,)]
    assert [rule.needs for rule in after(basics, holds_too, holds)] == [(holds, holds_as_well)] * 2


def test_what_a_rule_expects_is_told_where_it_is_not_so():
    expect(True, "nobody reads this")
    with pytest.raises(Broken, match="keep it"):
        expect(False, "keep it")


def test_a_subject_is_built_anew_with_the_same_weights_and_shared_where_it_is_only_looked_at():
    subject = subject_of("encoder", ReferenceEncoder)
    first, again = subject.build(), subject.build()
    assert first is not again
    assert torch.equal(first.patches.weight, again.patches.weight)
    assert subject.shared is subject.shared
    made: list[Subject] = []
    subject.once(made.append)
    subject.once(made.append)
    assert made == [subject]
