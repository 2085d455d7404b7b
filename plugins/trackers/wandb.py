"""Weights & Biases, offline unless asked otherwise (extra `wandb`)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from workbench import Tracker, UserError, hookimpl


class WandbTracker(Tracker):
    """Runs of one group in `wandb/` beside the trials; `offline` needs no account, and `wandb sync` sends them later.

    Each training is a run with its loss; each trial is one with all numbers of its record, its place on every axis as
    configuration.
    """

    def __init__(
        self,
        *,
        project: Annotated[str, Field(description="project that the runs belong to")] = "workbench",
        mode: Annotated[
            Literal["offline", "online"],
            Field(description="offline: kept in wandb/ beside the trials until `wandb sync`; online: sent at once"),
        ] = "offline",
    ):
        try:
            import wandb
        except ImportError as error:
            raise UserError("'wandb' needs that package: pip install 'workbench[wandb]'") from error
        self.project = project
        self.mode: Literal["offline", "online"] = mode
        self._wandb: Any = wandb

    def open(self, experiment: str, folder: Path) -> None:
        """The experiment is the group of all runs; nothing is sent or written yet."""
        self._group, self._folder = experiment, folder
        self._trainings: dict[str, Any] = {}

    def advance(self, training: str, step: int, steps: int, loss: float) -> None:
        """Log the loss; the first step begins a run, the last one ends it."""
        if training not in self._trainings:
            self._trainings[training] = self._begin(training, "training", {})
        self._trainings[training].log({"loss": loss}, step=step)
        if step == steps:
            self._trainings.pop(training).finish()

    def finish(self, trial: str, axes: Mapping[str, str], metrics: Mapping[str, float]) -> None:
        """A run with the place on every axis as configuration and all numbers as its summary."""
        run = self._begin(", ".join(axes.values()) or trial, "trial", {**axes, "trial": trial})
        run.summary.update(dict(metrics))
        run.finish()

    def close(self) -> None:
        """Trainings that did not come to their end are marked as failed."""
        for run in self._trainings.values():
            run.finish(exit_code=1)

    def _begin(self, name: str, what: str, config: dict[str, str]) -> Any:
        """A run beside others of this process."""
        return self._wandb.init(
            project=self.project,
            group=self._group,
            job_type=what,
            name=name,
            config=config,
            dir=self._folder,
            mode=self.mode,
            reinit="create_new",
            settings=self._wandb.Settings(silent=True),
        )


@hookimpl
def register_trackers(register):
    """Weights & Biases."""
    register("wandb", WandbTracker)
