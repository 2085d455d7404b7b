"""Which answers turn when a value takes the place of the baseline: from wrong to right, and from right to wrong.

A difference of no points may be no change at all, or a hundred questions lost and a hundred others gained: of a
quantized model the second says that it is another model. Both sides of a pair differ in the one value alone, and have
the same seed.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy
import pandas
from numpy.typing import NDArray

from workbench.reports.experiment_results import Study
from workbench.reports.number_format import share
from workbench.reports.right_answers import are_right
from workbench.reports.table_formats import Column
from workbench.reports.trial_rows import TrialRows
from workbench.statistics.bootstrap import Places
from workbench.statistics.design import Cell, Design
from workbench.storage.conditions import WITH_IMAGE

GAINED, LOST = "gained", "lost"

Answers = NDArray[numpy.bool_]


@dataclass(frozen=True)
class Flips:
    """Of the questions that both sides of a pair were asked, the shares that turned from wrong to right (`gained`) and
    from right to wrong (`lost`): the mean over pairs. `questions` counts those of the pair with the fewest, `pairs`
    the pairs."""

    gained: float
    lost: float
    questions: int
    pairs: int


@dataclass(frozen=True)
class Rights:
    """Of a trial: the questions [N], as numbers that stand for labels, and whether each was answered rightly [N]."""

    questions: Places
    labels: pandas.Index
    right: Answers

    def by_id(self) -> pandas.Series:
        """Whether each was answered rightly, by the question's id."""
        return pandas.Series(self.right, index=self.labels.to_numpy()[self.questions])


def flips(study: Study, axis: str) -> dict[str, Flips]:
    """By value of the axis what turned against the baseline. Values that share no seed with it in any cell are not
    there, and none is where the first metric is no share that single answers have."""
    reading = next((each for each in study.readings if each.name == study.primary), None)
    if reading is None or reading.metric is not None or not reading.share:
        return {}
    design, baseline = study.design(axis), study.baseline(axis)
    higher = study.scale(study.primary).higher_is_better
    right = cache(lambda place: _right(TrialRows(study.predictions[study.done[place].id]), reading.column, higher))
    others = [value for value in design.present if value != baseline and baseline in design.present]
    found = {value: _of_value(design, value, baseline, right) for value in others}
    return {value: each for value, each in found.items() if each is not None}


def flip_cells(found: Flips | None) -> dict[str, Any]:
    """What a row of an axis's table has of them."""
    return {} if found is None else {GAINED: found.gained, LOST: found.lost}


def flip_columns(found: Collection[Flips]) -> list[Column]:
    """The columns of an axis's table; none where nothing is known of any value."""
    return [Column(name, name, "%", share) for name in (GAINED, LOST)] if found else []


def flip_notes(found: Collection[Flips]) -> list[str]:
    """What the columns mean, for below the table."""
    if not found:
        return []
    questions, pairs = (sorted({getattr(each, name) for each in found}) for name in ("questions", "pairs"))
    return [
        f"Gained, lost: of {_span(questions)} questions those that turned from wrong to right, and from right to"
        f" wrong, against the trial that differs in this value alone ({_span(pairs)} of them)."
    ]


def _of_value(design: Design, value: str, baseline: str, right: Callable[[int], Rights]) -> Flips | None:
    """Averaged as differences are: every cell counts the same, every pair the same within it."""
    by_cell = [
        turned
        for cell in sorted(design.cells_for(value, baseline))
        if (turned := _of_cell(design, value, baseline, cell, right))
    ]
    if not by_cell:
        return None
    gained, lost = (
        float(numpy.mean([numpy.mean([pair[side] for pair in pairs]) for pairs in by_cell])) for side in (0, 1)
    )
    asked = [pair[2] for pairs in by_cell for pair in pairs]
    return Flips(gained, lost, min(asked), len(asked))


def _of_cell(
    design: Design, value: str, baseline: str, cell: Cell, right: Callable[[int], Rights]
) -> list[tuple[float, float, int]]:
    """(gained, lost, questions) of each pair that was asked anything alike."""
    found = []
    for mine, theirs in design.pairs(value, baseline, [cell]):
        now, before = _of_both(right(mine), right(theirs))
        if len(now):
            found.append((float((now & ~before).mean()), float((before & ~now).mean()), len(now)))
    return found


def _right(trial: TrialRows, column: str, higher_is_better: bool) -> Rights:
    """Whether each question was answered rightly with its image; without those that have no score."""
    rows, scores = trial.numbers(column, trial.where("condition", WITH_IMAGE))
    codes, labels = trial.coded("id")
    return Rights(codes[rows], labels, are_right(scores[:, 0], higher_is_better))


def _of_both(mine: Rights, theirs: Rights) -> tuple[Answers, Answers]:
    """Of each question that both were asked [N], whether either is right."""
    if mine.labels is theirs.labels and numpy.array_equal(mine.questions, theirs.questions):
        return mine.right, theirs.right
    both = pandas.concat([mine.by_id(), theirs.by_id()], axis=1, join="inner").to_numpy(dtype=bool)  # [N,2]
    return both[:, 0], both[:, 1]


def _span(numbers: Sequence[int]) -> str:
    return f"{numbers[0]:,}" if len(numbers) == 1 else f"{numbers[0]:,} to {numbers[-1]:,}"
