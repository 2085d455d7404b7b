"""Of how many the best is the best: the highest of many noisy scores is too high, the more of them there are."""

from __future__ import annotations

from workbench.reports.experiment_results import Study
from workbench.reports.number_format import counted


def of_trials(study: Study) -> str:
    """As `of 12 trials`, or `of the 11 of 12 trials that finished`."""
    if len(study.done) == study.expected:
        return f"of {counted(len(study.done), 'trial')}"
    return f"of the {len(study.done)} of {counted(study.expected, 'trial')} that finished"


def of_how_many(study: Study) -> str:
    """That the best of so many trials is too good on the images it was picked by; nothing where there is no choice."""
    if len(study.done) < 2 or study.primary not in study.samples:
        return ""
    return (
        f"The best score {of_trials(study)} is too good on average, because it was picked by its luck as well:"
        " on new questions expect less of that trial."
    )
