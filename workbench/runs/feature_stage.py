"""Does a stage of features: the tokens of some images, from an encoder as the stages before left it."""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING

import torch

from workbench.checkpoints.weights import load_into
from workbench.config.component_files import files_of
from workbench.data.image_loader import ImageLoader, threads_beside
from workbench.model.build import create
from workbench.model.image_features import encode_all, fingerprint
from workbench.storage.artifacts import STAGE_SECONDS, Artifact

if TYPE_CHECKING:
    from workbench.contracts.encoder import Encoder
    from workbench.contracts.launcher import Tell
    from workbench.runs.stages import FeatureStage
    from workbench.runs.workplace import StageJob, Workplace


def make_features(job: StageJob, stage: FeatureStage, place: Workplace, tell: Tell) -> None:
    """The tokens of a part of the images; they are kept when this returns."""
    trial = stage.trial
    dataset = place.dataset(trial)
    encoder: Encoder = create(trial, "encoder", place.registry)
    if stage.source is not None:
        kept = place.store.read(stage.source)
        from_files = tuple(encoder.state_dict()) if files_of(trial.components["encoder"], place.registry) else ()
        load_into(encoder, _encoder_weights(kept), kept.folder, allow_missing=from_files)
    encoder.to(place.device)
    keys = stage.look.images(dataset)[slice(*stage.part)]
    started = time.perf_counter()
    images = ImageLoader(dataset, encoder.views, threads=threads_beside(place.device))
    owners, tokens = encode_all(encoder, images, keys, stage.look.precision, torch.device(place.device), tell)
    seconds = time.perf_counter() - started
    summary = {STAGE_SECONDS: seconds, "encoder": fingerprint(encoder)}
    place.store.write_features(stage.key, owners, tokens, summary, partial(place.check, job))


def _encoder_weights(artifact: Artifact) -> dict[str, torch.Tensor]:
    if artifact.tokenizer_file is None:  # a stage of the encoder alone
        return artifact.weights
    mark = "encoder."
    return {name[len(mark) :]: weight for name, weight in artifact.weights.items() if name.startswith(mark)}
