"""What a stage of training or evaluation begins with: data, the model the stage before left, features that are kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from workbench.data.broken_images import skipped_images
from workbench.errors import UserError
from workbench.model.build import corpus_of
from workbench.model.image_features import Features, fingerprint
from workbench.model.restore import RestoredModel, restore

if TYPE_CHECKING:
    from workbench.checkpoints.tokenizer import Corpus
    from workbench.config.trial import Trial
    from workbench.contracts.dataset import Dataset
    from workbench.contracts.encoder import Encoder
    from workbench.runs.stages import Stage
    from workbench.runs.workplace import StageJob, Workplace
    from workbench.storage.artifacts import Artifact


@dataclass(frozen=True)
class Beginning:
    """What a stage begins with. `unrepeatable` names the operation, here or in a stage before, that may give other last
    bits each time; `features` are those of its images, where they are kept."""

    dataset: Dataset
    built: RestoredModel
    features: Features | None
    unrepeatable: str | None


def begin(job: StageJob, stage: Stage, place: Workplace, unrepeatable: str | None) -> Beginning:
    """Build the model on the worker's device, and open what it looks at."""
    dataset = place.dataset(stage.trial)
    built = build_for(stage, dataset, place)
    built.model.to(place.device)
    features = _features(job, built.model.encoder, place)
    unrepeatable = unrepeatable or (built.before.summary.get("unrepeatable") if built.before else None)
    return Beginning(dataset, built, features, unrepeatable)


def build_for(stage: Stage, dataset: Dataset, place: Workplace) -> RestoredModel:
    """The model as the stage before left it."""
    trial = stage.trial
    before = place.store.read(stage.before) if stage.before else None
    corpus = corpus_for(trial, dataset, before, place)
    return restore(before, trial, trial.phases[: stage.index + 1], place.registry, corpus)


def corpus_for(trial: Trial, dataset: Dataset, before: Artifact | None, place: Workplace) -> Corpus:
    """What a decoder learns its tokenizer from, or the tokenizer that was kept."""
    return corpus_of(trial, dataset, before.tokenizer_file if before else None, place.tokenizers)


def skipped_so_far(
    before: Artifact | None, dataset: Dataset, split: str, tasks: Sequence[str]
) -> dict[str, dict[str, str]]:
    """The images that were left out so far and why, by split and task."""
    return {**(before.summary.get("skipped", {}) if before else {}), **skipped_images(dataset, split, tasks)}


def _features(job: StageJob, encoder: Encoder, place: Workplace) -> Features | None:
    if not job.features:
        return None
    parts, own = [], fingerprint(encoder)
    for key in job.features:
        summary, keys, tokens = place.store.read_features(key)
        if summary["encoder"] != own:
            name = job.stage.trial.components["encoder"].name
            raise UserError(
                f"the encoder '{name}' has other weights than those its features were made with: `files` may only name"
                " files when all starting weights come from them, none from the seed"
            )
        parts.append((keys, tokens))
    return Features(parts)
