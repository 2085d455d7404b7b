"""Does the last stage of a trial: merges, quantizes, evaluates, and writes the record."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from workbench.config.component_files import downloads
from workbench.devices.peak_memory import PeakMemory
from workbench.evaluation.evaluate import evaluate
from workbench.evaluation.out_of_distribution import out_of_distribution_scores
from workbench.evaluation.scores import lines_of, scales_of, summarize
from workbench.evaluation.text_perplexity import text_perplexities
from workbench.evaluation.training_split import TrainingSplit
from workbench.model.build import build_dataset, build_metrics, count_bytes
from workbench.model.predictor import Predictor
from workbench.model.restore import prepare_for_evaluation
from workbench.runs.flops import FlopCounts
from workbench.runs.stage_inputs import begin, corpus_for, skipped_so_far
from workbench.runs.trial_record import TrialResult, record_of
from workbench.storage.conditions import ASKED_WITH, BLIND, WITH_IMAGE
from workbench.storage.records import TRIALS, write_trial

if TYPE_CHECKING:
    from workbench.config.trial import Trial
    from workbench.contracts.launcher import Tell
    from workbench.contracts.metric import Metric
    from workbench.evaluation.evaluate import EvaluationResult
    from workbench.runs.stage_inputs import Beginning
    from workbench.runs.stages import Stage
    from workbench.runs.workplace import StageJob, Workplace

NOTHING: dict[str, Any] = {
    "seconds": 0.0,
    "own_seconds": 0.0,
    "examples": 0,
    "images": 0,
    "tokens": 0,
    "trainable_parameters": 0,
    "trainable_by_phase": {},
}  # what no training costs


def evaluate_trial(job: StageJob, stage: Stage, place: Workplace, tell: Tell, unrepeatable: str | None) -> None:
    """Evaluate the trial; its record is on disk when this returns. Whatever a plugin raises is the stage's error, and
    `ArtifactError` when what the stage before left is damaged."""
    beginning = begin(job, stage, place, unrepeatable)
    trial, built = stage.trial, beginning.built
    started, memory = time.perf_counter(), PeakMemory(place.device)
    parameters = prepare_for_evaluation(built, trial, place.registry)
    metrics = build_metrics(trial, place.registry)
    predictor = Predictor(built.model, trial.prompt, trial.evaluation)
    found = evaluate(
        predictor, beginning.dataset, trial.seed, tell, beginning.features, _training_split(trial, beginning, place)
    )
    numbers, lines = _scores(found, metrics, predictor, stage, beginning, place)
    training = built.before.summary if built.before else NOTHING
    numbers |= {
        "parameters": parameters,
        "trainable_parameters": training["trainable_parameters"],
        **{f"trainable_parameters.{phase}": count for phase, count in training["trainable_by_phase"].items()},
        "bytes": count_bytes(built.model),
        **_training_costs(training),
        "evaluation_seconds": time.perf_counter() - started,
        "latency_ms": found.latency_ms,
        "latency_ms.highest": found.highest_latency_ms,
        "token_latency_ms": found.token_latency_ms,
        "token_latency_ms.highest": found.highest_token_latency_ms,
        "generated_tokens": found.generated_tokens,
        "peak_memory_bytes": max(memory.peak_bytes(), training.get("peak_memory_bytes", 0)),
        **_flops(stage, beginning, place),
    }
    result = TrialResult(numbers, scales_of(metrics), _provenance(stage, beginning, found))
    curve = built.before.curve if built.before else []
    record, check = record_of(stage, place.provenance, result), partial(place.check, job)
    write_trial(place.results / TRIALS / trial.id, record, lines, curve, check)


def _scores(
    found: EvaluationResult,
    metrics: Mapping[str, Metric],
    predictor: Predictor,
    stage: Stage,
    beginning: Beginning,
    place: Workplace,
) -> tuple[dict[str, float], list[dict[str, Any]]]:
    """What the answers, the images of other data and plain text say of the model, and a line for every prediction."""
    trial, dataset = stage.trial, beginning.dataset
    numbers, scores = summarize(found.predictions, metrics, trial.evaluation.gain_control)
    lines = lines_of(found.predictions, scores)
    if trial.outside:
        other = build_dataset(trial.elsewhere, place.registry)
        strange = out_of_distribution_scores(predictor, dataset, other, beginning.features)
        numbers |= strange.numbers(scores[WITH_IMAGE][next(iter(metrics))], trial.evaluation.withhold)
        lines = strange.added_to(lines)
    corpus = corpus_for(trial, dataset, beginning.built.before, place)
    decoder = predictor.model.language_model
    return numbers | text_perplexities(trial, decoder, corpus, place.registry, place.perplexities), lines


def _training_costs(training: Mapping[str, Any]) -> dict[str, float]:
    """What all phases took, and looked at, as if nothing were shared."""
    seconds = training["seconds"]
    return {
        "training_seconds": seconds,
        "training_seconds.lowest": min(training["own_seconds"], seconds),
        "examples_per_second": training["examples"] / seconds if seconds else 0.0,
        **{f"training_{name}": training[name] for name in ("images", "examples", "tokens")},
    }


def _flops(stage: Stage, beginning: Beginning, place: Workplace) -> dict[str, float]:
    """FLOPs of an answer, and of all the steps that were taken: a phase may have ended before its planned last one."""
    before = beginning.built.before
    corpus = partial(corpus_for, dataset=beginning.dataset, before=before, place=place)
    counts = FlopCounts(place.registry, place, corpus, place.flops)
    flops = counts.of(stage.trial)
    steps = {line["phase"]: line["step"] for line in (before.curve if before else [])}  # of each phase the last
    return {"flops": flops.answer, "training_flops": math.fsum(each.after(steps[each.name]) for each in flops.phases)}


def _training_split(trial: Trial, beginning: Beginning, place: Workplace) -> TrainingSplit:
    """What the controls take from the training split; a mean image is that of an encoder's preprocessing."""
    tasks = [task for phase in trial.phases for task in phase.tasks]
    known = trial.components["dataset"], trial.components["encoder"]
    return TrainingSplit(beginning.dataset, tasks, place.means, known)


def _provenance(stage: Stage, beginning: Beginning, found: EvaluationResult) -> dict[str, Any]:
    """What is to be said of this trial alone: what cannot be repeated, was left out or loaded from elsewhere, what its
    visual gain is against, and that it sees nothing."""
    trial = stage.trial
    told = {"gain_against": trial.evaluation.gain_control, "left_out": found.left_out, "presumed": found.presumed}
    blind = {} if beginning.built.model.encoder.reads_image else {BLIND: True}
    skipped = skipped_so_far(beginning.built.before, beginning.dataset, trial.evaluation.split, [trial.evaluation.task])
    unrepeatable = {"unrepeatable": beginning.unrepeatable} if beginning.unrepeatable else {}
    return {**unrepeatable, **blind, ASKED_WITH: told, "skipped_images": skipped, "downloads": downloads(trial)}
