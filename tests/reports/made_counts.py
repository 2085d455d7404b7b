"""Yes/no questions made up for tests, and a results folder whose only metric counts their answers."""

from __future__ import annotations

from pathlib import Path

import numpy

from tests.tiny import builtin_registry
from workbench.contracts.example import Example, Prediction
from workbench.evaluation.scores import lines_of, summarize
from workbench.storage.conditions import ASKED_WITH
from workbench.storage.experiment_summary import write_summary
from workbench.storage.records import DONE, Record, write_trial

YES_NO = builtin_registry().create("metric", "yes_no")


def asked(count: int, seed: int, skill: float = 0.8) -> list[Prediction]:
    """Yes/no questions in two groups, three an image, answered rightly that often."""
    chance = numpy.random.default_rng(seed)
    made = []
    for place in range(count):
        true, other = chance.permutation(["yes", "no"])
        example = Example(str(place), f"p{place // 3}", "is it there?", (true,), ("random", "popular")[place % 2])
        made.append(Prediction(example, true if chance.random() < skill else other, 0.5))
    return made


def write(results: Path, trials: int = 2, count: int = 60) -> Path:
    """A results folder whose only metric is yes_no."""
    folder, ids = results / "pope", [f"{place:012x}" for place in range(trials)]
    labels = [str(place) for place in range(trials)]
    summary = {"name": "pope", "question": "", "axes": {"fusion": labels}, "baseline": {"fusion": "0"}}
    write_summary(folder, {**summary, "metrics": ["yes_no"], "trials": ids}, "")
    for id_, label in zip(ids, labels, strict=True):
        predictions = {each: asked(count, int(label) + len(each)) for each in ("image", "no_image", "shuffled")}
        numbers, scored = summarize(predictions, {"yes_no": YES_NO}, "shuffled")
        scales = {"yes_no": {"higher_is_better": True, "percent": True}}
        told = {"gain_against": "shuffled"}
        spec = {"metrics": [{"name": "yes_no", "unclear": "wrong"}], "seed": 0}
        record = Record(id_, DONE, "pope", {"fusion": label}, spec, numbers, scales, {ASKED_WITH: told}, None)
        write_trial(folder / "trials" / id_, record, lines_of(predictions, scored), [])
    return folder
