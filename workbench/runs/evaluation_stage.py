"""Does the last stage of a trial: merges, quantizes, evaluates, and writes the record."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from workbench.config.component_files import downloads
from workbench.devices.peak_memory import PeakMemory
from workbench.evaluation.evaluate import evaluate
from workbench.evaluation.out_of_distribution import out_of_distribution_scores
from workbench.evaluation.scores import lines_of, summarize
from workbench.evaluation.text_perplexity import text_perplexities
from workbench.model.build import build, build_metrics, count_bytes
from workbench.model.predictor import Predictor
from workbench.model.restore import prepare_for_evaluation
from workbench.runs.provenance import of_trial
from workbench.runs.stage_inputs import begin, corpus_for, skipped_so_far
from workbench.storage.records import DONE, Record, write_trial

if TYPE_CHECKING:
    from workbench.contracts.launcher import Tell
    from workbench.runs.stages import Stage
    from workbench.runs.workplace import StageJob, Workplace


def evaluate_trial(job: StageJob, stage: Stage, place: Workplace, tell: Tell, unrepeatable: str | None) -> None:
    """Evaluate the trial; its record is on disk when this returns."""
    beginning = begin(job, stage, place, unrepeatable)
    dataset, built, features = beginning.dataset, beginning.built, beginning.features
    trial, model = stage.trial, built.model
    started = time.perf_counter()
    memory = PeakMemory(place.device)
    parameters = prepare_for_evaluation(built, trial, place.registry)
    metrics = build_metrics(trial, place.registry)
    predictor = Predictor(model, trial.prompt, trial.evaluation)
    outcome = evaluate(predictor, dataset, trial.seed, tell, features)
    numbers, scores = summarize(outcome.predictions, metrics)
    lines = lines_of(outcome.predictions, scores)
    if trial.outside:
        other = build(trial.outside, place.registry)
        strange = out_of_distribution_scores(predictor, dataset, other, features)
        numbers |= strange.numbers(scores["image"][next(iter(metrics))], trial.evaluation.withhold)
        lines = strange.added_to(lines)
    corpus = corpus_for(trial, dataset, built.before, place)
    numbers |= text_perplexities(trial, model.language_model, corpus, place.registry, place.perplexities)
    skipped = skipped_so_far(built.before, dataset, trial.evaluation.split, [trial.evaluation.task])
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
            **of_trial(place.provenance, trial),
            **({"unrepeatable": beginning.unrepeatable} if beginning.unrepeatable else {}),
            **stage.made_by(),
            "skipped_images": skipped,
            "downloads": downloads(trial),
        },
        error=None,
    )
    curve = built.before.curve if built.before else []
    write_trial(place.results / "trials" / trial.id, record, lines, curve)
