"""Under which conditions the values of an axis are compared: how large the models are, and what training took.

A reader takes values to differ in what they are called alone. Where they have more parameters, or were trained on more,
a verdict is one about all of that: it is said beside it, and nothing is taken for unfair.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from workbench.reports.cost_notes import OF_THE_MACHINE, are_apart, cost_range
from workbench.reports.experiment_results import Study
from workbench.reports.number_format import millions, significant
from workbench.reports.table_formats import Column, Table
from workbench.reports.wording import capital, joined, spoken

LARGEST = 1.1  # times that of another value: more is no longer told as equal

# What a table of conditions shows: name in the record, heading, unit, how a number is written.
CONDITIONS: tuple[tuple[str, str, str, Callable[[float], str]], ...] = (
    ("parameters", "parameters", "M", millions),
    ("flops", "operations an answer", "GFLOP", lambda count: significant(count / 1e9)),
    ("training_flops", "operations in training", "TFLOP", lambda count: significant(count / 1e12)),
    ("training_tokens", "tokens read", "M", millions),
    ("training_examples", "examples seen", "", "{:,.0f}".format),
    ("training_images", "images seen", "", "{:,.0f}".format),
    ("training_seconds", "training", "s", significant),
)
# What a reader would take to be equal, in words.
EQUAL = {
    "parameters": "parameters",
    "training_flops": "training operations",
    "training_tokens": "tokens read in training",
    "training_seconds": "training time",
}


def conditions_table(study: Study, axis: str) -> Table:
    """What each value of an axis had, as a mean over the trials it is compared by; what no record tells is left out."""
    known = [each for each in CONDITIONS if any(not math.isnan(number) for number in study.numbers(each[0]))]
    rows = [
        {axis: value, **{name: study.cost(axis, value, name) for name, *_ in known}}
        for value in study.design(axis).present
    ]
    columns = [Column(axis, spoken(axis), show=str, numeric=False)]
    columns += [Column(name, heading, unit, show) for name, heading, unit, show in known]
    notes = []
    if any(name in ("flops", "training_flops") for name, *_ in known):
        notes.append(
            "Operations are those of matrix products, convolutions and attention, two for a multiplication with its"
            " addition; of training with all phases, as if nothing had been shared."
        )
    return Table(f"conditions_{axis.replace('.', '_')}", f"Conditions of {spoken(axis)}.", columns, rows, notes)


def unequal_conditions(study: Study, axis: str) -> str:
    """In what, and by how much, values of an axis differ that a reader would take to be equal; nothing where in none.

    Told of each value against the baseline, and where that is in the middle, of the highest against the lowest.
    """
    differing = _differing(study, axis)
    if not differing:
        return ""
    told = []
    for value, other in dict.fromkeys((value, other) for _, value, other in differing):
        names = [name for name, *pair in differing if pair == [value, other]]
        costs = [(name, *_costs_of_both(study, axis, name, value, other)) for name in names]
        times = [f"{significant(cost / less)} times the {EQUAL[name]}" for name, cost, less in costs]
        told.append(f"{value} has {joined(times)} of {other}")
    return f"Not under equal conditions: {'; '.join(told)}."


def unequal_axes(study: Study) -> str:
    """The same for the head of a page: which axes have such values, and what differs; nothing where none has."""
    told = []
    for axis in study.compared:
        names = {name for name, *_ in _differing(study, axis)}
        if names:
            what = joined([words for name, words in EQUAL.items() if name in names])
            told.append(f"values of {spoken(axis)} differ in {what}")
    if not told:
        return ""
    return f"{capital('; '.join(told))}, by more than 10 %: what is said of them holds under these conditions."


def verdict_notes(study: Study, axis: str) -> list[str]:
    """For the table with the verdicts: those that are given under unequal conditions."""
    differing = _differing(study, axis)
    if not differing:
        return []
    values = list(dict.fromkeys(value for _, value, _ in differing))
    return [f"Under unequal conditions: {joined(values)}; verdicts are about the values as they were tried."]


def _differing(study: Study, axis: str) -> list[tuple[str, str, str]]:
    """What differs by more than `LARGEST`, of which value, against which: the baseline, or else the lowest."""
    present = study.design(axis).present
    if len(present) < 2:
        return []
    baseline = study.baseline(axis) if study.baseline(axis) in present else present[0]
    found = []
    for name in EQUAL:
        here = [(name, each, baseline) for each in present if _differ(study, axis, name, each, baseline)]
        extremes = _extremes(study, axis, name, present)
        if not here and extremes and _differ(study, axis, name, *extremes):
            here = [(name, *extremes)]
        found += here
    return found


def _differ(study: Study, axis: str, name: str, value: str, other: str) -> bool:
    """Whether two values differ in it by more than is told as equal, and time by more than other programs make."""
    low, high = sorted(_costs_of_both(study, axis, name, value, other))
    if not low > 0 or not high > LARGEST * low:  # one is not known, or nothing trained
        return False
    if name not in OF_THE_MACHINE:
        return True
    one, two = cost_range(study, axis, value, name, other), cost_range(study, axis, other, name, value)
    return len(study.machines) < 2 and are_apart(one, two)


def _costs_of_both(study: Study, axis: str, name: str, value: str, other: str) -> tuple[float, float]:
    """Over the combinations of other axes in which both were tried: what an unfinished grid lacks is no condition."""
    return study.cost(axis, value, name, other), study.cost(axis, other, name, value)


def _extremes(study: Study, axis: str, name: str, values: Sequence[str]) -> tuple[str, str] | None:
    """The value with the most of it and the one with the least; None where fewer than two are known."""
    costs = {value: cost for value in values if not math.isnan(cost := study.cost(axis, value, name))}
    return (max(costs, key=costs.__getitem__), min(costs, key=costs.__getitem__)) if len(costs) > 1 else None
