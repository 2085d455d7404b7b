"""The new_kind `new_plugin` keeps every rule of its kind. Run: python -m pytest new_file"""

from __future__ import annotations

from pathlib import Path

import pytest

from workbench.conformance import check
from workbench.registry import load_registry


# Add a line for each set of options that an experiment will use.
@pytest.mark.parametrize("options", [{}], ids=str)
def test_every_rule_is_kept(options):
    """Each result says what is wrong and what to change."""
    registry = load_registry([Path(__file__).parent])
    broken = [each for each in check(registry, "new_kind", "new_plugin", **options) if not each.passed]
    assert not broken, "\n\n".join(f"{each.title}: {each.explanation}" for each in broken)
