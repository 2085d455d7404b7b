"""The trials that were tested at the end: which of a folder's records they are, and as what they are compared."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from workbench.reports.experiment_results import Study, seed_label
from workbench.statistics.design import SEED
from workbench.storage.experiment_summary import Summary
from workbench.storage.hashing import digest
from workbench.storage.records import DONE, Record
from workbench.storage.splits import CHOOSING, is_for_choosing

if TYPE_CHECKING:
    from workbench.reports.asked_experiment import AskedExperiment

FINAL = "test_split"  # the table of them
TRIAL = "trial"  # their only axis: of the others they need not have every combination
NOBODY = "–"  # a value that no trial has: an axis has two at least


def final_records(found: Sequence[Record], study: Study, experiment: AskedExperiment | None) -> list[Record]:
    """Of the records of a folder those of its final trials; each is called what the trial is called that it tests."""
    axes: dict[str, Mapping[str, str]] = {record.id: record.axes for record in study.records}
    axes |= {trial.id: trial.axes for trial in experiment.trials} if experiment else {}
    tested = []
    by_id = {record.id: record for record in found}
    for record in (by_id[id_] for id_ in study.summary.final if id_ in by_id):
        labels = axes.get(_chosen_as(record, study.summary.trials), record.axes)
        label = _label([labels.get(axis, "") for axis in study.compared])
        tested.append(replace(record, axes={TRIAL: label, SEED: str(labels.get(SEED, seed_label(record)))}))
    return tested


def final_summary(study: Study, tested: Sequence[Record]) -> Summary:
    """What they are compared by: every trial is a value, and the baseline that of the experiment, tested or not."""
    baseline = _label([study.baseline(axis) for axis in study.compared])
    labels = dict.fromkeys([*(record.axes[TRIAL] for record in tested), baseline, NOBODY])
    seeds = dict.fromkeys(record.axes[SEED] for record in tested)
    return replace(
        study.summary,
        axes={TRIAL: list(labels), SEED: list(seeds)},
        baseline={TRIAL: baseline},
        trials=[record.id for record in tested],
    )


def split_of(record: Record) -> str:
    """The split that a trial was asked."""
    return str(record.spec.get("evaluation", {}).get("split", ""))


def on_test_splits(found: Iterable[Record]) -> list[tuple[str, str]]:
    """The ids of the trials that were asked a test split and answered, each with the key of its evaluation."""
    tested = (
        each for each in found if each.status == DONE and (split := split_of(each)) and not is_for_choosing(split)
    )
    return [(each.id, str(each.provenance.get("key", ""))) for each in tested]


def _chosen_as(record: Record, trials: Collection[str]) -> str:
    """The id of the trial that this is the test of: the hash of the same spec with a split to choose on."""
    evaluation: dict[str, Any] = record.spec.get("evaluation", {})
    others = ({**record.spec, "evaluation": {**evaluation, "split": split}} for split in CHOOSING)
    return next((id_ for spec in others if (id_ := digest(spec)) in trials), "")


def _label(values: Sequence[str]) -> str:
    return ", ".join(values) or "the only trial"
