"""Experiment file -> experiment: read, checked in full, and expanded into trials before anything runs.

Imports no torch of its own; the registry it is given has loaded the plugins.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

from workbench.config.comparison_settings import ComparisonSettings
from workbench.config.component import Component
from workbench.config.experiment_file import ExperimentFile, FileReader, read_keys
from workbench.config.grid import Axis, Point, Value, count_points, points_of
from workbench.config.match_settings import MatchSettings, Sizer, Sizing
from workbench.config.overrides import apply_overrides
from workbench.config.phase import AUTO, Evaluation, Phase
from workbench.config.problems import Document, ExperimentError
from workbench.config.resolve import Resolver
from workbench.config.selection import choose_baseline, choose_final, keep
from workbench.config.sized_trials import make_alike
from workbench.config.trial import Trial
from workbench.config.validation_messages import shown
from workbench.config.yaml_source import read_yaml_file, write_yaml
from workbench.errors import UserError, did_you_mean
from workbench.registry import Registry
from workbench.storage.splits import HELD_OUT, TEST

__all__ = ["Experiment", "ExperimentError", "load_experiment", "plugin_folders"]

MOST_TRIALS = 100_000


@dataclass(frozen=True)
class Experiment:
    """A checked experiment. `text` is the YAML that is run, with every `--set` put in; `auto_precision` what the trials
    compute in where the file leaves that to the device, None where it does not; `final` the trials that the test split
    is asked about at the end, each with that split; `matched` what was set to make variants alike, by `match`;
    `document` says where everything was written."""

    name: str
    question: str
    path: Path
    text: str
    axes: Mapping[str, tuple[str, ...]]
    baseline: Mapping[str, str]
    metrics: tuple[str, ...]
    trials: tuple[Trial, ...]
    seeds: tuple[int, ...]
    folders: tuple[Path, ...]
    launcher: Component | None = None
    trackers: tuple[Component, ...] = ()
    auto_precision: str | None = None
    statistics: ComparisonSettings = ComparisonSettings()
    final: tuple[Trial, ...] = ()
    match: MatchSettings | None = None
    matched: tuple[Sizing, ...] = ()
    document: Document | None = field(default=None, repr=False, compare=False)

    def on_test(self) -> Experiment:
        """The experiment of the final trials alone. Raises `UserError` where the file names none."""
        if not self.final:
            raise UserError(
                f"{self.path} names no trials under 'final'. Write there which ones the test split is asked about, as"
                " final: [{fusion: NAME}], or [{}] for all: named before they are tested, none is picked by its test"
            )
        return replace(self, trials=self.final)

    def summary(self) -> dict[str, Any]:
        """What `experiment.json` holds, for a report that is made where the file and its plugins are not."""
        return {
            "name": self.name,
            "question": self.question,
            "axes": {axis: list(labels) for axis, labels in self.axes.items()},
            "baseline": dict(self.baseline),
            "metrics": list(self.metrics),
            "trials": [trial.id for trial in self.trials],
            "auto_precision": self.auto_precision,
            "statistics": self.statistics.spec(),
            "final": [trial.id for trial in self.final],
            "matched": [sizing.spec() for sizing in self.matched],
        }


def plugin_folders(path: Path | str | None, extra: Iterable[Path | str] = ()) -> tuple[Path, ...]:
    """The user's plugin folders: `plugins/` beside the experiment file, if there is one, and those given. The
    workbench's own `plugins/` is loaded anyway and left out here."""
    own = [Path(folder).resolve() for folder in importlib.import_module("workbench.plugins").__path__]
    beside = [] if path is None else [Path(path).resolve().parent / "plugins"]
    folders = [*(folder for folder in beside if folder.is_dir()), *(Path(folder).resolve() for folder in extra)]
    return tuple(folder for folder in dict.fromkeys(folders) if folder not in own)


def load_experiment(
    path: Path | str,
    registry: Registry,
    overrides: Sequence[str] = (),
    auto_precision: Callable[[str], str] | None = None,
    sizer: Sizer | None = None,
) -> Experiment:
    """Read and check an experiment file; `ExperimentError` names every problem with its line.

    `auto_precision` says what `precision: auto` means to the experiment of a name; by default what this machine's
    device multiplies natively. `sizer` makes variants alike where the file has a `match`: none is loaded without.
    """
    path = Path(path)
    text, document = _read(path, overrides)
    reader = read_keys(document, path.stem, registry)
    reader.check_beginning()
    metrics = reader.metrics()
    launcher, trackers = reader.launcher(), reader.trackers()
    statistics, match = reader.statistics(), reader.match()
    made = _make(reader, metrics, statistics, match, auto_precision or _native_precision, sizer)
    return Experiment(
        name=reader.file.name,
        question=reader.file.question,
        path=path,
        text=text,
        axes=made.axes,
        baseline=made.baseline,
        metrics=tuple(metric.name for metric in metrics),
        trials=tuple(made.trials),
        seeds=tuple(dict.fromkeys(trial.seed for trial in made.trials)),
        folders=registry.folders,
        launcher=launcher,
        trackers=trackers,
        auto_precision=made.precision,
        statistics=statistics,
        final=made.final,
        match=match,
        matched=made.sizings,
        document=document,
    )


@dataclass(frozen=True)
class _Made:
    """The trials of a file, and what was found on the way to them."""

    trials: Sequence[Trial]
    axes: dict[str, tuple[str, ...]]
    baseline: dict[str, str]
    sizings: tuple[Sizing, ...]
    precision: str | None
    final: tuple[Trial, ...]


def _make(
    reader: FileReader,
    metrics: tuple[Component, ...],
    statistics: ComparisonSettings,
    match: MatchSettings | None,
    auto_precision: Callable[[str], str],
    sizer: Sizer | None,
) -> _Made:
    """The trials, sized and with their precision; `ExperimentError` tells all that is wrong with the file so far."""
    trials, axes = _expand(reader, metrics)
    reader.problems.stop_if_any()
    labelled, unread = [trial.axes for trial in trials], reader.named_axes()
    baseline = choose_baseline(labelled, reader.file.baseline, axes, unread, reader.problems)
    sized = make_alike(trials, baseline, axes, match, sizer, reader.problems)
    trials, precision = _with_precision(sized.trials, reader.file.name, auto_precision)
    _check_trials(trials, reader, precision, statistics)
    final = _final(trials, reader, axes)
    reader.problems.stop_if_any()
    there = {axis.name: _labels_there(axis, trials) for axis in axes}
    return _Made(trials, there, baseline, sized.sizings, precision, final)


def _read(path: Path, overrides: Sequence[str]) -> tuple[str, Document]:
    """The YAML that is run, and its keys; `ExperimentError` when there are none."""
    text, document = read_yaml_file(path)
    if not isinstance(document.value, dict):
        held = "the file is empty" if document.value is None else f"the file holds {shown(document.value)}"
        message = f"{held}. Write keys: {', '.join(ExperimentFile.model_fields)}"
        raise ExperimentError((document.places[()], message))
    if not overrides:
        return text, document
    document = apply_overrides(document, overrides)
    return f"# {path.name} with --set {' --set '.join(overrides)}\n{write_yaml(document.value)}", document


def _expand(reader: FileReader, metrics: tuple[Component, ...]) -> tuple[list[Trial], list[Axis]]:
    """The trials, and the axes with every label that occurs. What is wrong is noted by the reader."""
    variant_axes, variant_points = reader.variants()
    grid = [*reader.grid(), reader.seeds()]
    if count_points(grid, variant_points) > MOST_TRIALS:
        reader.problems.add(
            ("grid",), f"there are more than {MOST_TRIALS:,} trials. Give fewer values, or use variants"
        )
        return [], []
    points = list(points_of(grid, variant_points))
    names = tuple(metric.name for metric in metrics)
    resolver = Resolver(reader.document, reader.registry, (*variant_axes, *grid), reader.awaited(), names)
    labelled = [_labels_of(point, resolver) for point in points]
    axes = [_with_labels(axis, labelled) for axis in resolver.axes]
    kept = keep(labelled, reader.file.exclude, axes, reader.named_axes(), reader.problems)
    found = [resolver.trial(points[number], reader.file.name, metrics, labelled[number]) for number in kept]
    reader.problems.add_all(dict.fromkeys(fault for resolved in found for fault in resolved.faults))
    return [resolved.value for resolved in found if resolved.value], axes


def _native_precision(name: str) -> str:
    from workbench.devices.device import find_device
    from workbench.devices.precision import native_precision

    return native_precision(find_device("auto"))


def _with_precision(
    trials: Sequence[Trial], name: str, auto_precision: Callable[[str], str]
) -> tuple[Sequence[Trial], str | None]:
    """The trials with a precision where it was left to the device, and that precision; None where it never was."""
    if not any(each.precision == AUTO for trial in trials for each in (*trial.phases, trial.evaluation)):
        return trials, None
    precision = auto_precision(name)

    @cache
    def computed(settings: Phase | Evaluation) -> Any:  # what trials shared they share again
        return settings.computed_in(precision)

    return [
        replace(trial, phases=tuple(map(computed, trial.phases)), evaluation=computed(trial.evaluation))
        for trial in trials
    ], precision


def _labels_of(point: Point, resolver: Resolver) -> dict[str, str]:
    return {
        axis.name: axis.labels[point[axis.name]] if axis.name in point else resolver.current(axis.name, point)
        for axis in resolver.axes
    }


def _with_labels(axis: Axis, labelled: Sequence[Mapping[str, str]]) -> Axis:
    """The axis with the labels of trials whose variant leaves it out."""
    extra = tuple(dict.fromkeys(labels[axis.name] for labels in labelled if labels[axis.name] not in axis.labels))
    return Axis(axis.name, (*axis.values, *(Value(text, ("variants",)) for text in extra)), axis.labels + extra)


def _check_trials(
    trials: Sequence[Trial], reader: FileReader, precision: str | None, statistics: ComparisonSettings
) -> None:
    """Whether they are different, and reach what is to be reached where somebody looks."""
    _check_different(trials, reader, precision)
    _check_targets(trials, statistics.steps_to, reader)


def _check_different(trials: Sequence[Trial], reader: FileReader, precision: str | None) -> None:
    """Equal trials would be one result under two labels."""
    seen: dict[str, Trial] = {}
    for trial in trials:
        same = seen.setdefault(trial.id, trial)
        if same is not trial:
            advice = "Remove a value that equals the option's default or has no effect there, or exclude one of them"
            auto = "" if precision is None else f", where precision: auto is {precision}"
            message = f"these trials are the same: '{same.label}' and '{trial.label}'{auto}. {advice}"
            reader.problems.add(("variants",) if reader.file.variants else ("grid",), message)
            return


def _check_targets(trials: Sequence[Trial], targets: Mapping[str, float], reader: FileReader) -> None:
    """What is to be reached has to be looked at on the way."""
    looked_at = {name for trial in trials for phase in trial.phases for name in phase.validate_with}
    metrics = [metric.name for metric in trials[0].metrics] if trials else []
    for name, value in targets.items():
        keys = ("statistics", "steps_to", name)
        if name not in metrics:
            known = f"{did_you_mean(name, metrics)} Its metrics: {', '.join(metrics)}"
            reader.problems.add(keys, f"the experiment has no metric '{name}'.{known}")
        elif name not in looked_at:
            advice = (
                f"Write 'held_out: 0.1', 'validate_every: 20' and 'validate_with: [{name}]' in the phase that is meant"
            )
            reader.problems.add(keys, f"no phase validates with '{name}', so nobody sees when it is reached. {advice}")
        elif getattr(reader.registry.plugin("metric", name).factory, "percent", False) and not 0 <= value <= 1:
            advice = f"Write {value / 100:g} for {value:g} %" if 0 <= value <= 100 else "Write 0.95 for 95 %"
            reader.problems.add(keys, f"'{name}' is a share, from 0 to 1. {advice}")


def _final(trials: Sequence[Trial], reader: FileReader, axes: Sequence[Axis]) -> tuple[Trial, ...]:
    """The trials that `final` names, with the test split as what they are asked."""
    labelled, unread = [trial.axes for trial in trials], reader.named_axes()
    numbers = choose_final(labelled, reader.file.final, axes, unread, reader.problems)
    chosen = [trials[number] for number in numbers]
    if any(trial.evaluation.split == TEST for trial in chosen):
        advice = f"Remove 'final', or choose on other images: write evaluation: {{split: {HELD_OUT}}}"
        reader.problems.add(("final",), f"the test split is asked by every run: 'evaluation.split' is {TEST}. {advice}")
    return tuple(trial.asked(TEST) for trial in chosen)


def _labels_there(axis: Axis, trials: Sequence[Trial]) -> tuple[str, ...]:
    """The labels that occur, in their order."""
    there = {trial.axes[axis.name] for trial in trials}
    return tuple(text for text in axis.labels if text in there)
