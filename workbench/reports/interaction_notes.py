"""What a report says of axes that depend on each other: where an average over the one misleads about the other."""

from __future__ import annotations

from workbench.reports.experiment_results import Study
from workbench.reports.metric_format import MetricFormat
from workbench.reports.wording import joined, spoken
from workbench.statistics.estimates import Interval
from workbench.statistics.verdicts import DEPENDS, MODELS_DEPEND


def dependences(study: Study) -> list[tuple[str, str, str]]:
    """Where an average misleads: (axis, value, the axis on which it depends what the value does), the most first."""
    found = [each for each in study.interactions if each.verdict in (DEPENDS, MODELS_DEPEND)]
    found.sort(key=lambda each: -abs(each.change.estimate))
    return list(dict.fromkeys((each.axis, each.value, each.other) for each in found))


def dependence_sentence(study: Study, axis: str, value: str, other: str, form: MetricFormat) -> str:
    """What a value does with each value of the other axis."""
    every = [each for each in study.interactions if (each.axis, each.value, each.other) == (axis, value, other)]
    gaps = [(every[0].reference, every[0].there), *((each.at, each.here) for each in every)]
    told = joined([f"{_signed(gap, form)} with {label}" for label, gap in gaps])
    models = all(each.verdict != DEPENDS for each in every)
    which = "In these trained models that" if models else "That"
    return f"{which} depends on {spoken(other)}: {value} differs from {every[0].baseline} by {told}."


def _signed(gap: Interval, form: MetricFormat) -> str:
    """As `+14.9 points (12.4 to 17.1)`."""
    written = form.for_gap(gap)
    return f"{f'{written.signed(gap.estimate)} {form.difference_unit}'.strip()} ({written.bounds(gap)})"
