"""Which examples train in a phase, which are held out of them, and how many steps that makes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from workbench.config.phase import Phase
from workbench.contracts.dataset import Dataset
from workbench.contracts.example import Example
from workbench.data.image_views import Keys
from workbench.data.sampler import by_hash, share_of
from workbench.errors import UserError
from workbench.storage.splits import TRAIN
from workbench.training.optimization import steps_of


def training_examples(dataset: Dataset, tasks: Sequence[str], share: float = 1.0) -> dict[Keys, list[Example]]:
    """The training examples of these tasks, by their images, of a share of these; `UserError` when there are
    none."""
    grouped: dict[Keys, list[Example]] = {}
    for task in tasks:
        for example in dataset.examples(TRAIN, task):
            grouped.setdefault(example.row, []).append(example)
    if not grouped:
        raise UserError(f"the dataset has no training examples for the tasks {', '.join(tasks)}")
    return {key: grouped[key] for key in share_of(grouped, share)}


def hold_out(
    grouped: Mapping[Keys, list[Example]], share: float, seed: int
) -> tuple[dict[Keys, list[Example]], dict[Keys, list[Example]]]:
    """The examples that train and those that are held out, by their images.

    Which images are held out depends on the seed and on nothing else, so that phases of one trial hold out the same
    ones, and a larger share those of a smaller one and more.
    """
    if not share:
        return dict(grouped), {}
    held = set(by_hash(f"{seed}/held out", grouped)[: min(max(1, round(share * len(grouped))), len(grouped) - 1)])
    return (
        {key: examples for key, examples in grouped.items() if key not in held},
        {key: examples for key, examples in grouped.items() if key in held},
    )


def planned_steps(phase: Phase, dataset: Dataset, seed: int) -> int:
    """How many optimizer steps a phase takes, unless its patience ends before."""
    trains, _ = hold_out(training_examples(dataset, phase.tasks, phase.data_share), phase.held_out, seed)
    return steps_of(phase, len(trains))
