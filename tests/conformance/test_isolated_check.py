"""A plugin that hangs, ends its process or prints does so where it harms nobody."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

from tests.conformance.broken_metric import RULE, plugin
from workbench.config.component import Component
from workbench.conformance import check
from workbench.conformance.examine import CannotCheck, RuleResult
from workbench.conformance.isolated_check import check_isolated
from workbench.registry import load_registry


def test_a_check_that_takes_too_long_is_ended(tmp_path):
    plugin(tmp_path, "time.sleep(60)")
    with pytest.raises(CannotCheck, match="more than 0.5 seconds"):
        check_isolated(Component("metric", "mine", {"share": 1.0}), (tmp_path / "plugins",), limit=0.5)


def mine(folder: Path, share: float = 1.0, limit: float = 60.0) -> list[RuleResult]:
    """The results of the metric in a process of its own."""
    return check_isolated(Component("metric", "mine", {"share": share}), (folder / "plugins",), limit)


def test_the_results_are_those_of_a_check_in_this_process(tmp_path):
    plugin(tmp_path)
    registry = load_registry([tmp_path / "plugins"])
    assert mine(tmp_path, 2.0) == list(check(registry, "metric", "mine", share=2.0))
    assert [each.title for each in mine(tmp_path, 2.0) if not each.passed] == [RULE]


def test_a_plugin_that_ends_its_process_ends_no_other(tmp_path):
    plugin(tmp_path, "os._exit(3)")
    with pytest.raises(CannotCheck, match="its process ended with exit code 3"):
        mine(tmp_path)


def test_what_a_plugin_prints_or_draws_stays_in_its_process(tmp_path, capfd):
    plugin(tmp_path, "os.write(1, b'hello'); os.write(2, b'hello'); torch.manual_seed(5); os.environ['MINE'] = 'yes'")
    before = torch.get_rng_state()
    assert all(each.passed for each in mine(tmp_path))
    assert capfd.readouterr() == ("", "")
    assert torch.equal(torch.get_rng_state(), before)
    assert "MINE" not in os.environ
