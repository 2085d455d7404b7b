"""Does one stage: makes features, trains a phase and keeps its weights, or evaluates and writes the record."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch

from workbench.artifacts import Artifact, ArtifactStore
from workbench.batches import Collator
from workbench.built import Built, build_on, finish
from workbench.checkpoints import load_into
from workbench.compose import build, build_dataset, build_metrics, corpus_of, count_bytes, create
from workbench.contracts import Corpus, Dataset, Encoder
from workbench.costs import STAGE_PEAK, STAGE_SECONDS
from workbench.curve import Step
from workbench.devices import compute_repeatably, facts_of, repeatably_if_possible
from workbench.errors import UserError
from workbench.evaluate import evaluate
from workbench.features import Features, encode_all, fingerprint
from workbench.keys import core_code, file_hash, file_named, files_of
from workbench.objectives import TrainingData
from workbench.outside import measure_strangeness
from workbench.part_files import downloads
from workbench.pictures import Pictures, threads_beside
from workbench.provenance import PeakMemory
from workbench.records import DONE, Record, holds_result_of, write_trial
from workbench.registry import Registry, load_registry
from workbench.snapshots import Snapshots
from workbench.sound import skipped_pictures
from workbench.stages import FeatureStage, Stage
from workbench.summary import lines_of, summarize
from workbench.text_probe import text_numbers
from workbench.tokenizer import Tokenizer
from workbench.train import TRAIN, train
from workbench.trial import Trial, digest
from workbench.workers import Do, Tell


class HeldElsewhere(UserError):
    """Another run does this very stage now."""


class SourcesChanged(UserError):
    """The code on the disk is no longer that which the stage was planned with."""

    transient = True


class EncoderError(UserError):
    """Kept features are not those of the encoder that wants to read them."""


@dataclass(frozen=True)
class StageJob:
    """A stage, and the keys of the features it reads."""

    stage: Stage | FeatureStage
    features: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        """The stage's."""
        return self.stage.key


@dataclass(frozen=True)
class Workplace:
    """Where a worker finds and puts things. `provenance` is what the whole run has in common; `checkpoint_seconds` lie
    between two checkpoints of a phase, 0 is one after every step."""

    registry: Registry
    store: ArtifactStore
    results: Path
    device: str
    provenance: dict[str, Any]
    checkpoint_seconds: float = 60.0
    datasets: dict[str, Dataset] = field(default_factory=dict)  # read once by each worker
    tokenizers: dict[int, Tokenizer] = field(default_factory=dict)  # trained once on the dataset's text
    perplexities: dict[str, float] = field(default_factory=dict)  # of plain text, before any training

    def dataset(self, trial: Trial) -> Dataset:
        """The trial's dataset. Nothing that is asked of one changes it, nor does the seed, so stages share it."""
        key = digest(trial.components["dataset"].spec())
        if key not in self.datasets:
            self.tokenizers.clear()
            self.datasets.clear()  # pictures and questions of several would fill the memory
            self.datasets[key] = build_dataset(trial, self.registry)
        return self.datasets[key]


def prepare(
    folders: tuple[Path, ...],
    artifacts: Path,
    results: Path,
    provenance: dict[str, Any],
    checkpoint_seconds: float,
    device: str,
) -> Do:
    """Called once in every worker: loads the plugins and gives the function that does a stage."""
    compute_repeatably(device)
    where = {**provenance, **facts_of(device), "threads": torch.get_num_threads()}
    place = Workplace(load_registry(folders), ArtifactStore(artifacts), results, device, where, checkpoint_seconds)
    return partial(do_stage, place)


def do_stage(place: Workplace, job: StageJob, tell: Tell) -> None:
    """Do the work of a stage, unless it was done meanwhile; its outcome is on disk when this returns."""
    stage = job.stage
    with place.store.lock(stage.key) as mine:
        if not mine:
            raise HeldElsewhere(f"another run is at {stage.label}")
        if _is_done(stage, place):
            return
        _check_sources(stage, place.registry)
        repeatably_if_possible(partial(_do, job, place, tell))


def _do(job: StageJob, place: Workplace, tell: Tell, unrepeatable: str | None) -> None:
    stage = job.stage
    if isinstance(stage, FeatureStage):
        _make_features(stage, place, tell)
        return
    dataset = place.dataset(stage.trial)
    built = _build(stage, dataset, place)
    built.model.to(place.device)
    features = _features(job, built.model.encoder, place)
    unrepeatable = unrepeatable or (built.before.summary.get("unrepeatable") if built.before else None)
    if unrepeatable:
        place = dataclasses.replace(place, provenance={**place.provenance, "unrepeatable": unrepeatable})
    if stage.evaluates:
        _evaluate(stage, built, dataset, features, place, tell)
    else:
        _train(stage, built, dataset, features, place, tell)


def _is_done(stage: Stage | FeatureStage, place: Workplace) -> bool:
    if stage.evaluates:
        return holds_result_of(place.results / "trials" / stage.trial.id, stage.key)
    return place.store.has(stage.key)


def _check_sources(stage: Stage | FeatureStage, registry: Registry) -> None:
    """What this process has loaded is what the stage's key was made of, so nothing is kept under a key not its own."""
    here = core_code(tuple(name[len("code:workbench/") : -len(".py")] for name in stage.made_of if "code:" in name))
    for name in stage.made_of:
        if name.startswith("plugin:"):
            here[name] = registry.entry(*name.removeprefix("plugin:").split(" ", 1)).code_hash
        elif name.startswith("file:"):
            here[name] = file_hash(file_named(name.removeprefix("file:"), stage.trial, registry))
    changed = sorted(name.partition(":")[2] for name, value in here.items() if stage.made_of.get(name) != value)
    if changed:
        raise SourcesChanged(f"{', '.join(changed)} changed while the run was going on. Run again")


def _make_features(stage: FeatureStage, place: Workplace, tell: Tell) -> None:
    trial = stage.trial
    dataset = place.dataset(trial)
    encoder: Encoder = create(trial, "encoder", place.registry)
    if stage.source is not None:
        kept = place.store.read(stage.source)
        from_files = tuple(encoder.state_dict()) if files_of(trial.components["encoder"], place.registry) else ()
        load_into(encoder, _encoder_weights(kept), kept.folder, allow_missing=from_files)
    encoder.to(place.device)
    keys = stage.look.pictures(dataset)[slice(*stage.part)]
    started = time.perf_counter()
    pictures = Pictures(dataset, encoder.views, threads=threads_beside(place.device))
    owners, tokens = encode_all(encoder, pictures, keys, stage.look.precision, torch.device(place.device), tell)
    seconds = time.perf_counter() - started
    place.store.write_features(stage.key, owners, tokens, {STAGE_SECONDS: seconds, "encoder": fingerprint(encoder)})


def _features(job: StageJob, encoder: Encoder, place: Workplace) -> Features | None:
    if not job.features:
        return None
    parts, own = [], fingerprint(encoder)
    for key in job.features:
        summary, keys, tokens = place.store.read_features(key)
        if summary["encoder"] != own:
            name = job.stage.trial.components["encoder"].name
            raise EncoderError(
                f"the encoder '{name}' has other weights than those its features were made with: `files` may only name"
                " files when all starting weights come from them, none from the seed"
            )
        parts.append((keys, tokens))
    return Features(parts)


def _encoder_weights(artifact: Artifact) -> dict[str, torch.Tensor]:
    if artifact.tokenizer_file is None:  # a stage of the encoder alone
        return artifact.weights
    mark = "encoder."
    return {name[len(mark) :]: weight for name, weight in artifact.weights.items() if name.startswith(mark)}


def _build(stage: Stage, dataset: Dataset, place: Workplace) -> Built:
    trial = stage.trial
    before = place.store.read(stage.before) if stage.before else None
    corpus = _corpus(trial, dataset, before, place)
    return build_on(before, trial, trial.phases[: stage.index + 1], place.registry, corpus)


def _corpus(trial: Trial, dataset: Dataset, before: Artifact | None, place: Workplace) -> Corpus:
    """What a decoder learns its tokenizer from, or the tokenizer that was kept."""
    return corpus_of(trial, dataset, before.tokenizer_file if before else None, place.tokenizers)


def _kept_weights(stage: Stage, built: Built) -> dict[str, torch.Tensor]:
    """What a training stage leaves: all weights but those that are still as their files have them."""
    module = built.model.encoder if stage.alone else built.model
    weights = module.state_dict(keep_vars=True)
    return {name: each for name, each in weights.items() if each.requires_grad or not built.as_in_files(name, each)}


def _train(
    stage: Stage, built: Built, dataset: Dataset, features: Features | None, place: Workplace, tell: Tell
) -> None:
    trial, model = stage.trial, built.model

    def on_step(step: Step) -> None:
        tell(step.step, step.steps, step.loss)

    collate = Collator(model.language_model.tokenizer, trial.prompt, model.fusion.reads_text)
    pictures = Pictures(dataset, model.encoder.views, threads=threads_beside(place.device))
    data = TrainingData(dataset, pictures, collate, features)
    memory, main_memory = PeakMemory(place.device), PeakMemory("cpu")
    snapshots = Snapshots(place.store.partial(stage.key), place.checkpoint_seconds)
    trained = train(model, built.adapted, trial.phases[stage.index], data, trial.seed, on_step, snapshots, built.packed)
    own = {"seconds": trained.seconds, "own_seconds": trained.own_seconds, "examples": trained.examples}
    costs = _added(built.before, own)
    peak = max(memory.peak_bytes(), built.before.summary["peak_memory_bytes"] if built.before else 0)
    place.store.write(
        stage.key,
        weights=_kept_weights(stage, built),
        tokenizer=None if stage.alone else model.language_model.tokenizer.json(),
        summary={
            **costs,
            "phase": stage.name,
            "before": stage.before,
            "trainable_parameters": trained.trainable_parameters,
            "peak_memory_bytes": peak,
            STAGE_PEAK: main_memory.peak_bytes(),  # what launchers share out, whatever the device
            STAGE_SECONDS: trained.seconds,
            "adapter": built.adapter is not None,
            "quantized": stage.quantized,
            "kept": [{"step": each.step, "validation_loss": each.validation_loss} for each in trained.kept],
            "notes": snapshots.notes,
            "unrepeatable": place.provenance.get("unrepeatable"),
            "skipped": _skipped(built.before, dataset, TRAIN, trial.phases[stage.index].tasks),
        },
        curve=[*(built.before.curve if built.before else []), *map(dataclasses.asdict, trained.curve)],
        kept={each.step: each.weights for each in trained.kept},
    )


def _added(before: Artifact | None, costs: dict[str, float]) -> dict[str, float]:
    """Costs summed over all phases so far: what this training takes when nothing is shared."""
    return {name: cost + (before.summary[name] if before else 0) for name, cost in costs.items()}


def _skipped(before: Artifact | None, dataset: Dataset, split: str, tasks: Sequence[str]) -> dict[str, dict[str, str]]:
    """The pictures that were left out so far and why, by split and task."""
    return {**(before.summary.get("skipped", {}) if before else {}), **skipped_pictures(dataset, split, tasks)}


def _evaluate(
    stage: Stage, built: Built, dataset: Dataset, features: Features | None, place: Workplace, tell: Tell
) -> None:
    trial, model = stage.trial, built.model
    started = time.perf_counter()
    memory = PeakMemory(place.device)
    parameters = finish(built, trial, place.registry)
    metrics = build_metrics(trial, place.registry)
    outcome = evaluate(model, dataset, trial.prompt, trial.evaluation, trial.seed, tell, features)
    numbers, scores = summarize(outcome.predictions, metrics)
    lines = lines_of(outcome.predictions, scores)
    if trial.outside:
        other = build(trial.outside, place.registry)
        strange = measure_strangeness(model, dataset, other, trial.prompt, trial.evaluation, features)
        numbers |= strange.numbers(scores["picture"][next(iter(metrics))], trial.evaluation.withhold)
        lines = strange.added_to(lines)
    corpus = _corpus(trial, dataset, built.before, place)
    numbers |= text_numbers(trial, model.language_model, corpus, place.registry, place.perplexities)
    skipped = _skipped(built.before, dataset, trial.evaluation.split, [trial.evaluation.task])
    nothing = {"seconds": 0.0, "own_seconds": 0.0, "examples": 0, "trainable_parameters": 0}
    training = built.before.summary if built.before else nothing
    numbers |= {
        "parameters": parameters,
        "trainable_parameters": training["trainable_parameters"],
        "bytes": count_bytes(model),
        "training_seconds": training["seconds"],
        "training_seconds.lowest": min(training["own_seconds"], training["seconds"]),
        "examples_per_second": training["examples"] / training["seconds"] if training["seconds"] else 0.0,
        "evaluation_seconds": time.perf_counter() - started,
        "latency_ms": outcome.latency_ms,
        "latency_ms.highest": outcome.highest_latency_ms,
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
        provenance={
            **place.provenance,
            **made_by(stage),
            "skipped_pictures": skipped,
            "downloads": downloads(trial),
        },
        error=None,
    )
    curve = built.before.curve if built.before else []
    write_trial(place.results / "trials" / trial.id, record, lines, curve)


def made_by(stage: Stage) -> dict[str, Any]:
    """What a record says of the stage that made it: enough to tell later what has changed since."""
    finished = time.strftime("%Y-%m-%dT%H:%M:%S%z")
    return {"key": stage.key, "before": stage.before, "made_of": stage.made_of, "finished": finished}
