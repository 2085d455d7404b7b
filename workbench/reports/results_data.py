"""An experiment's results, ready to be asked: the records that are there, and every metric with its resamples.

Metrics are computed afresh from the predictions; the record's own numbers serve for the costs and as a check.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy
import pandas

from workbench.registry import Registry, RegistryError, load_registry, resolve_options
from workbench.reports.bootstrap import CONTROLS, WITH_IMAGE, Reading, group_samples, read_samples
from workbench.reports.interactions import Interaction, interactions
from workbench.reports.statistics import RESAMPLES, SEED, Array, Design, Effect, Sample, axis_effects
from workbench.storage.records import (
    COUNTS,
    DONE,
    TRIALS,
    Record,
    Summary,
    altered_files,
    read_curve,
    read_predictions,
    read_records,
    read_summary,
)

if TYPE_CHECKING:
    from workbench.contracts.metric import Metric
    from workbench.reports.asked_experiment import AskedExperiment, AskedTrial

GAIN = "visual_gain"
DISAGREEMENT = 1e-4  # as a share; predictions round their scores to six digits, records do not


@dataclass(frozen=True)
class Scale:
    """How a metric is read."""

    higher_is_better: bool
    percent: bool


@dataclass(frozen=True)
class Study:
    """Everything that tables, plots and the report are made from. Rows of `axes` and entries of samples are `done`."""

    summary: Summary
    records: list[Record]
    predictions: dict[str, pandas.DataFrame]
    curves: dict[str, pandas.DataFrame]
    samples: dict[str, Sample]
    strays: int = 0  # trials in the folder that the experiment no longer has
    missing: tuple[AskedTrial, ...] = ()  # of the experiment file, not run yet; without a file none is known
    command: str = ""  # what to type to run the experiment file, where there is one
    altered: tuple[str, ...] = ()  # files that are not what was written with their record
    readings: tuple[Reading, ...] = ()  # the metrics that could be read
    notes: tuple[str, ...] = ()  # metrics that could not, and why
    stale: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # by trial id: what changed since it was made
    not_compared: tuple[str, ...] = ()  # of which nobody can say here whether it changed, and why

    @cached_property
    def done(self) -> list[Record]:
        """The trials that have results."""
        return [record for record in self.records if record.status == DONE]

    @cached_property
    def failed(self) -> list[Record]:
        """The trials that ended with an error."""
        return [record for record in self.records if record.status != DONE]

    @property
    def expected(self) -> int:
        """How many trials the experiment has."""
        return len(self.summary.trials)

    @property
    def primary(self) -> str:
        """The metric that the experiment is decided by."""
        return self.summary.metrics[0]

    @cached_property
    def axes(self) -> pandas.DataFrame:
        """One row a finished trial: the labels of every axis, and the seed."""
        rows = [
            {**{axis: record.axes.get(axis, "") for axis in self.compared}, SEED: seed_label(record)}
            for record in self.done
        ]
        return pandas.DataFrame(rows, index=[record.id for record in self.done], columns=[*self.compared, SEED])

    @cached_property
    def compared(self) -> list[str]:
        """The axes that have something to compare; seeds are repetitions, not an axis of interest."""
        return [axis for axis, labels in self.summary.axes.items() if axis != SEED and len(labels) > 1]

    @cached_property
    def seeds(self) -> list[str]:
        """The seeds of the finished trials."""
        return sorted(set(self.axes[SEED])) if self.done else []

    @property
    def has_gain(self) -> bool:
        """Whether a control was evaluated."""
        return GAIN in self.samples

    @property
    def measures(self) -> list[str]:
        """The metrics that were computed, each followed by its details."""
        controlled = {f"{metric}.{control}" for metric in self.summary.metrics for control in CONTROLS}
        return [name for name in self.samples if name != GAIN and name not in controlled]

    @property
    def groups(self) -> list[str]:
        """The groups of questions."""
        names = {name for frame in self.predictions.values() for name in frame["group"].unique() if name}
        return sorted(names)

    @cached_property
    def grouped(self) -> dict[str, dict[str, Sample]]:
        """By group of questions: every metric and its details."""
        return {group: self.in_group(group) for group in self.groups}

    def scale(self, metric: str) -> Scale:
        """How that metric is read; the visual gain is read as the primary metric, and more of it is better."""
        name = self.primary if metric == GAIN else metric.partition(".")[0]
        found = next((record.scales[name] for record in self.done if name in record.scales), {})
        higher = True if metric == GAIN else found.get("higher_is_better", True)
        return Scale(higher, found.get("percent", False))

    def baseline(self, axis: str) -> str:
        """The value that others are compared with."""
        return self.summary.baseline.get(axis, self.summary.axes[axis][0])

    def design(self, axis: str) -> Design:
        """What can be compared along that axis."""
        return Design(self.axes, axis, self.summary.axes[axis])

    def effects(self, axis: str, metric: str | None = None, baseline: str | None = None) -> list[Effect]:
        """What each value of the axis does to a metric (the primary one), against the baseline value."""
        metric = metric or self.primary
        against = baseline or self.baseline(axis)
        return axis_effects(self.design(axis), self.samples[metric], against, self.scale(metric).higher_is_better)

    @cached_property
    def interactions(self) -> list[Interaction]:
        """Whether what one axis does to the primary metric depends on another one."""
        designs = [self.design(axis) for axis in self.compared]
        return interactions(designs, self.samples[self.primary], [self.baseline(axis) for axis in self.compared])

    def cost(self, axis: str, label: str, name: str) -> float:
        """A number of the records (bytes, latency ...), averaged as the metric of that value is."""
        design = self.design(axis)
        if label not in design.present:
            return float("nan")
        return float(design.weights(label, design.cells_for(label)) @ self.numbers(name))

    def numbers(self, name: str) -> Array:
        """[T]: one number of each finished trial's record."""
        return numpy.array([record.metrics.get(name, numpy.nan) for record in self.done], dtype=numpy.float64)

    @cached_property
    def machines(self) -> list[str]:
        """The GPUs, or CPUs with their instructions, that finished trials were made on: what takes longer on one says
        nothing of another."""
        return list(dict.fromkeys(name for record in self.done if (name := _machine(record.provenance))))

    def label(self, record: Record) -> str:
        """A trial in words: the values of the axes that differ."""
        words = [record.axes.get(axis, "") for axis in self.compared]
        seed = [f"seed {seed_label(record)}"] if len(self.seeds) > 1 else []
        return ", ".join([*words, *seed]) or "the only trial"

    def in_group(self, group: str) -> dict[str, Sample]:
        """Every metric, and its details, over the questions of one group."""
        frames = [self.predictions[record.id] for record in self.done]
        resamples = len(self.samples[self.primary].replicates) if self.primary in self.samples else RESAMPLES
        return group_samples(self.readings, frames, group, [seed_label(record) for record in self.done], resamples)

    def asked(self, id_: str, group: str) -> tuple[int, int]:
        """How many questions of a group a trial answered, about how many images."""
        frame = self.predictions[id_]
        shown = frame.loc[(frame["condition"] == WITH_IMAGE) & (frame["group"] == group)]
        return len(shown), shown["image"].nunique()

    def by_group(self, metric: str) -> pandas.DataFrame:
        """The metric of each finished trial (rows) in each group of questions (columns)."""
        ids = [record.id for record in self.done]
        columns = {group: self.grouped[group].get(metric) for group in self.groups}
        return pandas.DataFrame({group: each.estimates for group, each in columns.items() if each}, index=ids)

    def disagreements(self) -> list[str]:
        """Where a record's metric is not what its predictions give, or a file beside it is another one."""
        found = [f"{file} is not what was written with the record: its checksum differs" for file in self.altered]
        for place, record in enumerate(self.done):
            for name, sample in self.samples.items():
                written, computed = record.metrics.get(name, numpy.nan), sample.estimates[place]
                if abs(written - computed) > DISAGREEMENT * max(1.0, abs(written)):
                    found.append(
                        f"{record.id}: {name} is {written:.6g} in the record, {computed:.6g} from the predictions"
                    )
        return found


def read_study(
    results_folder: Path,
    resamples: int = RESAMPLES,
    registry: Registry | None = None,
    experiment: AskedExperiment | None = None,
    command: str = "",
) -> Study:
    """Read a results folder and resample every metric, for the trials of the `experiment`, under the labels they have
    there; by default for those that were asked for last. Others in the folder are left out.

    `registry` has the metrics that are no means of scores; by default the built-in ones. `command` runs the experiment.
    """
    found = read_records(results_folder)
    summary = experiment.summary if experiment else read_summary(results_folder)
    records = _asked_for(found, summary, experiment)
    done = [record for record in records if record.status == DONE]
    folders = {record.id: results_folder / TRIALS / record.id for record in done}
    altered = [f"{each.id}: {name}" for each in done for name in altered_files(folders[each.id], each)]
    predictions = {id_: read_predictions(folder) for id_, folder in folders.items()}
    curves = {id_: read_curve(folder) for id_, folder in folders.items()}
    readings, notes = _readings(summary.metrics, done, predictions, registry)
    seeds = [seed_label(record) for record in done]
    samples = read_samples(readings, [predictions[record.id] for record in done], seeds, resamples) if done else {}
    there = {record.id for record in records}
    study = Study(
        summary=summary,
        records=records,
        predictions=predictions,
        curves=curves,
        samples=samples,
        strays=len(found) - len(records),
        missing=tuple(trial for trial in experiment.trials if trial.id not in there) if experiment else (),
        command=command or (f"workbench run {experiment.path}" if experiment else ""),
        altered=tuple(altered),
        readings=tuple(readings),
        notes=tuple(notes),
    )
    gain = _visual_gain(study)
    return replace(study, samples={**samples, GAIN: gain}) if gain else study


def seed_label(record: Record) -> str:
    """The seed a trial began from, as it stands in tables and labels."""
    return str(record.axes.get(SEED, record.spec.get(SEED, 0)))


def _machine(provenance: Mapping[str, Any]) -> str:
    name, instructions = provenance.get("cpu"), provenance.get("instructions")
    return provenance.get("gpu") or (f"{name} ({instructions})" if name and instructions else name or "")


def _asked_for(found: Sequence[Record], summary: Summary, experiment: AskedExperiment | None) -> list[Record]:
    """The records of these trials, in their order; the labels that a record has itself may be those of another grid."""
    by_id = {record.id: record for record in found}
    records = [by_id[id_] for id_ in summary.trials if id_ in by_id]
    axes = {trial.id: dict(trial.axes) for trial in experiment.trials} if experiment else {}
    return [replace(record, axes=axes.get(record.id, record.axes)) for record in records]


def _readings(
    metrics: Sequence[str],
    done: Sequence[Record],
    predictions: dict[str, pandas.DataFrame],
    registry: Registry | None,
) -> tuple[list[Reading], list[str]]:
    """How each metric is read, and what is to be said of those that cannot be."""
    readings, notes = [], []
    for name in metrics:
        share = any(record.scales.get(name, {}).get("percent", False) for record in done)
        if not any(COUNTS + name in frame for frame in predictions.values()):
            readings.append(Reading(name, share))
            continue
        registry = registry or load_registry()
        try:
            readings.append(Reading(name, share, _metric(name, done, registry)))
        except RegistryError as error:
            notes.append(f"'{name}' is left out, since only its plugin can compute it from the predictions: {error}")
    return readings, notes


def _metric(name: str, done: Sequence[Record], registry: Registry) -> Metric:
    """The metric with the options that the trials were evaluated with."""
    specs = [each for record in done for each in record.spec.get("metrics", []) if each["name"] == name]
    options = {key: value for key, value in specs[0].items() if key != "name"} if specs else {}
    return registry.create("metric", name, **resolve_options(registry.entry("metric", name), options))


def _visual_gain(study: Study) -> Sample | None:
    """Metric with the image minus the better control, in every resample as in the estimate."""
    shown = study.samples.get(study.primary)
    controls = [study.samples[name] for each in CONTROLS if (name := f"{study.primary}.{each}") in study.samples]
    if shown is None or not controls:
        return None
    if study.scale(study.primary).higher_is_better:
        best = numpy.fmax.reduce
        sign = 1
    else:
        best = numpy.fmin.reduce
        sign = -1
    return Sample(
        sign * (shown.estimates - best([each.estimates for each in controls])),
        sign * (shown.replicates - best([each.replicates for each in controls])),
        shown.seeds,
        shown.images,
        (shown.limits[0] - shown.limits[1], shown.limits[1] - shown.limits[0]),
    )
