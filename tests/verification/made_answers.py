"""A results folder whose records hold what their answers give: two fusions, four metrics, and a report."""

from __future__ import annotations

from pathlib import Path

import numpy

from tests.tiny import builtin_registry
from workbench.cli.report import make_report
from workbench.contracts.example import Example, Prediction, Turn
from workbench.contracts.metric import CONDITIONS
from workbench.evaluation.scores import lines_of, scales_of, summarize
from workbench.storage.experiment_summary import write_summary
from workbench.storage.hashing import digest
from workbench.storage.records import DONE, Record, write_trial

METRICS = ("exact_match", "yes_no", "loss", "perplexity")  # means, and made of counts; with and without the loss
FUSIONS = ("gated", "concat_projection")
QUESTIONS = 24


def predictions(seed: int) -> list[Prediction]:
    """Yes/no questions in two groups, three an image, two thirds answered rightly."""
    chance = numpy.random.default_rng(seed)
    made = []
    for place in range(QUESTIONS):
        right, wrong = ("yes", "no") if place % 2 else ("no", "yes")
        group, history = ("random", "popular")[place % 2], (Turn("what?", "it"),) if place == 3 else ()
        example = Example(f"q{place}", f"p{place // 3}", "is it there?", (right,), group, history)
        made.append(Prediction(example, right if chance.random() < 2 / 3 else wrong, chance.uniform(0.1, 9)))
    return made


def write(results: Path, report: bool = False) -> Path:
    """Write `results/made` and return it."""
    registry = builtin_registry()
    metrics = {name: registry.create("metric", name) for name in METRICS}
    folder, ids = results / "made", []
    for place, fusion in enumerate(FUSIONS):
        asked = {each: predictions(10 * place + number) for number, each in enumerate(CONDITIONS)}
        numbers, scored = summarize(asked, metrics)
        spec = {"fusion": {"name": fusion}, "metrics": [{"name": name} for name in METRICS], "seed": 0}
        numbers |= {"bytes": 1000.0 + place, "latency_ms": 2.0, "training_seconds": 3.0}
        ids.append(digest(spec))
        record = Record(ids[-1], DONE, "made", {"fusion": fusion}, spec, numbers, scales_of(metrics), {}, None)
        step = {"phase": "tune", "step": 1, "steps": 1, "loss": 1.0, "rate": 0.1, "images": 4, "seconds": 0.1}
        write_trial(folder / "trials" / ids[-1], record, lines_of(asked, scored), [step])
    summary = {"name": "made", "question": "which?", "axes": {"fusion": list(FUSIONS)}, "baseline": {}}
    write_summary(folder, {**summary, "metrics": list(METRICS), "trials": ids}, "question: which?\n")
    if report:
        make_report(folder, registry)
    return folder
