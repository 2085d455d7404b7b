"""A results folder -> its report, with what is to be said of results that are out of date."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from workbench.registry import Registry, load_registry
from workbench.reports.asked_experiment import AskedExperiment, AskedTrial
from workbench.reports.page import write_report
from workbench.reports.results_data import read_study
from workbench.runs.staleness import with_staleness
from workbench.storage.experiment_summary import summary_of

if TYPE_CHECKING:
    from workbench.config.experiment import Experiment


def make_report(
    results_folder: Path, registry: Registry | None = None, experiment: Experiment | None = None, command: str = ""
) -> Path:
    """Read the results and write their report; returns the path of its page.

    It is about the trials of the `experiment`, which `command` runs; by default about those that were asked for last.
    """
    asked = asked_of(experiment) if experiment else None
    study = read_study(results_folder, registry=registry, experiment=asked, command=command)
    return write_report(with_staleness(study, registry or load_registry(), experiment), results_folder, registry)


def asked_of(experiment: Experiment) -> AskedExperiment:
    """What a report is told of an experiment."""
    summary = summary_of({**experiment.summary(), "text": experiment.text})
    trials = tuple(AskedTrial(trial.id, trial.axes, trial.seed) for trial in experiment.trials)
    return AskedExperiment(experiment.path, summary, trials)
