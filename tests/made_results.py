"""A made-up results folder whose true differences are known: 2 encoders x 3 fusions x 2 quantizers.

Every (image, question) has a difficulty; a configuration answers rightly when its skill exceeds it. Differences
between configurations are therefore known by construction: see `SKILL`.
"""

from __future__ import annotations

import json
import math
import zlib
from collections.abc import Sequence
from itertools import product
from pathlib import Path

import numpy

from workbench.storage.experiment_summary import write_summary
from workbench.storage.records import DONE, FAILED, Record, write_trial

NAME = "made"
QUESTION = "Which fusion reads the image best, with which encoder, and what does INT8 cost?"
AXES = {
    "encoder": ["vit", "clip"],
    "fusion": ["concat_projection", "cross_attention", "gated"],
    "quantizer": ["none", "int8"],
}
BASELINE = {"encoder": "vit", "fusion": "concat_projection", "quantizer": "none"}
# Chances of a right answer, added up: clip helps by 5 points, cross_attention by 6, gated and int8 change nothing.
ENCODER_SKILL = {"vit": 0.78, "clip": 0.83}
SKILL = {**ENCODER_SKILL, "cross_attention": 0.06}
COLORS = ["red", "green", "blue", "gray", "teal"]
SHAPES = ["circle", "rectangle", "triangle"]
CONTROL_SKILL = 0.55


def write_results(
    results: Path,
    images: int = 120,
    seeds: Sequence[int] = (0,),
    failed: tuple[int, ...] = (),
    left_out: tuple[int, ...] = (),
    axes: dict[str, list[str]] | None = None,
    conditions: tuple[str, ...] = ("image", "no_image", "shuffled"),
    gain_against: str | None = None,
    blind: str = "",
    steps_to: dict[str, float] | None = None,
    checksums: bool = False,
) -> Path:
    """Write `results/made` and return it. `failed` and `left_out` are places of trials in the grid; without
    `gain_against` records are those of a version that named no control. The encoder `blind` sees nothing. With
    `steps_to`, trainings took the accuracy every ten steps of the phase `tune`; `cross_attention` is sooner at 90 %.
    Without `checksums` records are those of a version that kept none: a test may make of them what it likes."""
    axes = AXES if axes is None else axes
    folder = results / NAME
    all_axes = {**axes, **({"seed": [str(seed) for seed in seeds]} if len(seeds) > 1 else {})}
    grid = [dict(zip(all_axes, labels, strict=True)) for labels in product(*all_axes.values())]
    ids = [f"{place:012x}" for place in range(len(grid))]
    summary = {
        "name": NAME,
        "question": QUESTION,
        "axes": all_axes,
        "baseline": {axis: BASELINE.get(axis, labels[0]) for axis, labels in axes.items()},
        "metrics": ["vqa_accuracy", "loss"],
        "trials": ids,
        "statistics": {"steps_to": steps_to} if steps_to else {},
    }
    write_summary(folder, summary, "question: made\n")
    for place, (id_, labels) in enumerate(zip(ids, grid, strict=True)):
        if place in left_out:
            continue
        if place in failed:
            record = _record(id_, labels, {}, seeds[0], _error())
            _write_trial(folder / "trials" / id_, record, [], [], checksums)
            continue
        lines = _predictions(labels, images, place, conditions)
        metrics = _metrics(labels, lines, conditions, gain_against)
        record = _record(id_, labels, metrics, int(labels.get("seed", seeds[0])), None)
        if gain_against is not None:
            record.provenance["controls"] = {"gain_against": gain_against, "left_out": {}, "presumed": {}}
        if labels.get("encoder") == blind:
            record.provenance["blind"] = True
        _write_trial(folder / "trials" / id_, record, lines, _curve(labels, bool(steps_to)), checksums)
    return folder


def _write_trial(folder: Path, record: Record, lines: list[dict], curve: list[dict], checksums: bool) -> None:
    write_trial(folder, record, lines, curve)
    if not checksums:
        forget_checksums(folder)


def change_summary(folder: Path, **changes: object) -> None:
    """Write what the experiment asked anew, as a run of a changed experiment file does."""
    summary = json.loads((folder / "experiment.json").read_text())
    text = str(changes.pop("text", (folder / "experiment.yaml").read_text()))
    write_summary(folder, {**summary, **changes}, text)


def forget_checksums(folder: Path) -> None:
    """Make a trial's folder one of a version that kept no checksums."""
    file = folder / "record.json"
    content = json.loads(file.read_text())
    del content["sha256"], content["provenance"]["files"]
    file.write_text(json.dumps(content))


def copy_answers(folder: Path, label: str, other: str) -> None:
    """Give every trial with the value `other` the answers of the trial that differs from it in having `label` alone."""
    records = {file.parent: json.loads(file.read_text())["axes"] for file in folder.glob("trials/*/record.json")}
    for trial, axes in records.items():
        if other in axes.values():
            twin = {axis: label if each == other else each for axis, each in axes.items()}
            source = next(each for each, labels in records.items() if labels == twin)
            (trial / "predictions.jsonl").write_bytes((source / "predictions.jsonl").read_bytes())


def _error() -> dict[str, str]:
    message = "the loss became nan at step 12 <of 400>"
    traceback = f"Traceback ...\nNotFiniteError: {message}"
    return {"type": "NotFiniteError", "message": message, "traceback": traceback, "stage": "tune"}


def _record(
    id_: str, axes: dict[str, str], metrics: dict[str, float], seed: int, error: dict[str, str] | None
) -> Record:
    spec = {
        "dataset": {"name": "made_shapes", "size": 48},
        **{kind: {"name": axes.get(kind, "plain")} for kind in ("encoder", "fusion", "quantizer")},
        "phases": [{"name": "align", "steps": 60}, {"name": "tune", "steps": 120}],
        "metrics": [{"name": "vqa_accuracy"}, {"name": "loss"}],
        "evaluation": {"split": "test", "limit": None},
        "seed": seed,
    }
    provenance = {
        "workbench": "0.1.0",
        "python": "3.11.2",
        "torch": "2.13.0",
        "platform": "Linux",
        "cpu": "A <fast> processor",
        "cores": 2,
        "device": "cpu",
        "threads": 1,
        "workers": 2,
        "git_commit": "0123456789abcdef0123456789abcdef01234567",
        "git_dirty": False,
        "started": "2026-11-21T08:00:00+0000",
        "finished": "2026-11-21T08:07:00+0000",
    }
    scales = {
        "vqa_accuracy": {"higher_is_better": True, "percent": True},
        "loss": {"higher_is_better": False, "percent": False},
    }
    return Record(id_, FAILED if error else DONE, NAME, axes, spec, metrics, scales, provenance, error)


def _predictions(axes: dict[str, str], images: int, place: int, conditions: tuple[str, ...]) -> list[dict]:
    """Difficulties are shared by all trials, so that pairing them pays; a little noise is the trial's own."""
    shared, own = numpy.random.default_rng(7), numpy.random.default_rng(100 + place)
    skill = sum(SKILL.get(label, 0.0) for label in axes.values()) + (0.0 if "encoder" in axes else ENCODER_SKILL["vit"])
    lines = []
    for image in range(images):
        hard = 0.15 * shared.standard_normal()
        color, shape = COLORS[shared.integers(5)], SHAPES[shared.integers(3)]
        for number, (group, question, answer, wrong) in enumerate(_questions(color, shape)):
            need, bias = shared.uniform() + (hard if group == "shape" else hard / 3), 0.08 * (group == "shape")
            for condition in conditions:
                chance = skill - bias if condition == "image" else CONTROL_SKILL - bias
                right = bool(need + 0.05 * own.standard_normal() < chance)
                lines.append(
                    {
                        "condition": condition,
                        "id": f"test-{image}-{number}",
                        "image": f"{image}-{color}-{shape}",
                        "group": group,
                        "question": question,
                        "answers": [answer],
                        "answer": answer if right else wrong,
                        "loss": None if condition == "prior" else 0.1 if right else 1.4,
                        "scores": {
                            "vqa_accuracy": float(right),
                            **({} if condition == "prior" else {"loss": 0.1 if right else 1.4}),
                        },
                    }
                )
    return lines


def _questions(color: str, shape: str) -> list[tuple[str, str, str, str]]:
    other_color = COLORS[(COLORS.index(color) + 1) % 5]
    other_shape = SHAPES[(SHAPES.index(shape) + 1) % 3]
    return [
        ("color", "what color is the shape?", color, other_color),
        ("shape", "what shape is in the image?", shape, other_shape),
        ("yes/no", f"is there a {color} shape?", "yes", "no"),
        ("yes/no", f"is there not a {shape}?", "no", "yes"),
    ]


def _metrics(
    axes: dict[str, str], lines: list[dict], conditions: tuple[str, ...], gain_against: str | None
) -> dict[str, float]:
    metrics: dict[str, float] = {}
    for name in ("vqa_accuracy", "loss"):
        for condition in conditions:
            if (name, condition) == ("loss", "prior"):
                continue
            scores = [line["scores"][name] for line in lines if line["condition"] == condition]
            metrics[name if condition == "image" else f"{name}.{condition}"] = float(numpy.mean(scores))
        for group in ("color", "shape", "yes/no"):
            scores = [x["scores"][name] for x in lines if x["group"] == group and x["condition"] == "image"]
            metrics[f"{name}.group.{group}"] = float(numpy.mean(scores))
    controls = [metrics[f"vqa_accuracy.{each}"] for each in conditions if each != "image"]
    if gain_against is not None:
        metrics["visual_gain"] = metrics["vqa_accuracy"] - metrics[f"vqa_accuracy.{gain_against}"]
    elif controls:
        metrics["visual_gain"] = metrics["vqa_accuracy"] - max(controls)
    small, cross = axes.get("quantizer") == "int8", axes.get("fusion") == "cross_attention"
    parameters = 1_310_000 + 260_000 * cross + 90_000 * (axes.get("encoder") == "clip")
    return metrics | {
        "parameters": parameters,
        "trainable_parameters": parameters // 3,
        "bytes": parameters * (1.18 if small else 4.0),
        "training_seconds": 61.0 + 12 * cross + 20 * (axes.get("encoder") == "clip"),
        "examples_per_second": 910.0 - 120 * cross,
        "latency_ms": 6.1 + 1.3 * cross + (0.8 if small else 0.0) + 0.4 * (axes.get("encoder") == "clip"),
        "peak_memory_bytes": 610_000_000.0,
    }


def _curve(axes: dict[str, str], looked_at: bool = False) -> list[dict]:
    """What quantizing changes comes after training, so those trials share their curve."""
    speed = 1.6 if axes.get("fusion") == "cross_attention" else 1.0
    trained = sorted(label for label in axes.items() if label[0] != "quantizer")
    noise = numpy.random.default_rng(zlib.crc32(repr(trained).encode()))
    there = noise.uniform(50, 80) / speed  # steps until the accuracy is 90 %
    lines: list[dict] = []
    for phase, steps, start in (("align", 60, 3.0), ("tune", 120, 1.4)):
        for step in range(1, steps + 1):
            loss = start * math.exp(-speed * step / steps) + 0.05 + 0.08 * abs(noise.standard_normal())
            lines.append(
                {
                    "phase": phase,
                    "step": step,
                    "steps": steps,
                    "loss": loss,
                    "rate": 1e-3,
                    "images": 32 * step,
                    "seconds": 0.1 * step,
                }
            )
            if looked_at and phase == "tune" and step % 10 == 0:
                lines[-1]["validation_metrics"] = {"vqa_accuracy": min(1.0, 0.9 * step / there)}
    return lines


def write_dataset_plugin(folder: Path) -> Path:
    """The dataset `made_shapes` as a user's plugin: it draws the images of the made-up questions."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "made_shapes.py").write_text(PLUGIN, encoding="utf-8")
    return folder


PLUGIN = '''
from PIL import Image, ImageDraw

from workbench import Dataset, hookimpl


class MadeShapes(Dataset):
    """Shapes for a made-up experiment."""

    def __init__(self, *, size: int = 32):
        self.size = size

    def image(self, key):
        _, color, shape = key.split("-")
        image = Image.new("RGB", (self.size, self.size), (245, 240, 250))
        pen, low, high = ImageDraw.Draw(image), self.size // 5, self.size - self.size // 4
        if shape == "circle":
            pen.ellipse((low, low, high, high), fill=color)
        elif shape == "rectangle":
            pen.rectangle((low, low, high, high - 5), fill=color)
        else:
            pen.polygon([(low, high), (high, high), (self.size // 2, low)], fill=color)
        return image


@hookimpl
def register_datasets(register):
    register("made_shapes", MadeShapes)
'''
