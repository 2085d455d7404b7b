"""Of how many the best is the best: the highest of many noisy scores is too high, the more of them there are."""

from __future__ import annotations

import numpy

from workbench.reports.experiment_results import Study
from workbench.reports.number_format import counted


def scored(study: Study) -> int:
    """How many trials have a score by the first metric: those that the best of them is picked from."""
    sample = study.samples.get(study.primary)
    return 0 if sample is None else int((~numpy.isnan(sample.estimates)).sum())


def of_trials(study: Study) -> str:
    """As `of 12 trials`, or `of the 11 of 12 trials with a score`, where others failed or are still to be run."""
    number = scored(study)
    if number == study.expected:
        return f"of {counted(number, 'trial')}"
    return f"of the {number:,} of {counted(study.expected, 'trial')} with a score"


def in_trials(study: Study) -> str:
    """As `12 trials` or `11 of 12 trials`, with their seeds where there are several: `12 trials from 3 seeds`."""
    number = scored(study)
    some = f"{number:,} of " if number < study.expected else ""
    seeds = f" from {len(study.seeds)} seeds" if len(study.seeds) > 1 else ""
    return f"{some}{counted(study.expected, 'trial')}{seeds}"


def best_first(study: Study) -> str:
    """How the table of trials is ordered: `the best of 12 trials first`."""
    return f"the best {of_trials(study)} first" if scored(study) > 1 else "the best first"


def the_best(study: Study, place: int) -> str:
    """The best trial, which is that one, in words: `the best of 12 trials (clip, gated)`."""
    label = study.label(study.done[place])
    return f"the best of {counted(scored(study), 'trial')} ({label})" if scored(study) > 1 else label


def of_how_many(study: Study) -> str:
    """That the best of so many trials is too good on the images it was picked by; nothing where there is no choice."""
    if scored(study) < 2:
        return ""
    return (
        f"The best score {of_trials(study)} is too good on average, because it was picked by its luck as well:"
        " on new questions expect less of that trial."
    )
