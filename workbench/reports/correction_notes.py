"""What a report says of the correction for many comparisons: verdicts and p values have it, intervals have not."""

from __future__ import annotations

from collections.abc import Iterable

from workbench.reports.experiment_results import Study
from workbench.reports.number_format import counted
from workbench.statistics.estimates import Interval
from workbench.statistics.verdicts import UNCLEAR


def corrected_for(study: Study) -> str:
    """For what p values are corrected."""
    if study.rules.correction == "table":
        return "corrected for the comparisons of the table"
    return f"corrected for the {counted(study.comparisons.asked, 'comparison')} of the report"


def correction_notes(study: Study, told: Iterable[tuple[Interval, str]]) -> list[str]:
    """For below a table of differences and their verdicts: why one cannot be told though its interval leaves zero out;
    none where there is no such row."""
    if not any(verdict == UNCLEAR and interval.low * interval.high > 0 for interval, verdict in told):
        return []
    return [
        f"Verdicts are {corrected_for(study)}, and intervals are not: so one may leave zero out beside '{UNCLEAR}'."
    ]
