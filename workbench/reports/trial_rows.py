"""Which rows of a trial's predictions are which, as numbers: thousands of frames are never cut to pieces.

Letters in shapes: N rows, C numbers that add up.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy
import pandas

from workbench.statistics.bootstrap import Array, Places


@dataclass(frozen=True)
class TrialRows:
    """The predictions of a trial. Rows are told by their places."""

    frame: pandas.DataFrame

    @property
    def all(self) -> Places:
        """Every row."""
        return numpy.arange(len(self.frame))

    def coded(self, column: str) -> tuple[Places, pandas.Index]:
        """A column as numbers [N], -1 for what is missing, and the labels they stand for."""
        values = self.frame[column]
        if isinstance(values.dtype, pandas.CategoricalDtype):
            return values.cat.codes.to_numpy(), values.cat.categories
        codes, labels = pandas.factorize(values)
        return codes, pandas.Index(labels, dtype=object)

    def where(self, column: str, label: str, among: Places | None = None) -> Places:
        """The rows that have this label."""
        codes, labels = self.coded(column)
        among = self.all if among is None else among
        if label not in labels:
            return among[:0]
        return among[codes[among] == labels.get_loc(label)]

    def alike(self, column: str, rows: Places, others: Places) -> Places:
        """Those of the rows whose value any of the others has as well."""
        codes, labels = self.coded(column)
        there = numpy.zeros(len(labels) + 1, dtype=bool)  # the last is of what is missing
        there[codes[others]] = True
        return rows[there[codes[rows]]]

    def numbers(self, column: str, rows: Places) -> tuple[Places, Array]:
        """Those of the rows that have a value, and their values [N,C]: one number each, or several."""
        if column not in self.frame:
            return rows[:0], numpy.zeros((0, 1))
        values = self.frame[column].to_numpy()[rows]
        known = ~pandas.isna(values)
        rows, values = rows[known], values[known]
        plain = values if values.dtype.kind == "f" else numpy.array(values.tolist(), dtype=numpy.float64)
        return rows, plain.reshape(len(rows), -1 if len(rows) else 1)
