"""Contract tests for plugins: does it do what its kind promises, and if not, what is to be changed?

In a test beside a plugin::

    from workbench.conformance import check
    from workbench.registry import load_registry

    for finding in check(load_registry(["plugins"]), "fusion", "mine", heads=2):
        assert finding.passed, f"{finding.title}: {finding.explanation}"
"""

from workbench.conformance.check import check
from workbench.conformance.check_command import check_experiment, check_path
from workbench.conformance.findings import CannotCheck, Finding

__all__ = ["CannotCheck", "Finding", "check", "check_experiment", "check_path"]
