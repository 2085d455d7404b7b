"""The reference parts keep every rule themselves, so what breaks beside them is the plugin's."""

from __future__ import annotations

import pytest

from tests.conformance.tried import results_of
from workbench.conformance.check import RULES
from workbench.conformance.reference_parts import (
    ReferenceConnector,
    ReferenceDecoder,
    ReferenceEncoder,
    ReferenceFusion,
)

# Its fusion begins open, so that a few steps are enough for every part to matter.
BEGINS_OPEN = "a new fusion leaves the decoder as it was"


@pytest.mark.parametrize(
    ("kind", "part"),
    [
        ("encoder", ReferenceEncoder),
        ("connector", ReferenceConnector),
        ("fusion", ReferenceFusion),
        ("language_model", ReferenceDecoder),
    ],
)
def test_a_reference_part_keeps_every_rule_of_its_kind(kind: str, part: type):
    results = results_of(kind, part)
    assert len(results) == len(RULES[kind])
    broken = [f"{each.title}: {each.explanation}" for each in results if not each.passed and each.title != BEGINS_OPEN]
    assert broken == []
