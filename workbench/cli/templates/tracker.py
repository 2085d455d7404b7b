"""A tracker: shows a run to another tool. This one writes a log that a person can follow with `tail -f`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

from pydantic import Field, PositiveInt

from workbench import Tracker, hookimpl


class NewPlugin(Tracker):
    """A line for every so many steps of a training, and one for each trial."""

    # What stands behind the `*` is set in the experiment file: `trackers: [{name: new_plugin, every: 10}]`.
    def __init__(
        self, *, every: Annotated[PositiveInt, Field(description="steps between two lines of a training")] = 10
    ):
        self.every = every

    def open(self, experiment: str, folder: Path) -> None:
        """`folder` is where the results of the experiment lie; a folder of its own there is the tracker's."""
        own = folder / "new_plugin"
        own.mkdir(parents=True, exist_ok=True)
        self._log = (own / "log.txt").open("a", encoding="utf-8", buffering=1)  # a line is there when it is written

    def advance(self, training: str, step: int, steps: int, loss: float) -> None:
        """A training has done a step."""
        if step % self.every == 0 or step == steps:
            self._log.write(f"{training}: step {step} of {steps}, loss {loss:.4f}\n")

    def finish(self, trial: str, axes: Mapping[str, str], metrics: Mapping[str, float]) -> None:
        """A trial has its result; the first metric is the one that the experiment is decided by."""
        name, value = next(iter(metrics.items()))
        self._log.write(f"{', '.join(axes.values()) or trial}: {name} {value:.4f}\n")

    def close(self) -> None:
        """The run has ended."""
        self._log.close()


@hookimpl
def register_trackers(register):
    """The name that experiment files use."""
    register("new_plugin", NewPlugin)
