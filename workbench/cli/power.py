"""An experiment file and results that are there -> which differences it would find with so many seeds and images."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas
from rich.console import Console
from rich.table import Table

from workbench.cli.report import asked_of
from workbench.cli.whole_table import print_whole
from workbench.config.experiment import Experiment
from workbench.errors import UserError
from workbench.model.image_features import needed_by_evaluation
from workbench.registry import Registry
from workbench.reports.damage_notes import damage
from workbench.reports.experiment_results import Study
from workbench.reports.metric_format import MetricFormat, Scale
from workbench.reports.number_format import significant
from workbench.reports.pilot import given_parts, own_parts, typical_parts
from workbench.reports.results_data import read_study
from workbench.reports.wording import joined, spoken
from workbench.runs.planner import Planner
from workbench.statistics.comparisons import Rules
from workbench.statistics.design import SEED
from workbench.statistics.planned_power import MOST_SEEDS, ErrorParts, Plan, PlannedAxis
from workbench.storage.result_files import SUMMARY

SEEDS, TIMES = (2, 3, 5, 10, 20), (1, 2, 4)  # of the table: seeds, and images times as many as are asked about


@dataclass(frozen=True)
class PowerQuestion:
    """What is asked: of results in the folder `results`, or of a `pilot`; for a `difference` in points, and for so many
    seeds and images besides those of the table."""

    results: Path
    difference: float | None = None
    seeds: int | None = None
    images: int | None = None
    pilot: Path | None = None


def show_power(console: Console, experiment: Experiment, registry: Registry, asked: PowerQuestion) -> None:
    """A table for each axis, and what finds the difference. `UserError` where nothing says how large errors are."""
    planner = Planner(experiment, registry, asked.results)
    trial = experiment.trials[0]
    images = len(planner.data.images(trial, needed_by_evaluation(trial.evaluation)))
    plan = _plan(experiment, planner)
    if not plan.compared:
        raise UserError(f"{experiment.path} has no axis with two values or more: there is nothing to compare")
    form = _form(experiment, registry)
    pilot = _Pilot(experiment, registry, asked, images, form)
    counts = _with([images * times for times in TIMES], asked.images)

    def say(text: str) -> None:
        console.print(text, highlight=False, markup=False, soft_wrap=True)

    for folder, study in pilot.studies:
        for told in damage(study):
            say(f"{folder}: {told}")
    found = [(axis, pilot.parts(axis)) for axis in plan.compared]
    say(
        f"The true difference in {form.words} that is found in 80 of 100 studies; the report makes {plan.comparisons}"
        f" comparison{'s' * (plan.comparisons > 1)}."
    )
    for axis, parts in found:
        for line in _told(experiment, axis, parts, form):
            say(line)
        print_whole(console, _table(axis, parts, form, _with(SEEDS, asked.seeds), counts))
        if asked.difference is not None:
            say(_smallest(axis, parts, form, asked.difference, counts))


def _with(numbers: Sequence[int], another: int | None) -> list[int]:
    return sorted({*numbers, *([] if another is None else [another])})


class _Pilot:
    """Where the errors of a difference are taken from: a pilot that is named, the experiment's own results, those its
    `seed_spread` names, or the number that it gives."""

    def __init__(
        self, experiment: Experiment, registry: Registry, asked: PowerQuestion, images: int, form: MetricFormat
    ):
        self.experiment, self.images, self.form = experiment, images, form
        self.own = asked.results / experiment.name
        self.given = experiment.statistics.seed_spread
        named = self.own.parent / self.given if isinstance(self.given, str) else None
        self.studies: list[tuple[Path, Study]] = []
        for folder in (asked.pilot,) if asked.pilot else (self.own, named):
            if folder is not None and ((folder / SUMMARY).is_file() or folder == asked.pilot):
                mine = folder.resolve() == self.own.resolve()
                study = read_study(folder, registry=registry, experiment=asked_of(experiment) if mine else None)
                self.studies.append((folder, study))

    def parts(self, axis: PlannedAxis) -> ErrorParts:
        """Of a difference along that axis. `UserError` where nothing tells it."""
        for folder, study in self.studies:
            if study.primary != self.experiment.metrics[0]:
                told = f"{folder} is about {spoken(study.primary)}, the file about {self.form.words}"
                raise UserError(f"{told}: give results of the same first metric with --from")
            mine = folder.resolve() == self.own.resolve()
            found = (own_parts(study, axis, str(folder)) if mine else None) or typical_parts(study, axis, str(folder))
            if found is not None:
                return found
        if self.given is not None and not isinstance(self.given, str) and self.form.scale.percent:
            source = f"'seed_spread: {self.given:g}', with the largest error that so many images can make"
            return given_parts(self.given / 100, self.images, axis, source)
        looked = joined([str(folder) for folder, _ in self.studies] or [str(self.own)], "or")
        raise UserError(
            f"nothing says how far seeds are apart: {looked} has no results of two seeds that differ. Give those"
            " of a pilot with --from RESULTS (one configuration with two seeds or more will do), or, for a share, a"
            " number of points as 'statistics: {seed_spread: ...}' in the file"
        )


def _plan(experiment: Experiment, planner: Planner) -> Plan:
    """What the report of the experiment will compare, and which trained stages its trials share."""
    compared = {axis: labels for axis, labels in experiment.axes.items() if axis != SEED and len(labels) > 1}
    rows = [{**{axis: trial.axes[axis] for axis in compared}, SEED: str(trial.seed)} for trial in experiment.trials]
    trained = [frozenset(planner.chains.chain(trial)[-1].trained) for trial in experiment.trials]
    settings = experiment.statistics
    rules = Rules(settings.correction, settings.pairs, equal_spread=settings.equal_spread)
    baselines = {axis: experiment.baseline.get(axis, labels[0]) for axis, labels in compared.items()}
    return Plan(pandas.DataFrame(rows, columns=[*compared, SEED]), compared, baselines, trained, rules)


def _form(experiment: Experiment, registry: Registry) -> MetricFormat:
    name = experiment.metrics[0]
    metric = experiment.trials[0].metrics[0]
    made = registry.create("metric", metric.name, **metric.options)
    return MetricFormat(name, Scale(made.higher_is_better, made.percent), 1 if made.percent else 3)


def _told(experiment: Experiment, axis: PlannedAxis, parts: ErrorParts, form: MetricFormat) -> Iterator[str]:
    """What the table of an axis rests on."""
    baseline = experiment.baseline.get(axis.axis, experiment.axes[axis.axis][0])
    how = "seeds compared as pairs, as trials share trained stages" if axis.shared else "no trained stage is shared"
    values = f"{axis.values} value{'s' * (axis.values > 1)}"
    yield f"\n{spoken(axis.axis)}: {values} against {baseline}, p below {significant(axis.level)}, {how}"
    unit = f" {form.difference_unit}".rstrip()
    errors = [form.detectable(math.sqrt(each)) for each in (parts.images, parts.seeds, parts.both)]
    yield (
        f"error of a difference with one seed and {parts.count:,} images: images {errors[0]}, seeds {errors[1]}, both"
        f" together {errors[2]}{unit} (from {parts.source})"
    )
    if math.isfinite(parts.freedom):
        low, high = parts.factors
        yield (
            f"what seeds have in it rests on {parts.freedom:.0f} degrees of freedom: it may be {low:.1f} to {high:.1f}"
            " times as large"
        )


def _table(
    axis: PlannedAxis, parts: ErrorParts, form: MetricFormat, seeds: Sequence[int], images: Sequence[int]
) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("seeds", justify="right")
    for count in images:
        table.add_column(f"{count:,} images", justify="right")
    for number in seeds:
        table.add_row(str(number), *(form.detectable(axis.detectable(parts, number, count)) for count in images))
    return table


def _smallest(
    axis: PlannedAxis, parts: ErrorParts, form: MetricFormat, difference: float, images: Sequence[int]
) -> str:
    """The fewest seeds for each number of images."""
    wanted = difference / (100 if form.scale.percent else 1)
    needed = {count: axis.seeds_for(wanted, parts, count) for count in images}
    ways = [f"{seeds} seeds with {count:,} images" for count, seeds in needed.items() if seeds]
    least = f"{difference:g} {form.difference_unit}".strip()
    if not ways:
        return f"{least}: not found with {MOST_SEEDS} seeds and {images[-1]:,} images"
    return f"{least}: found from {joined(ways, 'or')}"
