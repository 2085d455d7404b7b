"""Contract tests for plugins: does it do what its kind promises, and if not, what is to be changed?

In a test beside a plugin::

    from workbench.conformance import check
    from workbench.registry import load_registry

    for result in check(load_registry(["plugins"]), "fusion", "mine", heads=2):
        assert result.passed, f"{result.title}: {result.explanation}"
"""

from workbench.conformance.check import check
from workbench.conformance.check_command import check_experiment, check_path
from workbench.conformance.examine import CannotCheck, RuleResult

__all__ = ["CannotCheck", "RuleResult", "check", "check_experiment", "check_path"]
