"""The plot that takes the questions apart by their group: language, domain, type of answer, strategy."""

from __future__ import annotations

from collections.abc import Mapping

import pandas

from workbench.reports.experiment_results import Study
from workbench.reports.plot_style import MOST_COLUMNS, MOST_ROWS, Plot, factor_of, heat_map, in_unit
from workbench.reports.tables import format_of
from workbench.reports.wording import capital, joined, spoken

ROWS = 24  # a heat map with more rows shows averages instead of trials


def groups_plot(study: Study) -> Plot | None:
    """The score in each group of questions."""
    if study.primary not in study.samples or len(study.groups.names) < 2:
        return None
    form = format_of(study, study.primary)
    scores = study.groups.scores(study.primary)
    sets = _configurations(study)
    if len(sets) > ROWS:
        sets = _values(study)
    rows = {
        name: factor_of(form) * scores.reindex(index=ids, columns=study.groups.names).mean()
        for name, ids in sets.items()
    }
    best_first = sorted(rows, key=lambda name: float(rows[name].mean()), reverse=form.scale.higher_is_better)
    table = pandas.DataFrame({name: rows[name] for name in best_first[:MOST_ROWS]}).T.iloc[:, :MOST_COLUMNS]
    figure = heat_map(table, form, "", "group of questions")
    caption = f"{capital(form.words)}{in_unit(form)} in each group of questions, the best of {len(rows)} first."
    return Plot("groups", f"{caption}{_left_out(table, rows)}", figure)


def _left_out(table: pandas.DataFrame, rows: Mapping[str, pandas.Series]) -> str:
    """What a plot of groups leaves to the table; nothing where it has all."""
    groups = len(next(iter(rows.values())))
    cut = [f"the best {len(table)}"] * (len(table) < len(rows))
    cut += [f"the first {table.shape[1]} of {groups} groups"] * (table.shape[1] < groups)
    return f" Shown are {joined(cut)}: the table has all." if cut else ""


def _configurations(study: Study) -> dict[str, list[str]]:
    """Trials that differ only in their seed, by what they have in common."""
    sets: dict[str, list[str]] = {}
    for record in study.done:
        sets.setdefault(", ".join(record.axes.get(axis, "") for axis in study.compared) or "the trial", []).append(
            record.id
        )
    return sets


def _values(study: Study) -> dict[str, list[str]]:
    """Trials by each value of each axis."""
    return {
        f"{spoken(axis)}: {value}": [record.id for record in study.done if record.axes.get(axis) == value]
        for axis in study.compared
        for value in study.design(axis).present
    }
