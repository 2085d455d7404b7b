"""What a report takes: made-up trials x questions, `workbench report` in a process of its own, seconds and memory.

python benchmarks/reports.py [--trials 50] [--questions 1000] [--conditions image no_image] [--one-axis] [--keep FOLDER]

Trials are a grid of an encoder, a fusion and five seeds; with `--one-axis` they are as many values of one axis. Four
questions are asked about each image, and which are answered rightly comes from the seed 0. `--keep` leaves the results
where they are made, and takes those that are there already. Linux only: it reads the largest memory from the kernel.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy
from side_by_side import print_machine

from workbench.storage.experiment_summary import write_summary
from workbench.storage.records import DONE, Record, write_trial

NAME, SEEDS, QUESTIONS_OF_AN_IMAGE = "scale", 5, 4
GROUPS = ("color", "shape", "yes/no", "yes/no")
ASKED = ("what color is the shape?", "what shape is it?", "is there a {} shape?", "is there not a {}?")
COLORS = ("red", "green", "blue", "gray", "teal")
STEPS = 100


def main() -> None:
    """Make the results, report on them, and print what that took."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--trials", type=int, default=50)
    parser.add_argument("--questions", type=int, default=1_000)
    parser.add_argument("--conditions", nargs="+", default=["image", "no_image"])
    parser.add_argument("--one-axis", action="store_true")
    parser.add_argument("--keep", type=Path)
    asked = parser.parse_args()
    print_machine(1)
    with tempfile.TemporaryDirectory() as temporary:
        folder = (asked.keep or Path(temporary)) / NAME
        if not folder.is_dir():
            write_results(folder, axes_of(asked.trials, asked.one_axis), asked.questions, asked.conditions)
        seconds, processor, memory, log = report(folder)
        page = (folder / "report" / "report.html").stat().st_size
    print(f"{asked.trials} trials x {asked.questions:,} questions x {len(asked.conditions)} conditions")
    print(
        f"{seconds:.1f} s, {processor:.1f} s of a processor, {memory / 1e9:.2f} GB at most, page of {page / 1e6:.2f} MB"
    )
    print(f"said: {log}" if log else "said nothing else")


def axes_of(trials: int, one_axis: bool) -> dict[str, list[str]]:
    """The labels of each axis of a grid with so many trials, or of the one axis."""
    if one_axis:
        return {"encoder": [f"encoder-{place}" for place in range(trials)]}
    encoders, rest = divmod(trials, SEEDS * 5)
    if rest:
        raise SystemExit(f"--trials {trials} makes no grid: write a multiple of {SEEDS * 5}, or --one-axis")
    return {
        "encoder": [f"encoder-{place}" for place in range(encoders)],
        "fusion": [f"fusion-{place}" for place in range(5)],
        "seed": [str(place) for place in range(SEEDS)],
    }


def write_results(folder: Path, axes: dict[str, list[str]], questions: int, conditions: Sequence[str]) -> None:
    """A results folder as a run leaves it."""
    grid = [dict(zip(axes, labels, strict=True)) for labels in product(*axes.values())]
    ids = [f"{place:012x}" for place in range(len(grid))]
    metrics = ["vqa_accuracy", "loss"]
    baseline = {axis: labels[0] for axis, labels in axes.items() if axis != "seed"}
    summary = {"name": NAME, "question": "?", "axes": axes, "baseline": baseline, "metrics": metrics, "trials": ids}
    write_summary(folder, summary, "question: made up\n")
    difficulties = numpy.random.default_rng(0).uniform(size=questions)
    for place, (id_, labels) in enumerate(zip(ids, grid, strict=True)):
        lines = list(_lines(place, labels, difficulties, conditions))
        write_trial(folder / "trials" / id_, _record(id_, labels, lines, conditions), lines, _curve(place))


def report(folder: Path) -> tuple[float, float, int, str]:
    """Seconds, those of the processor, which other work does not stretch, the most memory, and what was said beside
    where the page is."""
    begin = time.perf_counter()
    command = [sys.executable, "-m", "workbench.cli.main", "report", str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        said = process.stdout.read() if process.stdout else ""
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(said)
    told = "\n".join(line for line in said.splitlines() if not line.startswith("wrote "))
    return time.perf_counter() - begin, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024, told


def _lines(
    place: int, labels: dict[str, str], difficulties: numpy.ndarray, conditions: Sequence[str]
) -> Iterator[dict[str, Any]]:
    random = numpy.random.default_rng(1 + place)
    for condition in conditions:
        skill = 0.5 + (condition == "image") * (0.2 + 0.02 * (sum(map(ord, "".join(labels.values()))) % 7))
        rights = (difficulties + 0.05 * random.standard_normal(len(difficulties)) < skill).tolist()
        losses = numpy.round(random.uniform(0.1, 1.4, len(difficulties)), 6).tolist()
        for number, (right, loss) in enumerate(zip(rights, losses, strict=True)):
            image, kind = divmod(number, QUESTIONS_OF_AN_IMAGE)
            color, wrong = COLORS[image % 5], COLORS[(image + 1) % 5]
            yield {
                "condition": condition,
                "id": f"test/{image}/{kind}",
                "image": f"test/{image}",
                "group": GROUPS[kind],
                "question": ASKED[kind].format(color),
                "answers": [color],
                "answer": color if right else wrong,
                "loss": loss,
                "log_probability": -loss,
                "scores": {"vqa_accuracy": float(right), "loss": loss},
            }


def _record(id_: str, labels: dict[str, str], lines: Sequence[dict[str, Any]], conditions: Sequence[str]) -> Record:
    metrics: dict[str, float] = {"bytes": 4e6 + len(str(labels)), "latency_ms": 6.0, "training_seconds": 60.0}
    for name in ("vqa_accuracy", "loss"):
        for condition in conditions:
            scores = [line["scores"][name] for line in lines if line["condition"] == condition]
            metrics[name if condition == "image" else f"{name}.{condition}"] = float(numpy.mean(scores))
    spec = {"dataset": {"name": "squares"}, "metrics": [{"name": "vqa_accuracy"}, {"name": "loss"}], "seed": 0}
    scales = {
        "vqa_accuracy": {"higher_is_better": True, "percent": True},
        "loss": {"higher_is_better": False, "percent": False},
    }
    provenance: dict[str, Any] = {"workbench": "0.1.0", "device": "cpu", "finished": "2026-11-21T08:07:00+0000"}
    return Record(id_, DONE, NAME, labels, spec, metrics, scales, provenance, None)


def _curve(place: int) -> Iterator[dict[str, Any]]:
    losses = 3 * numpy.exp(-numpy.arange(STEPS) / 40) + numpy.random.default_rng(place).uniform(0, 0.2, STEPS)
    for step, loss in enumerate(losses.tolist(), start=1):
        yield {"phase": "tune", "step": step, "steps": STEPS, "loss": loss, "rate": 1e-3, "images": 8, "seconds": 0.1}


if __name__ == "__main__":
    main()
