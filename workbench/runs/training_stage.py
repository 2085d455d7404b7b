"""Does a stage of training: a phase, from the model the stage before left to the weights the next begins with."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection
from functools import partial
from typing import TYPE_CHECKING, Any

from workbench.data.collator import Collator
from workbench.data.image_loader import ImageLoader, threads_beside
from workbench.devices.peak_memory import PeakMemory
from workbench.evaluation.scored import values
from workbench.model.build import build_metrics
from workbench.runs.stage_inputs import begin, skipped_so_far
from workbench.storage.artifacts import STAGE_PEAK, STAGE_SECONDS, Artifact
from workbench.storage.splits import TRAIN
from workbench.training.curve import Step
from workbench.training.held_out_answers import ScoredQuestions
from workbench.training.loop import train
from workbench.training.objectives import TrainingData
from workbench.training.ranks import ALONE, Ranks
from workbench.training.resume import Snapshots

if TYPE_CHECKING:
    import torch

    from workbench.contracts.launcher import Tell
    from workbench.model.restore import RestoredModel
    from workbench.runs.stage_inputs import Beginning
    from workbench.runs.stages import Stage
    from workbench.runs.workplace import StageJob, Workplace
    from workbench.training.loop import Trained


def train_phase(
    job: StageJob, stage: Stage, place: Workplace, tell: Tell, unrepeatable: str | None, ranks: Ranks = ALONE
) -> None:
    """Train the phase; its weights and what it took are kept when this returns. Whatever a plugin raises is the stage's
    error, `ArtifactError` when what the stage before left is damaged, `NotFiniteError` when the loss is no number.
    Where several `ranks` train it, each of them calls this, and the first one tells and keeps."""
    beginning = begin(job, stage, place, unrepeatable)
    dataset, built = beginning.dataset, beginning.built
    trial, model = stage.trial, built.model

    def on_step(step: Step) -> None:
        if ranks.first:
            tell(step.step, step.steps, step.loss)

    collate = Collator(model.language_model.tokenizer, trial.prompt, model.fusion.reads_text)
    images = ImageLoader(dataset, model.encoder.views, threads=threads_beside(place.device))
    data = TrainingData(dataset, images, collate, beginning.features)
    memory, main_memory = PeakMemory(place.device), PeakMemory("cpu")
    check = partial(place.check, job)
    snapshots = Snapshots(place.store.partial(stage.key), place.snapshot_seconds, place.asked_to_end, check)
    of_files = {name for name, each in _weights_of(stage, built).items() if built.as_in_files(name, each)}
    phase, questions = trial.phases[stage.index], _questions(stage, place)
    trained = train(model, built.adapted, phase, data, trial.seed, on_step, snapshots, built.packed, questions, ranks)
    of_device, of_process = zip(*ranks.gathered((memory.peak_bytes(), main_memory.peak_bytes())), strict=True)
    if not ranks.first:
        return
    summary = {
        **_summary(stage, beginning, trained, max(of_device)),
        STAGE_PEAK: sum(of_process),  # what launchers share out, whatever the device
        "notes": snapshots.notes,
    }
    place.store.write(
        stage.key,
        weights=_kept_weights(stage, built, of_files),
        tokenizer=None if stage.encoder_only else model.language_model.tokenizer.json(),
        summary=summary,
        curve=[*(built.before.curve if built.before else []), *map(dataclasses.asdict, trained.curve)],
        kept={each.step: each.weights for each in trained.kept},
        check=check,
    )


def _questions(stage: Stage, place: Workplace) -> ScoredQuestions | None:
    """What the phase asks on its way, if anything."""
    trial = stage.trial
    names = trial.phases[stage.index].validate_with
    if not names:
        return None
    metrics = {name: metric for name, metric in build_metrics(trial, place.registry).items() if name in names}
    return ScoredQuestions(trial.prompt, trial.evaluation, partial(values, metrics))


def _summary(stage: Stage, beginning: Beginning, trained: Trained, peak_bytes: int) -> dict[str, Any]:
    """What the phase took and left, for the stages after it and for records."""
    built, phase = beginning.built, stage.trial.phases[stage.index]
    own = {name: getattr(trained, name) for name in ("seconds", "own_seconds", "examples", "images", "tokens")}
    before = built.before.summary if built.before else {}
    return {
        **_added(built.before, own),
        "phase": stage.name,
        "before": stage.before,
        "trainable_parameters": trained.trainable_parameters,
        "trainable_by_phase": {**before.get("trainable_by_phase", {}), stage.name: trained.trainable_parameters},
        "peak_memory_bytes": max(peak_bytes, before.get("peak_memory_bytes", 0)),
        STAGE_SECONDS: trained.seconds + trained.validation_seconds,
        "adapter": built.adapter is not None,
        "quantized": stage.quantized,
        "kept": [{"step": each.step, "validation_loss": each.validation_loss} for each in trained.kept],
        "unrepeatable": beginning.unrepeatable,
        "skipped": skipped_so_far(built.before, beginning.dataset, TRAIN, phase.tasks),
    }


def _weights_of(stage: Stage, built: RestoredModel) -> dict[str, torch.Tensor]:
    return (built.model.encoder if stage.encoder_only else built.model).state_dict(keep_vars=True)


def _kept_weights(stage: Stage, built: RestoredModel, of_files: Collection[str]) -> dict[str, torch.Tensor]:
    """What a training stage leaves: all weights but those that are still as their files have them, those `of_files`
    that did not train."""
    weights = _weights_of(stage, built)
    return {name: each for name, each in weights.items() if each.requires_grad or name not in of_files}


def _added(before: Artifact | None, costs: dict[str, float]) -> dict[str, float]:
    """Costs summed over all phases so far: what this training takes when nothing is shared."""
    return {name: cost + (before.summary[name] if before else 0) for name, cost in costs.items()}
