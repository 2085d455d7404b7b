"""A table in the forms that it is read in: CSV, Markdown, LaTeX and cells of text.

CSV holds the raw numbers, in columns named as in the records; the others hold rounded text.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy

from workbench.reports.escaping import csv_text, latex, markdown, markdown_paragraph
from workbench.reports.number_format import NOTHING
from workbench.statistics.estimates import Interval
from workbench.storage.atomic import write_text


@dataclass(frozen=True)
class Column:
    """One column: the key of its value in a row, its heading, and how a value is written."""

    key: str
    heading: str
    unit: str = ""
    show: Callable[[Any], str] = str
    numeric: bool = True


@dataclass(frozen=True)
class Table:
    """Rows of raw values (texts, numbers, intervals) and the columns that show them."""

    name: str
    caption: str
    columns: Sequence[Column]
    rows: Sequence[dict[str, Any]]
    notes: Sequence[str] = field(default_factory=list)

    def cells(self, most: int | None = None) -> list[list[str]]:
        """The rows, or the first of them, as text; a dash where there is nothing."""
        return [[_shown(row.get(column.key), column) for column in self.columns] for row in self.rows[:most]]

    def csv(self) -> str:
        """Raw numbers; an interval becomes three columns."""
        kinds = {
            column.key: any(isinstance(row.get(column.key), Interval) for row in self.rows) for column in self.columns
        }
        headings = [
            name for key, wide in kinds.items() for name in ([key, f"{key}.low", f"{key}.high"] if wide else [key])
        ]
        rows = [[text for key, wide in kinds.items() for text in _raw(row.get(key), wide)] for row in self.rows]
        return csv_text([headings, *rows])

    def markdown(self) -> str:
        """A GitHub table with its caption above and its notes below."""
        headings = [markdown(f"{each.heading} ({each.unit})" if each.unit else each.heading) for each in self.columns]
        rules = ["---:" if column.numeric else ":---" for column in self.columns]
        lines = [headings, rules, *([markdown(cell) for cell in row] for row in self.cells())]
        body = "\n".join(f"| {' | '.join(line)} |" for line in lines)
        notes = "".join(f"\n{markdown_paragraph(note)}\n" for note in self.notes)
        return f"{markdown_paragraph(self.caption)}\n\n{body}\n{notes}"

    def latex(self) -> str:
        r"""A `table` for papers; needs \usepackage{booktabs}."""
        shape = "".join("r" if column.numeric else "l" for column in self.columns)
        headings = [latex(f"{each.heading} ({each.unit})" if each.unit else each.heading) for each in self.columns]
        rows = [[latex(cell) for cell in row] for row in self.cells()]
        lines = [
            r"\begin{table}[t]",
            r"  \centering",
            f"  \\caption{{{latex(' '.join([self.caption, *self.notes]))}}}",
            f"  \\label{{tab:{self.name.replace('_', '-')}}}",
            f"  \\begin{{tabular}}{{{shape}}}",
            r"    \toprule",
            f"    {' & '.join(headings)} \\\\",
            r"    \midrule",
            *(f"    {' & '.join(row)} \\\\" for row in rows),
            r"    \bottomrule",
            r"  \end{tabular}",
            r"\end{table}",
        ]
        return "\n".join(lines) + "\n"


def write_tables(tables: Sequence[Table], folder: Path) -> None:
    """Write each table as NAME.csv, NAME.md and NAME.tex."""
    for table in tables:
        write_text(folder / f"{table.name}.csv", table.csv())
        write_text(folder / f"{table.name}.md", table.markdown())
        write_text(folder / f"{table.name}.tex", table.latex())


def _shown(value: Any, column: Column) -> str:
    empty = value is None or value == "" or (isinstance(value, float) and math.isnan(value))
    return NOTHING if empty else column.show(value)


def _raw(value: Any, wide: bool) -> list[Any]:
    if isinstance(value, Interval):
        return [_plain(each) for each in (value.estimate, value.low, value.high)]
    return [_plain(value), "", ""] if wide else [_plain(value)]


def _plain(value: Any) -> Any:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    return float(value) if isinstance(value, numpy.floating) else value
