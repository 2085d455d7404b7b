"""Does one stage: trains a phase and keeps its weights, or quantizes and evaluates and writes the record."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from workbench.artifacts import Artifact, ArtifactStore
from workbench.batches import Collator
from workbench.checkpoints import load_into
from workbench.compose import (
    attach_adapter,
    build_dataset,
    build_metrics,
    build_model,
    corpus_of,
    count_bytes,
    count_parameters,
    quantize,
    uses_adapter,
)
from workbench.contracts import Adapter, Dataset
from workbench.evaluate import CONDITIONS, Outcome, evaluate, summarize
from workbench.model import VisionLanguageModel
from workbench.objectives import TrainingData
from workbench.pictures import Pictures
from workbench.provenance import PeakMemory
from workbench.records import DONE, Record, write_trial
from workbench.registry import Registry
from workbench.snapshots import Snapshots, seconds_between
from workbench.stages import Stage
from workbench.train import Step, train


@dataclass(frozen=True)
class Progress:
    """How far a stage is; `loss` while training."""

    done: int
    total: int
    loss: float | None = None


@dataclass(frozen=True)
class Workplace:
    """Where a worker finds and puts things. `provenance` is what the whole run has in common.

    `checkpoint_seconds` lie between two checkpoints of a phase; 0 is one after every step.
    """

    registry: Registry
    store: ArtifactStore
    results: Path
    device: str
    provenance: dict[str, Any]
    checkpoint_seconds: float = field(default_factory=seconds_between)


@dataclass
class _Built:
    """A model as the stage before left it."""

    model: VisionLanguageModel
    adapter: Adapter | None
    adapted: list[torch.nn.Parameter]
    before: Artifact | None


def do_stage(stage: Stage, place: Workplace, on_progress: Callable[[Progress], None]) -> None:
    """Do the work of `stage`; its outcome is on disk when this returns."""
    dataset = build_dataset(stage.trial, place.registry)
    built = _build(stage, dataset, place)
    built.model.to(place.device)
    if stage.evaluates:
        _evaluate(stage, built, dataset, place, on_progress)
    else:
        _train(stage, built, dataset, place, on_progress)


def _build(stage: Stage, dataset: Dataset, place: Workplace) -> _Built:
    trial = stage.trial
    before = place.store.read(stage.before) if stage.before else None
    corpus = corpus_of(trial, dataset, before.tokenizer_file if before else None)
    model = build_model(trial, place.registry, corpus)
    attached = before is not None and bool(before.summary["adapter"])
    adapter, adapted = attach_adapter(trial, place.registry, model) if attached else (None, [])
    if before is not None:
        encoder_only = before.tokenizer_file is None
        load_into(model.encoder if encoder_only else model, before.weights, before.folder)
    if not attached and uses_adapter(trial.phases[: stage.index + 1]):
        adapter, adapted = attach_adapter(trial, place.registry, model)
    return _Built(model, adapter, adapted, before)


def _train(
    stage: Stage, built: _Built, dataset: Dataset, place: Workplace, on_progress: Callable[[Progress], None]
) -> None:
    trial, model = stage.trial, built.model

    def on_step(step: Step) -> None:
        on_progress(Progress(step.step, step.steps, step.loss))

    collate = Collator(model.language_model.tokenizer, trial.prompt, model.fusion.reads_text)
    data = TrainingData(dataset, Pictures(dataset, model.encoder.transform), collate)
    memory = PeakMemory(place.device)
    snapshots = Snapshots(place.store.partial(stage.key), place.checkpoint_seconds)
    trained = train(model, built.adapted, trial.phases[stage.index], data, trial.seed, on_step, snapshots)
    costs = _added(built.before, {"seconds": trained.seconds, "examples": trained.examples})
    peak = max(memory.peak_bytes(), built.before.summary["peak_memory_bytes"] if built.before else 0)
    place.store.write(
        stage.key,
        weights=(model.encoder if stage.alone else model).state_dict(),
        tokenizer=None if stage.alone else model.language_model.tokenizer.json(),
        summary={
            **costs,
            "phase": stage.name,
            "trainable_parameters": trained.trainable_parameters,
            "peak_memory_bytes": peak,
            "adapter": built.adapter is not None,
            "kept": [{"step": each.step, "validation_loss": each.validation_loss} for each in trained.kept],
            "notes": snapshots.notes,
        },
        curve=[*(built.before.curve if built.before else []), *map(dataclasses.asdict, trained.curve)],
        kept={each.step: each.weights for each in trained.kept},
    )


def _added(before: Artifact | None, costs: dict[str, float]) -> dict[str, float]:
    """Costs summed over all phases so far: what this training takes when nothing is shared."""
    return {name: cost + (before.summary[name] if before else 0) for name, cost in costs.items()}


def _evaluate(
    stage: Stage, built: _Built, dataset: Dataset, place: Workplace, on_progress: Callable[[Progress], None]
) -> None:
    trial, model = stage.trial, built.model
    started = time.time()
    memory = PeakMemory(place.device)
    if built.adapter is not None:
        built.adapter.merge(model)
    parameters = count_parameters(model)
    quantize(trial, place.registry, model)
    metrics = build_metrics(trial, place.registry)
    outcome = evaluate(
        model, dataset, trial.prompt, trial.evaluation, trial.seed, lambda *done: on_progress(Progress(*done))
    )
    numbers, scores = summarize(outcome.predictions, metrics)
    training = built.before.summary if built.before else {"seconds": 0.0, "examples": 0, "trainable_parameters": 0}
    numbers |= {
        "parameters": parameters,
        "trainable_parameters": training["trainable_parameters"],
        "bytes": count_bytes(model),
        "training_seconds": training["seconds"],
        "examples_per_second": training["examples"] / training["seconds"] if training["seconds"] else 0.0,
        "evaluation_seconds": time.time() - started,
        "latency_ms": outcome.latency_ms,
        "peak_memory_bytes": max(memory.peak_bytes(), training.get("peak_memory_bytes", 0)),
    }
    record = Record(
        id=trial.id,
        status=DONE,
        experiment=trial.experiment,
        axes=dict(trial.axes),
        spec=trial.spec(),
        metrics=numbers,
        scales={
            name: {"higher_is_better": metric.higher_is_better, "percent": metric.percent}
            for name, metric in metrics.items()
        },
        provenance={**place.provenance, "key": stage.key, "finished": time.strftime("%Y-%m-%dT%H:%M:%S%z")},
        error=None,
    )
    curve = built.before.curve if built.before else []
    write_trial(place.results / "trials" / trial.id, record, _lines(outcome, scores), curve)


def _lines(outcome: Outcome, scores: dict[str, dict[str, list[float]]]) -> list[dict[str, Any]]:
    """The lines of predictions.jsonl."""
    lines = []
    for condition in CONDITIONS:
        for index, prediction in enumerate(outcome.predictions[condition]):
            example = prediction.example
            lines.append(
                {
                    "condition": condition,
                    "id": example.id,
                    "picture": example.picture,
                    "group": example.group,
                    "question": example.question,
                    "answers": list(example.answers),
                    "answer": prediction.answer,
                    "loss": round(prediction.loss, 6),
                    "scores": {name: round(values[index], 6) for name, values in scores[condition].items()},
                }
            )
    return lines
