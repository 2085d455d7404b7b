"""TensorBoard: curves while they grow, and trials side by side (extra `tensorboard`)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from workbench import Tracker, UserError, hookimpl


class TensorBoardTracker(Tracker):
    """Event files in `tensorboard/` beside the trials: `tensorboard --logdir results/EXPERIMENT/tensorboard`.

    Each training is a run with its loss; each trial is one with all numbers of its record, and a row among the
    hyperparameters with its place on every axis.
    """

    def __init__(self) -> None:
        try:
            from torch.utils.tensorboard.writer import SummaryWriter
        except ImportError as error:
            raise UserError("'tensorboard' needs that package: pip install 'workbench[tensorboard]'") from error
        self._writer_of = SummaryWriter

    def open(self, experiment: str, folder: Path) -> None:
        """Files are written to `tensorboard/` in the folder, and none before the first number."""
        self._folder = folder / "tensorboard"
        self._trainings: dict[str, Any] = {}

    def advance(self, training: str, step: int, steps: int, loss: float) -> None:
        """Write the loss; the last step closes the file."""
        if training not in self._trainings:
            self._trainings[training] = self._writer_of(str(self._folder / "trainings" / _file_name(training)))
        self._trainings[training].add_scalar("loss", loss, step)
        if step == steps:
            self._trainings.pop(training).close()

    def finish(self, trial: str, axes: Mapping[str, str], metrics: Mapping[str, float]) -> None:
        """A file of its own with all numbers, and a row among the hyperparameters."""
        name = _file_name(", ".join([*axes.values(), trial]))
        with self._writer_of(str(self._folder / "trials" / name)) as writer:
            writer.add_hparams(dict(axes), {_tag(metric): value for metric, value in metrics.items()}, run_name=".")

    def close(self) -> None:
        """Close the files of trainings that did not come to their end; what they have is kept."""
        for writer in self._trainings.values():
            writer.close()


def _file_name(label: str) -> str:
    return re.sub(r"[^\w.,()=-]+", "_", label).strip("._")[:100]


def _tag(metric: str) -> str:
    """`m.group.g` -> `m/group.g`: what belongs to a metric stands together."""
    return metric.replace(".", "/", 1)


@hookimpl
def register_trackers(register):
    """TensorBoard."""
    register("tensorboard", TensorBoardTracker)
