"""The tables of a report: one of all trials, one for each axis, and one of all axes together."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy

from workbench.reports.best_of import best_first, of_how_many
from workbench.reports.conditions import conditions_table, verdict_notes
from workbench.reports.contract_notes import trial_notes
from workbench.reports.correction_notes import corrected_for, correction_notes
from workbench.reports.cost_columns import cost_cells, cost_columns, costs_of
from workbench.reports.experiment_results import GAIN, Study, seed_label
from workbench.reports.flips import flip_cells, flip_columns, flip_notes, flips
from workbench.reports.metric_format import MetricFormat, format_for
from workbench.reports.number_format import MINUS, p_value, significant
from workbench.reports.power_notes import detectable_columns, detectable_notes
from workbench.reports.seed_notes import seed_notes
from workbench.reports.table_formats import Column, Table
from workbench.reports.wording import capital, joined, spoken
from workbench.statistics.design import SEED
from workbench.statistics.effects import Effect
from workbench.statistics.estimates import Interval
from workbench.statistics.verdicts import BASELINE
from workbench.storage.conditions import CONTROLS
from workbench.storage.records import Record

STALE, MARK, NOT_RUN = "stale", "†", "not run"
DAMAGED = "damaged"
# What a trial may have been tried on besides: shown where any trial has it.
PROBES: tuple[tuple[str, str, str, Callable[[float], str]], ...] = (
    ("text_perplexity", "text perplexity", "", significant),
    ("text_perplexity.before", "text perplexity before", "", significant),
)


def all_tables(study: Study) -> list[Table]:
    """The table of trials and, where anything was scored, one for each axis, one of all axes together, and the
    conditions of each axis."""
    if study.primary not in study.samples:
        return [trials_table(study)]
    axes = [axis_table(study, axis) for axis in study.compared]
    conditions = [conditions_table(study, axis) for axis in study.compared]
    return [trials_table(study), *axes, *filter(None, [interactions_table(study)]), *conditions]


def trial_intervals(study: Study, metric: str) -> list[Interval]:
    """The interval of each finished trial, over images alone: a trial has one seed."""
    sample = study.samples.get(metric)
    if sample is None:
        return [Interval(math.nan, math.nan, math.nan)] * len(study.done)
    return sample.intervals


def format_of(study: Study, metric: str) -> MetricFormat:
    """How a metric is written throughout a report: alike in every table, plot and sentence."""
    return format_for(metric, study.scale(metric), trial_intervals(study, metric))


def trials_table(study: Study) -> Table:
    """Every trial, the best first; failed ones at the end."""
    metrics = [name for name in (*study.measures, GAIN) if name in study.samples]
    controls = [name for each in CONTROLS if (name := f"{study.primary}.{each}") in study.samples]
    intervals = {name: trial_intervals(study, name) for name in metrics}
    rows = []
    for place, record in enumerate(study.done):
        row: dict[str, Any] = _identity(study, record) | stale_cell(study, record)
        row |= {name: intervals[name][place] for name in metrics}
        row |= {name: study.samples[name].estimates[place] for name in controls}
        rows.append(
            row | cost_cells(record) | {name: record.metrics.get(name, math.nan) for name, *_ in _probes(study)}
        )
    rows.sort(key=lambda row: _rank(study, row))
    rows += [_identity(study, record) for record in study.failed]
    rows += [{**dict(trial.axes), "id": trial.id, SEED: str(trial.seed), "status": NOT_RUN} for trial in study.missing]
    rows += _damaged_rows(study)
    columns = [
        *_axis_columns(study),
        *_metric_columns(study, metrics),
        *_control_columns(study, controls),
        *cost_columns(study),
        *(Column(name, heading, unit, show) for name, heading, unit, show in _probes(study)),
        *stale_columns(study),
    ]
    caption = f"All trials, {best_first(study)}, with 95 % intervals over the questions."
    notes = [*filter(None, [of_how_many(study)]), *_missing(study), *legend(study), *trial_notes(study)]
    return Table("trials", caption, columns, rows, notes)


def axis_table(study: Study, axis: str) -> Table:
    """One axis: each value's mean over the other axes and seeds, and its difference to the baseline."""
    effects = study.effects(axis)
    extra = [name for name in (*study.measures, GAIN) if name in study.samples and name != study.primary]
    means = {name: study.means(axis, name) for name in extra}
    turned = flips(study, axis)
    rows = []
    for place, effect in enumerate(effects):
        row: dict[str, Any] = {axis: effect.value, study.primary: effect.mean, "difference": effect.difference}
        row |= flip_cells(turned.get(effect.value))
        row |= {"p": effect.p, "own_spread_p": effect.own_spread_p, "verdict": effect.verdict}
        row |= {"detectable": None if math.isnan(effect.detectable) else effect.detectable}
        row |= {"trials": effect.trials, "seeds": effect.seeds}
        row |= {name: means[name][place] for name in extra}
        row |= {name: study.cost(axis, effect.value, name) for name, *_ in (*costs_of(study), *_probes(study))}
        rows.append(row | {STALE: _count_stale(study, axis, effect.value) or None})
    primary = format_of(study, study.primary)
    columns = [
        Column(axis, spoken(axis), show=str, numeric=False),
        Column(study.primary, primary.words, primary.unit, primary.interval),
        Column("difference", "difference", primary.difference_unit, primary.difference),
        *flip_columns(turned.values()),
        *_p_columns(effects),
        Column("verdict", "verdict", numeric=False),
        *detectable_columns(effects, primary),
        *_metric_columns(study, extra),
        *(Column(name, heading, unit, show) for name, heading, unit, show in (*costs_of(study), *_probes(study))),
        Column("trials", "trials"),
        *([Column("seeds", "seeds")] if len(study.seeds) > 1 else []),
        *([Column(STALE, "out of date", show=f"{{}} {MARK}".format)] if study.stale else []),
    ]
    name = f"axis_{axis.replace('.', '_')}"
    notes = [
        *verdict_notes(study, axis),
        *axis_notes(study, axis, effects),
        *flip_notes(turned.values()),
        *legend(study),
    ]
    return Table(name, axis_caption(study, axis), columns, rows, notes)


def interactions_table(study: Study) -> Table | None:
    """Whether what one axis does depends on another: a row for each question; None with fewer than two axes."""
    order = {axis: place for place, axis in enumerate(study.compared)}
    found = [each for each in study.interactions if order[each.axis] < order[each.other]]
    if not found:
        return None
    form = format_of(study, study.primary)
    unit, show = form.difference_unit, form.difference
    columns = [
        Column("what", "difference", numeric=False),
        Column("at", "with", numeric=False),
        Column("here", "it is", unit, show),
        Column("reference", "with", numeric=False),
        Column("there", "it is", unit, show),
        Column("change", "change", unit, show),
        Column("p", "p", show=p_value),
        Column("verdict", "verdict", numeric=False),
    ]
    rows = [
        {
            "what": f"{each.value} {MINUS} {each.baseline}",
            **{name: getattr(each, name) for name in ("at", "here", "reference", "there", "change", "p", "verdict")},
        }
        for each in sorted(found, key=lambda each: each.p)
    ]
    caption = "Does the difference that one axis makes depend on another? With 95 % intervals"
    notes = correction_notes(study, [(each.change, each.verdict) for each in found])
    if all(math.isnan(each.p) for each in found):
        columns = [column for column in columns if column.key != "p"]
        return Table("interactions", f"{caption} over the questions.", columns, rows, notes)
    return Table("interactions", f"{caption}, p {corrected_for(study)}.", columns, rows, notes)


def stale_columns(study: Study) -> list[Column]:
    """The column of a table of trials that marks those which are out of date; none where none is."""
    return [Column(STALE, "out of date", show=lambda _: MARK, numeric=False)] if study.stale else []


def stale_cell(study: Study, record: Record) -> dict[str, str]:
    """What stands there for a trial: in CSV what changed since it was made."""
    return {STALE: ", ".join(study.stale.get(record.id, ()))}


def legend(study: Study) -> list[str]:
    """The note below a table that says what the mark of its stale rows means; none where no row has it."""
    if not study.stale:
        return []
    return [f"{MARK} Out of date: code, data or weights it was made of have changed since."]


def axis_caption(study: Study, axis: str) -> str:
    """The caption of an axis's table: over what its means go, and what its differences are to."""
    others = [spoken(each) for each in study.compared if each != axis] + (["seed"] if len(study.seeds) > 1 else [])
    over = f"mean over {joined(others)}" if others else "one trial a value"
    p = f", p {corrected_for(study)}" if any(not math.isnan(each.p) for each in study.effects(axis)) else ""
    against = f"differences are to {study.baseline(axis)}{p}"
    return f"{capital(spoken(axis))}: {over}, with 95 % intervals; {against}."


def axis_notes(study: Study, axis: str, effects: Sequence[Effect]) -> list[str]:
    """What a reader has to know before trusting the table."""
    design, notes = study.design(axis), []
    if not any(effect.verdict == BASELINE for effect in effects):
        notes.append(f"The baseline {study.baseline(axis)} has no finished trial, so nothing can be compared with it.")
    if design.present and not design.cells:
        notes.append(
            "No combination of the other axes has results for every value:"
            " each value is compared with the baseline over those that both have."
        )
    elif len(design.cells) < len(design.all_cells):
        notes.append(
            f"Compared over the {len(design.cells)} of {len(design.all_cells)} combinations of the other axes"
            f" that have results for every value{', from two seeds or more' if design.all_of_one_seed else ''}."
        )
    notes += correction_notes(study, [(each.difference, each.verdict) for each in effects])
    return [*notes, *seed_notes(study, axis, effects), *detectable_notes(effects)]


def _p_columns(effects: Sequence[Effect]) -> list[Column]:
    """Of methods alone: of a trained model it is said that it answered better, and not how sure that is of others."""
    columns = [Column("p", "p", show=p_value)] if any(not math.isnan(each.p) for each in effects) else []
    if any(not math.isnan(each.own_spread_p) for each in effects):
        columns.append(Column("own_spread_p", "p without equal spread", show=p_value))
    return columns


def _identity(study: Study, record: Record) -> dict[str, Any]:
    axes = {axis: record.axes.get(axis, "") for axis in study.compared}
    return {"id": record.id, **axes, SEED: seed_label(record), "status": record.status}


def _damaged_rows(study: Study) -> list[dict[str, Any]]:
    """Of trials that are left out; an experiment file says where they stand."""
    asked = {trial.id: trial for trial in study.asked.trials} if study.asked else {}
    axes = {id_: {**dict(trial.axes), SEED: str(trial.seed)} for id_, trial in asked.items()}
    ids = [id_ for id_ in study.damaged if id_ in study.summary.trials]
    return [{SEED: "", **axes.get(id_, {}), "id": id_, "status": DAMAGED} for id_ in ids]


def _rank(study: Study, row: dict[str, Any]) -> float:
    """Best first; what has no score comes last."""
    interval = row.get(study.primary)
    if interval is None or math.isnan(interval.estimate):
        return math.inf
    return -interval.estimate if study.scale(study.primary).higher_is_better else interval.estimate


def _axis_columns(study: Study) -> list[Column]:
    columns = [Column(axis, spoken(axis), show=str, numeric=False) for axis in study.compared]
    columns += [Column(SEED, SEED)] if len(study.seeds) > 1 else []
    columns += [Column("status", "status", numeric=False)] if study.failed or study.missing or study.damaged else []
    return [*columns, *([] if columns else [Column("id", "trial", numeric=False)])]


def _metric_columns(study: Study, names: Sequence[str]) -> list[Column]:
    columns = []
    for name in names:
        form = format_of(study, name)
        unit = form.difference_unit if name == GAIN else form.unit
        columns.append(Column(name, form.words, unit, form.interval))
    return columns


def _control_columns(study: Study, names: Sequence[str]) -> list[Column]:
    form = format_of(study, study.primary)
    return [Column(name, spoken(name.rpartition(".")[2]), form.unit, form.value) for name in names]


def _probes(study: Study) -> list[tuple[str, str, str, Callable[[float], str]]]:
    return [probe for probe in PROBES if not numpy.isnan(study.numbers(probe[0])).all()]


def _count_stale(study: Study, axis: str, value: str) -> int:
    return sum(record.id in study.stale for record in study.done if record.axes.get(axis) == value)


def _missing(study: Study) -> list[str]:
    notes = []
    if study.failed:
        notes.append(f"{len(study.failed)} failed: listed, and in no average.")
    if study.strays and study.command:
        notes.append(f"{study.strays} more in the folder are not part of this experiment file and left out.")
    elif study.strays:
        notes.append(f"{study.strays} more in the folder are not part of what was asked for last and left out.")
    if len(study.records) < study.expected:
        notes.append(f"{len(study.done)} of {study.expected} trials have results so far.")
    if study.missing and study.command:
        notes.append(f"Those not run yet: {study.command}")
    return notes
