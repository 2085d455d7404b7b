"""An experiment's results, ready to be asked: the records that are there, and every metric with its resamples.

Metrics are computed afresh from the predictions; the record's own numbers serve for the costs and as a check.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy
import pandas

from workbench.records import (
    DONE,
    SCORE,
    TRIALS,
    Record,
    Summary,
    altered_files,
    read_curve,
    read_predictions,
    read_records,
    read_summary,
)
from workbench.statistics import RESAMPLES, SEED, Array, Design, Effect, Sample, axis_effects, resampled_means

PICTURE, CONTROLS = "picture", ("no_picture", "shuffled")
GAIN = "visual_gain"
DISAGREEMENT = 1e-4  # predictions round their scores to six digits; records do not


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
    altered: tuple[str, ...] = ()  # files that are not what was written with their record

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
            {**{axis: record.axes.get(axis, "") for axis in self.compared}, SEED: seed_of(record)}
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
    def groups(self) -> list[str]:
        """The groups of questions."""
        names = {name for frame in self.predictions.values() for name in frame["group"].unique() if name}
        return sorted(names)

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

    def cost(self, axis: str, label: str, name: str) -> float:
        """A number of the records (bytes, latency ...), averaged as the metric of that value is."""
        design = self.design(axis)
        if label not in design.present:
            return float("nan")
        return float(design.weights(label, design.cells_for(label)) @ self.numbers(name))

    def numbers(self, name: str) -> Array:
        """[T]: one number of each finished trial's record."""
        return numpy.array([record.metrics.get(name, numpy.nan) for record in self.done], dtype=numpy.float64)

    def label(self, record: Record) -> str:
        """A trial in words: the values of the axes that differ."""
        words = [record.axes.get(axis, "") for axis in self.compared]
        seed = [f"seed {seed_of(record)}"] if len(self.seeds) > 1 else []
        return ", ".join([*words, *seed]) or "the only trial"

    def by_group(self, metric: str) -> pandas.DataFrame:
        """The metric of each finished trial (rows) in each group of questions (columns)."""
        rows = {}
        for id_, frame in self.predictions.items():
            shown = frame.loc[(frame["condition"] == PICTURE) & (frame["group"] != "")]
            if SCORE + metric in shown:
                rows[id_] = {str(group): part[SCORE + metric].mean() for group, part in shown.groupby("group")}
        return pandas.DataFrame.from_dict(rows, orient="index")

    def disagreements(self) -> list[str]:
        """Where a record's metric is not what its predictions give, or a file beside it is another one."""
        found = [f"{file} is not what was written with the record: its checksum differs" for file in self.altered]
        for place, record in enumerate(self.done):
            for name, sample in self.samples.items():
                written, computed = record.metrics.get(name, numpy.nan), sample.estimates[place]
                if abs(written - computed) > DISAGREEMENT:
                    found.append(
                        f"{record.id}: {name} is {written:.6g} in the record, {computed:.6g} from the predictions"
                    )
        return found


def read_study(results_folder: Path, resamples: int = RESAMPLES) -> Study:
    """Read a results folder and resample every metric. Trials of an earlier version of the experiment are left out."""
    summary, found = read_summary(results_folder), read_records(results_folder)
    records = [record for record in found if record.id in set(summary.trials)]
    done = [record for record in records if record.status == DONE]
    folders = {record.id: results_folder / TRIALS / record.id for record in done}
    altered = [f"{each.id}: {name}" for each in done for name in altered_files(folders[each.id], each)]
    predictions = {id_: read_predictions(folder) for id_, folder in folders.items()}
    curves = {id_: read_curve(folder) for id_, folder in folders.items()}
    samples = _samples(summary.metrics, done, predictions, resamples)
    study = Study(summary, records, predictions, curves, samples, len(found) - len(records), tuple(altered))
    gain = _visual_gain(study)
    return replace(study, samples={**samples, GAIN: gain}) if gain else study


def seed_of(record: Record) -> str:
    """The seed a trial began from."""
    return str(record.axes.get(SEED, record.spec.get(SEED, 0)))


def _samples(
    metrics: Sequence[str], done: Sequence[Record], predictions: dict[str, pandas.DataFrame], resamples: int
) -> dict[str, Sample]:
    """Every metric under every condition that any trial has: `m`, `m.no_picture`, `m.shuffled`."""
    if not done:
        return {}
    names = {(m, c): m if c == PICTURE else f"{m}.{c}" for m in metrics for c in (PICTURE, *CONTROLS)}
    frames = [predictions[record.id] for record in done]
    pictures = pandas.Index(dict.fromkeys(key for frame in frames for key in frame["picture"].astype(str)))
    columns = {
        (name, place): _picture_sums(frame, *key, pictures)
        for key, name in names.items()
        for place, frame in enumerate(frames)
    }
    sums, counts = (numpy.stack(each) for each in zip(*columns.values(), strict=True))
    means = resampled_means(sums, counts, resamples) if len(pictures) else numpy.full((resamples, len(sums)), numpy.nan)
    with numpy.errstate(invalid="ignore"):
        estimates = sums.sum(1) / counts.sum(1)
    seeds = [seed_of(record) for record in done]
    samples = {}
    for place, name in enumerate(names.values()):
        chosen = slice(place * len(done), (place + 1) * len(done))
        if not numpy.isnan(estimates[chosen]).all():
            limits = (0.0, 1.0) if _is_share(done, name) else (-numpy.inf, numpy.inf)
            samples[name] = Sample(estimates[chosen], means[:, chosen], seeds, len(pictures), limits)
    return samples


def _is_share(done: Sequence[Record], name: str) -> bool:
    """Whether a metric, under whatever condition, is a share between 0 and 1."""
    return any(record.scales.get(name.partition(".")[0], {}).get("percent", False) for record in done)


def _picture_sums(frame: pandas.DataFrame, metric: str, condition: str, pictures: pandas.Index) -> tuple[Array, Array]:
    """Sum and number of a trial's scores in each picture, both [P]."""
    empty = numpy.zeros(len(pictures))
    if SCORE + metric not in frame:
        return empty, empty
    chosen = frame.loc[(frame["condition"] == condition) & frame[SCORE + metric].notna()]
    places = pictures.get_indexer(list(chosen["picture"].astype(str)))
    scores = numpy.asarray(chosen[SCORE + metric], dtype=numpy.float64)
    counts = numpy.bincount(places, minlength=len(pictures)).astype(numpy.float64)
    return numpy.bincount(places, scores, len(pictures)).astype(numpy.float64), counts


def _visual_gain(study: Study) -> Sample | None:
    """Metric with the picture minus the better control, in every resample as in the estimate."""
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
        shown.pictures,
        (shown.limits[0] - shown.limits[1], shown.limits[1] - shown.limits[0]),
    )
