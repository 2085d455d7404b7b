"""Results folders whose records hold what their answers give: two fusions, four metrics, and a report. Those of `write`
are as an earlier version left them, with the two controls that all had; those of `write_asked` name their controls."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy

from tests.tiny import builtin_registry
from workbench.cli.report import make_report
from workbench.contracts.example import Example, Prediction, Turn
from workbench.evaluation.partners import other_answers
from workbench.evaluation.prior import Prior
from workbench.evaluation.scores import lines_of, scales_of, summarize
from workbench.storage.conditions import USUAL
from workbench.storage.experiment_summary import write_summary
from workbench.storage.hashing import digest
from workbench.storage.records import DONE, Record, write_trial

CONDITIONS = ("image", "no_image", "shuffled")  # of an earlier version
METRICS = ("exact_match", "yes_no", "loss", "perplexity")  # means, and made of counts; with and without the loss
FUSIONS = ("gated", "concat_projection")
QUESTIONS = 24
COLORS = ("red", "green", "blue")

Numbers = dict[str, float]


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


def examples() -> list[Example]:
    """Of six images a color and two yes/no questions, of which the second is right everywhere, so that no image has
    another answer to it; of one image a number, which others only likely have another answer to."""
    made = []
    for place in range(6):
        key, color = f"p{place}", COLORS[place % 3]
        made.append(Example(f"{key}/color", key, "what color is it?", (color,), "color"))
        made.append(Example(f"{key}/red", key, "is it red?", ("yes" if color == "red" else "no",), "yes/no"))
        made.append(Example(f"{key}/there", key, "is it there?", ("yes",), "yes/no"))
    return [*made, Example("p0/count", "p0", "how many are there?", ("two",), "number")]


def answered(seed: int, asked: Sequence[Example]) -> list[Prediction]:
    """About two thirds of these answered rightly."""
    chance = numpy.random.default_rng(seed)
    right = [chance.random() < 2 / 3 for _ in asked]
    return [
        Prediction(each, each.answer if it else "yes", chance.uniform(0.1, 9))
        for each, it in zip(asked, right, strict=True)
    ]


def write(results: Path, report: bool = False) -> Path:
    """Write `results/made` and return it."""

    def asked(place: int) -> tuple[dict[str, list[Prediction]], dict[str, Any]]:
        return {each: predictions(10 * place + number) for number, each in enumerate(CONDITIONS)}, {}

    folder = _write(results, asked, METRICS, {})
    if report:
        make_report(folder, builtin_registry())
    return folder


def write_asked(
    results: Path,
    controls: Sequence[str] = USUAL,
    gain_against: str = "prior",
    learned: bool = True,
    metrics: Sequence[str] = METRICS,
    **settings: Any,
) -> Path:
    """Write `results/made`, evaluated with these controls, and return it; nothing `learned`: the prior has no answers.
    As an evaluation does, the settings name controls that are not the usual ones."""
    questions = examples()
    grouped = {(key,): [each for each in questions if each.image == key] for key in {each.image for each in questions}}
    partners = other_answers(grouped)
    prior = Prior([Example("t", "t", "is it red?", ("no",), "yes/no")] if learned else [])

    def asked(place: int) -> tuple[dict[str, list[Prediction]], dict[str, Any]]:
        found = {each: answered(10 * place + number, questions) for number, each in enumerate(("image", *controls))}
        shown = {"prior": prior.predictions(questions)}
        shown["other_answer"] = [one for one in found.get("other_answer", ()) if one.example.id in partners.shown]
        found |= {each: shown[each] for each in shown if each in controls}
        lacking = {each: len(questions) - len(some) for each, some in found.items() if len(some) < len(questions)}
        presumed = {"other_answer": partners.presumed} if "other_answer" in controls else {}
        return found, {"controls": {"gain_against": gain_against, "left_out": lacking, "presumed": presumed}}

    if tuple(controls) != USUAL or gain_against != USUAL[0]:
        settings |= {"controls": list(controls), "gain_against": gain_against}
    return _write(results, asked, metrics, {"evaluation": {"split": "test", **settings}})


def _write(results: Path, asked: Any, names: Sequence[str], settings: Mapping[str, Any]) -> Path:
    registry = builtin_registry()
    metrics = {name: registry.create("metric", name) for name in names}
    folder, ids = results / "made", []
    for place, fusion in enumerate(FUSIONS):
        found, provenance = asked(place)
        numbers, scored = summarize(found, metrics, provenance.get("controls", {}).get("gain_against"))
        numbers = numbers if provenance else _as_before(numbers)
        spec = {"fusion": {"name": fusion}, "metrics": [{"name": name} for name in names], "seed": 0, **settings}
        numbers |= {"bytes": 1000.0 + place, "latency_ms": 2.0, "training_seconds": 3.0}
        ids.append(digest(spec))
        record = Record(ids[-1], DONE, "made", {"fusion": fusion}, spec, numbers, scales_of(metrics), provenance, None)
        step = {"phase": "tune", "step": 1, "steps": 1, "loss": 1.0, "rate": 0.1, "images": 4, "seconds": 0.1}
        write_trial(folder / "trials" / ids[-1], record, lines_of(found, scored), [step])
    summary = {"name": "made", "question": "which?", "axes": {"fusion": list(FUSIONS)}, "baseline": {}}
    write_summary(folder, {**summary, "metrics": list(names), "trials": ids}, "question: which?\n")
    return folder


def _as_before(numbers: Numbers) -> Numbers:
    """With one gain, that over the better control, as it was computed then."""
    better = max(numbers["exact_match.no_image"], numbers["exact_match.shuffled"])
    kept = {name: value for name, value in numbers.items() if not name.startswith("visual_gain.")}
    return kept | {"visual_gain": numbers["exact_match"] - better}
