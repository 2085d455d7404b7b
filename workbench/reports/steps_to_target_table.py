"""What a report says of how soon trainings got there: a table, and a sentence for every axis."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from workbench.reports.experiment_results import Study
from workbench.reports.metric_format import MetricFormat
from workbench.reports.number_format import NOTHING, p_value, significant
from workbench.reports.steps_to_target import Arrivals, Block, Target, longest_wait, median_steps, targets_of
from workbench.reports.table_formats import Column, Table
from workbench.reports.tables import format_of
from workbench.reports.wording import joined, spoken
from workbench.statistics.censored_ranks import Sooner, compare, least_p
from workbench.statistics.estimates import LEVEL, Interval, holm
from workbench.statistics.verdicts import BASELINE, NO_RESULT, UNCLEAR

STEPS_TO = "steps_to"
SOONER, LATER, SAME_TRAINING = "sooner", "later", "same training"
ONE_SEED = "one seed"
MANY = 4  # values: so many are no longer named
MEANING = (
    "A training that never got there took more steps than it had: it is the later of two, where that can be told. p is"
    " that of a permutation test of ranks (Gehan 1965), corrected for the comparisons of this table (Holm), which are a"
    " family of their own beside those of the scores. The interval holds the ratios that the test does not rule out."
)


@dataclass(frozen=True)
class Row:
    """One value of an axis: its trainings, and how soon they got there beside those of the baseline."""

    target: Target
    axis: str
    value: str
    found: list[Block]
    sooner: Sooner | None  # None for the baseline, and where every training is the baseline's as well
    seeds: tuple[int, int]  # compared, of the value and of the baseline
    verdict: str

    @property
    def trainings(self) -> int:
        """How many there are."""
        return sum(map(len, self.found))

    @property
    def reached(self) -> int:
        """How many of them got there."""
        return sum(each.reached for block in self.found for each in block)


def steps_to_table(study: Study) -> Table | None:
    """A row for each value of each axis and each target; None where nothing was to be reached."""
    rows = steps_to_rows(study)
    if not rows:
        return None
    columns = [
        Column("target", "target", numeric=False),
        Column("axis", "axis", numeric=False),
        Column("value", "value", numeric=False),
        Column("reached", "got there"),
        Column("steps", "median steps", show=_steps),
        Column("ratio", "times the baseline's", show=_ratio),
        Column("p", "p", show=p_value),
        Column("verdict", "verdict", numeric=False),
    ]
    caption = "How soon trainings got there: optimizer steps until their answers about held-out images were so good."
    return Table(STEPS_TO, caption, columns, [_cells(study, row) for row in rows], [MEANING, *_notes(study, rows)])


def steps_to_rows(study: Study) -> list[Row]:
    """What the table tells, with p corrected and verdicts of it."""
    rows = [
        _row(arrivals, axis, value)
        for target in targets_of(study)
        if (arrivals := Arrivals(study, target)).known
        for axis in study.compared
        for value in study.summary.axes[axis]
    ]
    corrected = holm([row.sooner.p if row.sooner else math.nan for row in rows])
    return [_judged(row, p) for row, p in zip(rows, corrected, strict=True)]


def steps_to_sentences(study: Study) -> list[str]:
    """What the answer says of it: for each axis who got there sooner or later than the baseline."""
    sentences = []
    rows = steps_to_rows(study)
    for target, axis in dict.fromkeys((row.target, row.axis) for row in rows):
        of_axis = [row for row in rows if (row.target, row.axis) == (target, axis)]
        told = [row for row in of_axis if row.verdict in (SOONER, LATER)]
        unclear = [row.value for row in of_axis if row.verdict == UNCLEAR]
        there, baseline = _target(study, target), study.baseline(axis)
        for row in told:
            sentences.append(f"{row.value} reaches {there} {row.verdict} than {baseline}: {_times(row.sooner)}.")
        if unclear and not told:
            values = joined(unclear).replace(" and ", " or ") if len(unclear) < MANY else "no other value"
            cannot = "can" if len(unclear) >= MANY else "cannot"
            sentences.append(f"By how soon it reaches {there}, {values} {cannot} be told from {baseline}.")
    return sentences


def _row(arrivals: Arrivals, axis: str, value: str) -> Row:
    baseline = arrivals.study.baseline(axis)
    found = arrivals.of_value(axis, value)
    if value == baseline:
        return Row(
            arrivals.target, axis, value, found, None, (len(found), len(found)), BASELINE if found else NO_RESULT
        )
    mine, theirs = arrivals.of_both(axis, value, baseline)
    seeds = len(mine), len(theirs)
    if arrivals.same_trainings(axis, value, baseline):
        return Row(arrivals.target, axis, value, found, None, seeds, SAME_TRAINING)
    return Row(arrivals.target, axis, value, found, compare(mine, theirs), seeds, NO_RESULT)


def _judged(row: Row, p: float) -> Row:
    if row.sooner is None:
        return row
    if math.isnan(p):
        return replace(row, verdict=ONE_SEED if min(row.seeds) == 1 else NO_RESULT)
    return replace(row, sooner=replace(row.sooner, p=p), verdict=_verdict(row.sooner.ratio, p))


def _verdict(ratio: Interval, p: float) -> str:
    if p >= 1 - LEVEL:
        return UNCLEAR
    return SOONER if ratio.high <= 1 else LATER


def _cells(study: Study, row: Row) -> dict[str, Any]:
    reached = f"{row.reached} of {row.trainings}" if row.trainings else ""
    cells = {"target": _target(study, row.target), "axis": spoken(row.axis), "value": row.value, "reached": reached}
    cells |= {"steps": median_steps(row.found), "verdict": row.verdict}
    return cells | ({"ratio": row.sooner.ratio, "p": row.sooner.p} if row.sooner else {})


def _target(study: Study, target: Target) -> str:
    form = format_of(study, target.metric) if target.metric in study.samples else None
    form = form or MetricFormat(target.metric, study.scale(target.metric), 1)
    return f"{form.words} of {form.quantity(target.value)}"


def _steps(steps: float) -> str:
    return "not reached" if math.isinf(steps) else f"{steps:,.0f}"


def _ratio(ratio: Interval) -> str:
    """As `0.66 [0.50, 0.91]`; an end that nothing is known of is left open."""
    low = significant(ratio.low, 2) if ratio.low > 0 else ""
    high = significant(ratio.high, 2) if math.isfinite(ratio.high) else ""
    within = f"{low}, {high}" if low and high else f"at least {low}" if low else f"at most {high}" if high else ""
    if math.isnan(ratio.estimate):
        return within or NOTHING
    return f"{significant(ratio.estimate, 2)} [{within}]" if within else significant(ratio.estimate, 2)


def _times(sooner: Sooner | None) -> str:
    """As `0.66 times the steps (0.50 to 0.91, p = 0.004)`; without the first where it is not known."""
    assert sooner is not None
    known = not math.isnan(sooner.ratio.estimate)
    times = f"{significant(sooner.ratio.estimate, 2)} times the steps" if known else "times the steps"
    within = _ratio(replace(sooner.ratio, estimate=math.nan)).replace(", ", " to ")
    return f"{times} ({within}, p {'' if sooner.p < 0.001 else '= '}{p_value(sooner.p)})"


def _notes(study: Study, rows: Sequence[Row]) -> list[str]:
    notes = []
    for target in dict.fromkeys(row.target for row in rows):
        wait = longest_wait(study, target)
        if wait > 1:
            notes.append(
                f"{_target(study, target)} was looked for every {wait} steps: a training may have got there by up to"
                f" {wait - 1} steps sooner."
            )
    compared = sum(row.sooner is not None and not math.isnan(row.sooner.p) for row in rows)
    blunt = [row for row in rows if row.verdict == UNCLEAR and compared * least_p(*row.seeds) >= 1 - LEVEL]
    if blunt:
        mine, theirs = blunt[0].seeds
        notes.append(
            f"With {mine} seeds beside {theirs} no difference could have been told, however large: corrected, p is at"
            f" least {p_value(min(1.0, compared * least_p(mine, theirs)))}. Give more seeds, or fewer values."
        )
    if lopsided := [row for row in rows if row.verdict in (SOONER, LATER) and row.seeds[0] != row.seeds[1]]:
        mine, theirs = lopsided[0].seeds
        notes.append(
            f"{mine} seeds are compared with {theirs}: p is too small where the luck of the fewer is spread more"
            " widely."
        )
    if any(row.verdict == ONE_SEED for row in rows):
        notes.append("With one seed nobody knows how much of a difference is luck: nothing is said of it.")
    return notes
