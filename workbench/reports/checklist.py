"""The items on experiments of the NeurIPS Paper Checklist, answered from the records of a results folder.

What the records do not say is told as that, and left to the authors. The items are those of
https://neurips.cc/public/guides/PaperChecklist, each in points of our own words.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby

from workbench.reports.checklist_assets import access, licences
from workbench.reports.checklist_compute import compute
from workbench.reports.checklist_points import Point
from workbench.reports.checklist_repeating import reproducibility
from workbench.reports.checklist_setting import setting
from workbench.reports.checklist_statistics import significance
from workbench.reports.experiment_results import Study
from workbench.reports.table_formats import Column, Table, latex

CHECKLIST = "checklist"
SOURCE = "https://neurips.cc/public/guides/PaperChecklist"
# The checklist's name of an item, and what answers its points.
ITEMS: tuple[tuple[str, Callable[[Study], list[Point]]], ...] = (
    ("Experimental result reproducibility", reproducibility),
    ("Open access to data and code", access),
    ("Experimental setting/details", setting),
    ("Experiment statistical significance", significance),
    ("Experiments compute resources", compute),
    ("Licenses for existing assets", licences),
)


@dataclass(frozen=True)
class Checklist(Table):
    """A table of long texts, which LaTeX has as a list: no line of a table would hold them."""

    def latex(self) -> str:
        """A `description` for the appendix of a paper; needs no package."""
        lines = [f"{latex(self.caption)}\n"]
        for item, rows in groupby(self.rows, key=lambda row: row["item"]):
            lines += [rf"\paragraph{{{latex(item)}}}", r"\begin{description}"]
            lines += [
                rf"  \item[{{{latex(row['point'])}}}] \textbf{{{latex(row['answer'])}}}. {latex(row['told'])}"
                for row in rows
            ]
            lines.append(r"\end{description}")
        return "\n".join(lines) + "\n"


def checklist_table(study: Study) -> Checklist | None:
    """A row for each point of each item; None before any trial has a record."""
    if not study.records:
        return None
    columns = [
        Column(key, heading, numeric=False)
        for key, heading in (("item", "item"), ("point", "asked"), ("answer", "answer"), ("told", "from the records"))
    ]
    rows = [_row(item, point) for item, answered in ITEMS for point in answered(study)]
    return Checklist(CHECKLIST, _caption(rows), columns, rows)


def _row(item: str, point: Point) -> dict[str, str]:
    return {"item": item, "point": point.asked, "answer": point.answer, "told": " ".join(point.told)}


def _caption(rows: Sequence[dict[str, str]]) -> str:
    return (
        f"The items on experiments of the NeurIPS Paper Checklist ({SOURCE}) in {len(rows)} points of our own words,"
        " answered from the records of this results folder and from nothing else. What is not on record is for the"
        " authors to say."
    )
