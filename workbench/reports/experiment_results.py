"""What an experiment gave, ready to be asked: its trials, every metric with its resamples, and what its axes do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy
import pandas

from workbench.reports.metric_format import Scale
from workbench.reports.metric_samples import Reading
from workbench.reports.question_groups import QuestionGroups
from workbench.reports.trainings import Training
from workbench.statistics.bootstrap import RESAMPLES, Array
from workbench.statistics.comparisons import Comparisons, Rules, make_comparisons
from workbench.statistics.design import SEED, Design
from workbench.statistics.effects import Effect, axis_effects, value_means
from workbench.statistics.estimates import Interval, Sample
from workbench.statistics.interactions import Interaction
from workbench.statistics.seed_noise import Spread
from workbench.storage.askings import Askings
from workbench.storage.conditions import CONTROLS, GAIN, WITH_IMAGE
from workbench.storage.experiment_summary import Summary
from workbench.storage.records import DONE, Record

if TYPE_CHECKING:
    from workbench.reports.asked_experiment import AskedExperiment, AskedTrial


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
    damaged: Mapping[str, str] = field(
        default_factory=dict
    )  # by id, of trials that are left out: which file is damaged
    readings: tuple[Reading, ...] = ()  # the metrics that could be read
    notes: tuple[str, ...] = ()  # metrics that could not, and why
    stale: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # by trial id: what changed since it was made
    not_compared: tuple[str, ...] = ()  # of which nobody can say here whether it changed, and why
    spread: Spread | None = None  # between seeds, where the experiment gives it or borrows it from other results
    asked: AskedExperiment | None = None  # the experiment file that the trials are those of; None: of the last run
    inputs: Mapping[str, list[Any]] = field(default_factory=dict)  # [bytes, SHA-256] of the files read, by their names
    final: Study | None = None  # the same trained trials asked the test split at the end: their axis is `trial`
    askings: Askings = Askings(0, 0)  # how often runs of the folder asked a test split, by the folder's log
    left_out: tuple[Record, ...] = ()  # whole records of strays and damaged trials: they count for what all tries took
    trainings: Mapping[str, tuple[Training, ...]] = field(default_factory=dict)  # by trial id, of all in the folder

    @cached_property
    def done(self) -> list[Record]:
        """The trials that finished: they alone are in tables of numbers and in averages."""
        return [record for record in self.records if record.status == DONE]

    @cached_property
    def failed(self) -> list[Record]:
        """The trials that ended with an error: listed, and in no average."""
        return [record for record in self.records if record.status != DONE]

    @property
    def expected(self) -> int:
        """How many trials were asked for, run or not."""
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
        """The seeds that finished trials began from, each once; with one, nothing is known of the luck of training."""
        return sorted(set(self.axes[SEED])) if self.done else []

    @property
    def has_gain(self) -> bool:
        """Whether a control was evaluated, so that what the image is worth is known."""
        return GAIN in self.samples

    @property
    def measures(self) -> list[str]:
        """The metrics that were computed, each followed by its details."""
        controlled = {f"{metric}.{control}" for metric in self.summary.metrics for control in CONTROLS}
        return [name for name in self.samples if not _is_gain(name) and name not in controlled]

    @cached_property
    def groups(self) -> QuestionGroups:
        """What the finished trials answered, by the group that their questions are of."""
        resamples = len(self.samples[self.primary].replicates) if self.primary in self.samples else RESAMPLES
        predictions = {record.id: self.predictions[record.id] for record in self.done}
        seeds = [seed_label(record) for record in self.done]
        return QuestionGroups(self.readings, predictions, seeds, resamples)

    def scale(self, metric: str) -> Scale:
        """How that metric is read; a visual gain is read as the primary metric, and more of it is better."""
        name = self.primary if _is_gain(metric) else metric.partition(".")[0]
        found = next((record.scales[name] for record in self.done if name in record.scales), {})
        higher = True if _is_gain(metric) else found.get("higher_is_better", True)
        return Scale(higher, found.get("percent", False))

    def baseline(self, axis: str) -> str:
        """The value that others are compared with."""
        return self.summary.baseline.get(axis, self.summary.axes[axis][0])

    @cached_property
    def trained(self) -> list[frozenset[str]] | None:
        """The keys of the stages that trained each finished trial; None where older records do not say."""
        told = [record.provenance.get("trained") for record in self.done]
        return None if any(each is None for each in told) else [frozenset(each) for each in told if each is not None]

    @cached_property
    def rules(self) -> Rules:
        """How values are compared."""
        asked = {name: each for name, each in self.summary.statistics.items() if name in ("correction", "pairs")}
        return Rules(**asked, spread=self.spread, equal_spread=bool(self.summary.statistics.get("equal_spread")))

    @cached_property
    def designs(self) -> dict[str, Design]:
        """What can be compared along each axis."""
        return {axis: Design(self.axes, axis, self.summary.axes[axis], self.trained) for axis in self.compared}

    def design(self, axis: str) -> Design:
        """What can be compared along that axis."""
        return self.designs[axis]

    @cached_property
    def comparisons(self) -> Comparisons:
        """Everything that the report compares by the primary metric, corrected together."""
        baselines = [self.baseline(axis) for axis in self.compared]
        sample = self.samples[self.primary]
        return make_comparisons([*self.designs.values()], sample, baselines, self.rules, self.same_answers)

    @cached_property
    def asked_alike(self) -> bool:
        """Whether all finished trials answered the same questions."""
        asked = (frame.loc[frame["condition"] == WITH_IMAGE, "id"] for frame in self.predictions.values())
        return len({frozenset(each.unique()) for each in asked}) < 2

    def same_answers(self, one: int, other: int) -> bool:
        """Whether two finished trials, by their places, answered every question alike."""
        answers = []
        for place in (one, other):
            frame = self.predictions[self.done[place].id]
            shown = frame[["id", "answer"]].loc[frame["condition"] == WITH_IMAGE]
            answers.append(dict(zip(shown["id"], shown["answer"], strict=True)))
        return answers[0] == answers[1]

    def effects(self, axis: str, metric: str | None = None, baseline: str | None = None) -> list[Effect]:
        """What each value of the axis does to a metric (the primary one), against the baseline value. Another metric is
        compared along this axis alone."""
        against, metric = baseline or self.baseline(axis), metric or self.primary
        if (axis, metric, against) not in self._effects:
            self._effects[axis, metric, against] = self._effects_of(axis, metric, against)
        return self._effects[axis, metric, against]

    def _effects_of(self, axis: str, metric: str, against: str) -> list[Effect]:
        primary = metric == self.primary
        made, rules = (self.comparisons, self.rules) if primary else (None, replace(self.rules, spread=None))
        higher = self.scale(metric).higher_is_better
        return axis_effects(self.design(axis), self.samples[metric], against, higher, made, rules)

    def means(self, axis: str, metric: str) -> list[Interval]:
        """The mean of a metric of each value of the axis."""
        return value_means(self.design(axis), self.samples[metric], self.spread if metric == self.primary else None)

    @cached_property
    def _effects(self) -> dict[tuple[str, str, str], list[Effect]]:
        """Those that were asked for, by axis, metric and baseline."""
        return {}

    @cached_property
    def interactions(self) -> list[Interaction]:
        """Whether what one axis does to the primary metric depends on another one."""
        return self.comparisons.interactions

    def cost(self, axis: str, label: str, name: str, *others: str) -> float:
        """A number of the records (bytes, latency ...), averaged as the metric of that value is; beside `others` over
        the combinations in which those were tried as well. NaN where there is none."""
        design = self.design(axis)
        cells = design.cells_for(label, *others) if label in design.present else ()
        if not cells:
            return float("nan")
        weights = design.weights(label, cells)
        # What a trial that does not count here lacks is no matter.
        return float(weights @ numpy.where(weights == 0, 0.0, self.numbers(name)))

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


def seed_label(record: Record) -> str:
    """The seed a trial began from, as it stands in tables and labels."""
    return str(record.axes.get(SEED, record.spec.get(SEED, 0)))


def _is_gain(metric: str) -> bool:
    return metric.partition(".")[0] == GAIN


def _machine(provenance: Mapping[str, Any]) -> str:
    name, instructions = provenance.get("cpu"), provenance.get("instructions")
    return provenance.get("gpu") or (f"{name} ({instructions})" if name and instructions else name or "")
