"""The strip of figures at the head of a report, which are those of the best trial."""

from __future__ import annotations

import math

from workbench.reports.best_of import scored
from workbench.reports.experiment_results import GAIN, Study
from workbench.reports.number_format import counted, duration, megabytes, significant
from workbench.reports.tables import format_of


def key_figures(study: Study) -> list[tuple[str, str, str]]:
    """The strip of a report: (figure, unit, what it is)."""
    figures = [(f"{len(study.done)} of {study.expected}", "", "trials finished")]
    best = best_trial(study)
    if best is None:
        return figures
    form, record = format_of(study, study.primary), study.done[best]
    most = "highest" if form.scale.higher_is_better else "lowest"
    estimate = float(study.samples[study.primary].estimates[best])
    stale = ", out of date" if record.id in study.stale else ""
    told = f"{most} {form.words} of {counted(scored(study), 'trial')}{stale}"
    figures.append((form.value(estimate), form.unit, told))
    if study.has_gain:
        gain = format_of(study, GAIN)
        value = float(study.samples[GAIN].estimates[best])
        figures.append((gain.value(value), gain.difference_unit, "of it from the image (visual gain)"))
    for name, unit, words, show in (
        ("bytes", "MB", "size of that model", megabytes),
        ("latency_ms", "ms", "for an answer", significant),
    ):
        if not math.isnan(record.metrics.get(name, math.nan)):
            figures.append((show(record.metrics[name]), unit, words))
    seconds = float(sum(each for each in study.numbers("training_seconds") if not math.isnan(each)))
    return [*figures, (duration(seconds), "", "of training, were nothing shared")] if seconds else figures


def best_trial(study: Study) -> int | None:
    """The place of the trial with the best primary metric."""
    if study.primary not in study.samples:
        return None
    estimates = study.samples[study.primary].estimates
    sign = 1 if study.scale(study.primary).higher_is_better else -1
    known = [place for place in range(len(estimates)) if not math.isnan(estimates[place])]
    return max(known, key=lambda place: sign * estimates[place]) if known else None
