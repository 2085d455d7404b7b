"""MLflow: trainings and trials as runs of one experiment (extra `mlflow`)."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

from pydantic import Field

from workbench import Tracker, UserError, hookimpl


class MLflowTracker(Tracker):
    """Runs in `mlflow/` beside the trials, or on the tracking server of `uri`.

    Each training is a run with its loss; each trial is one with all numbers of its record, its place on every axis as
    parameters.
    """

    def __init__(
        self,
        *,
        uri: Annotated[
            str | None, Field(description="tracking server; null: the folder mlflow/ beside the trials")
        ] = None,
    ):
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # nothing goes over the network unasked
        try:
            from mlflow.tracking import MlflowClient  # pyright: ignore[reportMissingImports]
        except ImportError as error:
            raise UserError("'mlflow' needs that package: pip install 'workbench[mlflow]'") from error
        self.uri = uri
        self._client_of = MlflowClient

    def open(self, experiment: str, folder: Path) -> None:
        """Use the experiment of that name, here or on the server; it is made when there is none."""
        own = folder.resolve() / "mlflow"
        if self.uri is None:
            own.mkdir(exist_ok=True)
        store = f"sqlite:///{own}/runs.db"
        self._client = self._client_of(tracking_uri=self.uri or store, registry_uri=None if self.uri else own.as_uri())
        found = self._client.get_experiment_by_name(experiment)
        self._experiment = found.experiment_id if found else self._client.create_experiment(experiment)
        self._trainings: dict[str, str] = {}

    def advance(self, training: str, step: int, steps: int, loss: float) -> None:
        """Log the loss; the first step begins a run, the last one ends it."""
        if training not in self._trainings:
            self._trainings[training] = self._begin(training, "training")
        self._client.log_metric(self._trainings[training], "loss", loss, step=step)
        if step == steps:
            self._client.set_terminated(self._trainings.pop(training))

    def finish(self, trial: str, axes: Mapping[str, str], metrics: Mapping[str, float]) -> None:
        """A run with the place on every axis as parameters and all numbers as metrics, ended at once."""
        run = self._begin(", ".join(axes.values()) or trial, "trial")
        self._client.set_tag(run, "trial", trial)
        for axis, label in axes.items():
            self._client.log_param(run, _name(axis), label)
        for name, value in metrics.items():
            self._client.log_metric(run, _name(name), value)
        self._client.set_terminated(run)

    def close(self) -> None:
        """Trainings that did not come to their end are marked as killed."""
        for run in self._trainings.values():
            self._client.set_terminated(run, "KILLED")

    def _begin(self, name: str, what: str) -> str:
        return self._client.create_run(self._experiment, run_name=name, tags={"kind": what}).info.run_id


def _name(text: str) -> str:
    """MLflow takes letters, digits and few marks in names."""
    return re.sub(r"[^\w./ -]+", "_", text)


@hookimpl
def register_trackers(register):
    """MLflow."""
    register("mlflow", MLflowTracker)
