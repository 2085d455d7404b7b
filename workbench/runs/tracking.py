"""Tells the trackers of an experiment what happens in a run. One that fails is named once and left out from then on."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from workbench.runs.stages import Stage
from workbench.storage.records import read_record
from workbench.storage.result_files import TRIALS

if TYPE_CHECKING:
    from workbench.config.experiment import Experiment
    from workbench.contracts.launcher import Advance
    from workbench.contracts.tracker import Tracker
    from workbench.registry import Registry
    from workbench.runs.plan import AnyStage

KIND = "tracker"


def tracking_of(experiment: Experiment, registry: Registry, folder: Path, console: Console) -> Tracking:
    """The trackers that the experiment names, ready to be told; one that is named twice gets a number. `UserError` when
    one cannot be made, such as for want of its package."""
    trackers: dict[str, Tracker] = {}
    for number, component in enumerate(experiment.trackers, start=1):
        name = component.name if component.name not in trackers else f"{component.name} ({number})"
        trackers[name] = registry.create(KIND, component.name, **component.arguments())
    return Tracking(trackers, experiment.name, folder, console)


class Tracking:
    """All trackers of a run as one."""

    def __init__(self, trackers: dict[str, Tracker], experiment: str, folder: Path, console: Console):
        self.trackers = dict(trackers)
        self.experiment = experiment
        self.folder = folder
        self.console = console

    def __enter__(self) -> Tracking:
        self._tell(lambda tracker: tracker.open(self.experiment, self.folder))
        return self

    def __exit__(self, *reason: object) -> None:
        self._tell(lambda tracker: tracker.close())

    def advance(self, stage: AnyStage, news: Advance) -> None:
        """A stage is this far; what does not train is nobody's business."""
        if isinstance(stage, Stage) and not stage.evaluates and news.loss is not None:
            loss = news.loss
            self._tell(lambda tracker: tracker.advance(stage.label, news.done, news.total, loss))

    def finish(self, trial: str) -> None:
        """Tell the numbers of a trial's record, but those that are none."""
        if not self.trackers:
            return
        record = read_record(self.folder / TRIALS / trial)
        numbers = {name: value for name, value in record.metrics.items() if math.isfinite(value)}
        self._tell(lambda tracker: tracker.finish(record.id, dict(record.axes), numbers))

    def _tell(self, what: Callable[[Tracker], None]) -> None:
        for name, tracker in list(self.trackers.items()):
            try:
                what(tracker)
            except Exception as error:  # a tracker is anyone's code, and results do not depend on it
                del self.trackers[name]
                told = f"note: the {KIND} '{name}' is left out from here on: {type(error).__name__}: {error}"
                self.console.print(told, style="yellow", markup=False, soft_wrap=True)
