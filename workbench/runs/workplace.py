"""What a worker is given to do, and where it finds and puts things."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.config.trial import Trial
from workbench.model.build import build_dataset
from workbench.runs.memo import Memo
from workbench.storage.hashing import digest

if TYPE_CHECKING:
    from torch import Tensor

    from workbench.checkpoints.tokenizer import Tokenizer
    from workbench.contracts.dataset import Dataset
    from workbench.registry import Registry
    from workbench.runs.stages import FeatureStage, Stage
    from workbench.storage.artifacts import ArtifactStore


@dataclass(frozen=True)
class StageJob:
    """A stage, the keys of the features it reads, the name of the node it is to run on, and the `token` of the run's
    claim to it, if there is one."""

    stage: Stage | FeatureStage
    features: tuple[str, ...] = ()
    node: str = ""
    token: str | None = None

    @property
    def key(self) -> str:
        """By which a launcher tells the job from others: the key of the stage, which no other job of a run has."""
        return self.stage.key


@dataclass(frozen=True)
class Workplace:
    """Where a worker finds and puts things. `provenance` is what the whole run has in common; `snapshot_seconds` lie
    between two snapshots of a phase, 0 is one after every step; `asked_to_end` says whether a last one is due. One that
    is `elsewhere` than the run was planned may see other files."""

    registry: Registry
    store: ArtifactStore
    results: Path
    device: str
    provenance: dict[str, Any]
    snapshot_seconds: float = 60.0
    asked_to_end: Callable[[], bool] = lambda: False
    elsewhere: bool = False
    fingerprints: Memo = field(default_factory=Memo)  # of data that was looked at here
    datasets: dict[str, Dataset] = field(default_factory=dict)  # read once by each worker
    tokenizers: dict[int, Tokenizer] = field(default_factory=dict)  # trained once on the dataset's text
    perplexities: dict[str, float] = field(default_factory=dict)  # of plain text, before any training
    means: dict[Hashable, Tensor] = field(default_factory=dict)  # mean training images, by data and encoder
    flops: Memo = field(default_factory=Memo)  # of a step and an answer, which many trials have alike

    def check(self, job: StageJob) -> None:
        """Called before anything of a stage is kept: `ClaimLost` when it was given to somebody else meanwhile."""
        if job.token is not None:
            self.store.store.check_claim(job.key, job.token)

    def dataset(self, trial: Trial) -> Dataset:
        """The trial's dataset. Nothing that is asked of one changes it, nor does the seed, so stages share it;
        `CompositionError` when it cannot be built."""
        key = digest(trial.components["dataset"].work)
        if key not in self.datasets:
            self.tokenizers.clear()
            self.datasets.clear()  # images and questions of several would fill the memory
            self.datasets[key] = build_dataset(trial, self.registry)
        return self.datasets[key]
