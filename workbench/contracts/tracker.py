"""What a tracker provides: it shows a run to another tool."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar


class Tracker:
    """Shows a run to another tool while it goes on. Factory: `Tracker(*, options)`.

    Called in the process that was started, never in a worker. A *training* is one phase; trials that share it are told
    of it once. What a tracker raises is shown, and ends its part in the run and nothing else.
    """

    kind: ClassVar[str] = "tracker"

    def open(self, experiment: str, folder: Path) -> None:
        """A run begins. `folder` is the experiment's own among the results: files may go into one of theirs there."""
        raise NotImplementedError

    def advance(self, training: str, step: int, steps: int, loss: float) -> None:
        """A training has done `step` of `steps` steps, the last one with this loss. After a restart, steps go on."""
        raise NotImplementedError

    def finish(self, trial: str, axes: Mapping[str, str], metrics: Mapping[str, float]) -> None:
        """The trial of that id has its result: where it stands on each axis, and the numbers of its record, without
        those that are none."""
        raise NotImplementedError

    def close(self) -> None:
        """The run ended, or was ended."""
