"""The balanced part of a grid: every combination of the values and seeds that are left, each with one trial."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product

import numpy
import pandas

from workbench.statistics.bootstrap import Places
from workbench.statistics.design import SEED


@dataclass(frozen=True)
class BalancedGrid:
    """`levels` by factor: the axes that have two values or more, and the seeds. `places` [k1,...,kA,S] are those of
    the trials; `left_out` names what a trial is missing of, as (factor, level)."""

    levels: Mapping[str, Sequence[str]]
    places: Places
    left_out: Sequence[tuple[str, str]]

    @property
    def axes(self) -> list[str]:
        """The factors but the seed."""
        return [name for name in self.levels if name != SEED]


def balanced_part(axes: pandas.DataFrame, labels: Mapping[str, Sequence[str]]) -> BalancedGrid | None:
    """Of trials, one a row with its label on every axis and its seed; `labels` are in the order of the axes. What most
    trials are missing of is left out, one level after the other. None where no axis is left to compare, or where two
    trials are alike in all."""
    names = [*labels, SEED]
    rows = [tuple(row) for row in axes[names].astype(str).to_numpy()]
    if len(set(rows)) < len(rows):
        return None
    order = {**labels, SEED: sorted({row[-1] for row in rows})}
    levels = {
        name: [each for each in order[name] if any(row[i] == each for row in rows)] for i, name in enumerate(names)
    }
    left_out: list[tuple[str, str]] = []
    while missing := _worst(levels, set(rows)):
        left_out.append(missing)
        levels[missing[0]].remove(missing[1])
    kept = {name: found for name, found in levels.items() if len(found) > 1 or name == SEED}
    if len(kept) < 2 or not all(levels.values()):
        return None
    at = {row: place for place, row in enumerate(rows)}
    places = numpy.array([at[each] for each in product(*levels.values())], dtype=numpy.intp)
    return BalancedGrid(kept, places.reshape([len(each) for each in kept.values()]), left_out)


def _worst(levels: Mapping[str, Sequence[str]], rows: set[tuple[str, ...]]) -> tuple[str, str] | None:
    """The level that most of its combinations are missing of, a seed or a late value rather than others; None where
    nothing is missing."""
    there = [row for row in rows if all(label in levels[name] for label, name in zip(row, levels, strict=True))]
    full = int(numpy.prod([len(each) for each in levels.values()]))
    if len(there) == full:
        return None
    shares = {
        (name, level): sum(row[place] == level for row in there) * len(found) / full
        for place, (name, found) in enumerate(levels.items())
        for level in found
        if len(found) > 1
    }
    return min(reversed(shares), key=lambda each: shares[each])
