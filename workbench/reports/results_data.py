"""Reads a results folder: the records that are there, and every metric with its resamples.

Metrics are computed afresh from the predictions; the record's own numbers serve for the costs and as a check.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas

from workbench.registry import Registry, RegistryError, load_registry, resolve_options
from workbench.reports.experiment_results import Study, seed_label
from workbench.reports.final_trials import final_records, final_summary, on_test_splits
from workbench.reports.metric_samples import Reading, read_samples
from workbench.reports.seed_spread import seed_spread
from workbench.reports.trainings import Training, trainings_of
from workbench.reports.visual_gains import gain_samples
from workbench.statistics.bootstrap import RESAMPLES
from workbench.storage.askings import askings_of
from workbench.storage.checksums import measured
from workbench.storage.experiment_summary import Summary
from workbench.storage.predictions import PredictionsReader
from workbench.storage.records import (
    COUNTS,
    DONE,
    TRIALS,
    Record,
    read_curve,
    read_summary,
)
from workbench.storage.result_files import CURVE, PREDICTIONS, RECORD, SUMMARY, TEST_LOG, TEXT
from workbench.storage.whole_trials import read_whole

if TYPE_CHECKING:
    from workbench.contracts.metric import Metric
    from workbench.reports.asked_experiment import AskedExperiment, AskedTrial


def read_study(
    results_folder: Path,
    resamples: int = RESAMPLES,
    registry: Registry | None = None,
    experiment: AskedExperiment | None = None,
    command: str = "",
) -> Study:
    """Read a results folder and resample every metric, for the trials of the `experiment`, under the labels they have
    there; by default for those that were asked for last. Others in the folder are left out, and so are those of which a
    file is not what was written.

    `registry` has the metrics that are no means of scores; by default the built-in ones. `command` runs the experiment.
    """
    there = read_whole(results_folder)
    found, damaged = there.whole, there.damaged
    summary = experiment.summary if experiment else read_summary(results_folder)
    records = _asked_for(found, summary, experiment)
    study = replace(
        _study_of(records, summary, results_folder, resamples, registry),
        missing=_missing(experiment, {*damaged, *(record.id for record in records)}),
        damaged={id_: damaged[id_] for id_ in (*summary.trials, *summary.final) if id_ in damaged},
        command=command or (f"workbench run {experiment.path}" if experiment else ""),
        askings=askings_of(results_folder, on_test_splits(found)),
    )
    tested = final_records(found, study, experiment)
    summary = final_summary(study, tested)
    final = _study_of(tested, summary, results_folder, resamples, registry) if tested else None
    told = {record.id for record in (*records, *tested)}
    strays = tuple(record for record in found if record.id not in told)
    curves = {**study.curves, **(final.curves if final else {}), **_curves_of(strays, results_folder)}
    left_out = (*strays, *there.answers_damaged)
    return replace(
        study,
        strays=sum(record.id not in study.damaged for record in left_out),
        final=final,
        asked=experiment,
        inputs=_measured(results_folder, [*records, *tested], left_out, experiment is None),
        left_out=left_out,
        trainings=_trainings(found, curves),
    )


def _study_of(
    records: list[Record], summary: Summary, results_folder: Path, resamples: int, registry: Registry | None
) -> Study:
    """These records with what they answered, every metric resampled."""
    done = [record for record in records if record.status == DONE]
    folders = {record.id: results_folder / TRIALS / record.id for record in done}
    reader = PredictionsReader()
    predictions = {id_: reader.read(folder) for id_, folder in folders.items()}
    curves = {id_: read_curve(folder) for id_, folder in folders.items()}
    readings, notes = _readings(summary.metrics, done, predictions, registry)
    seeds = [seed_label(record) for record in done]
    frames = [predictions[record.id] for record in done]
    samples = read_samples(readings, frames, seeds, resamples) if done else {}
    study = Study(
        summary=summary,
        records=records,
        predictions=predictions,
        curves=curves,
        samples=samples,
        readings=tuple(readings),
        notes=tuple(notes),
        spread=seed_spread(summary, records, results_folder),
    )
    return replace(study, samples={**samples, **gain_samples(study, frames, resamples)})


def _asked_for(found: Sequence[Record], summary: Summary, experiment: AskedExperiment | None) -> list[Record]:
    """The records of these trials, in their order; the labels that a record has itself may be those of another grid."""
    by_id = {record.id: record for record in found}
    records = [by_id[id_] for id_ in summary.trials if id_ in by_id]
    axes = {trial.id: dict(trial.axes) for trial in experiment.trials} if experiment else {}
    return [replace(record, axes=axes.get(record.id, record.axes)) for record in records]


def _missing(experiment: AskedExperiment | None, there: Collection[str]) -> tuple[AskedTrial, ...]:
    return tuple(trial for trial in experiment.trials if trial.id not in there) if experiment else ()


def _curves_of(strays: Sequence[Record], results_folder: Path) -> dict[str, pandas.DataFrame]:
    """Those of trials that are left out."""
    return {record.id: read_curve(results_folder / TRIALS / record.id) for record in strays}


def _trainings(found: Sequence[Record], curves: dict[str, pandas.DataFrame]) -> dict[str, tuple[Training, ...]]:
    """By trial, where that is on record: the stages that trained it, and what each took."""
    told = {record.id: trainings_of(record, curves[record.id]) for record in found if record.id in curves}
    return {id_: each for id_, each in told.items() if each is not None}


def _measured(
    results_folder: Path, records: Sequence[Record], strays: Sequence[Record], by_folder: bool
) -> dict[str, list[Any]]:
    """[bytes, SHA-256] of the files that a report rests on; of strays it tells the time they took alone."""
    used = [(record, (RECORD, PREDICTIONS, CURVE)) for record in records]
    used += [(record, (RECORD, CURVE)) for record in strays]
    files = [results_folder / TRIALS / record.id / name for record, names in used for name in names]
    asked = [results_folder / name for name in (SUMMARY, TEXT)] if by_folder else []
    found = [file for file in (*asked, results_folder / TEST_LOG, *files) if file.is_file()]
    return {file.relative_to(results_folder).as_posix(): measured(file) for file in found}


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
    return registry.create("metric", name, **resolve_options(registry.plugin("metric", name), options))
