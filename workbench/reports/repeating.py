"""What to type to get the results of a report again."""

from __future__ import annotations

from workbench.reports import contract_notes
from workbench.reports.experiment_results import Study


def command_to_repeat(study: Study) -> str:
    """The command that runs the experiment, and the one that writes its report."""
    unchecked = " --unchecked" if contract_notes.warnings(study) else ""
    run = study.command or f"workbench run experiments/{study.summary.name}.yaml"
    return f"{run}{unchecked} && {run.replace(' run ', ' report ', 1)}"
