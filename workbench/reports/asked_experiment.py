"""What a report is told of an experiment file: which trials it has, and what they are called there.

A report is made from records alone, and knows nothing of how a file becomes trials.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from workbench.storage.experiment_summary import Summary


@dataclass(frozen=True)
class AskedTrial:
    """A trial of the experiment file, whether it was run or not, and where it stands on each axis."""

    id: str
    axes: Mapping[str, str]
    seed: int


@dataclass(frozen=True)
class AskedExperiment:
    """The experiment file as it is now, with every `--set` put in."""

    path: Path
    summary: Summary
    trials: tuple[AskedTrial, ...]
