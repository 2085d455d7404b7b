"""Odd input of every kind: no traceback, no hang, exit codes 0 to 2, every message with its place, nothing damaged
taken for whole.

python benchmarks/fuzz.py [--only KIND] [--cases N] [--seed N] [--seconds N] [--keep FOLDER]

500 mutants of experiment files and of `--set`, 200 finished runs with one file damaged, 100 odd checkpoints, annotation
files and images. Each case is of its kind, number and seed alone. Ends with exit code 1 where anything is at fault.
"""

from __future__ import annotations

import argparse
import importlib
import os
import re
import sys
import tempfile
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path

import torch
from fuzzing import experiments, inputs, results
from fuzzing.isolation import Case, Ending, Maker, Tried, try_all
from fuzzing.templates import make_checkpoints, make_finished_run, make_launcher
from side_by_side import print_machine

import workbench
from workbench.registry import Registry, load_registry

SEED, SECONDS = 0, 20.0
OFFLINE = {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false", "COLUMNS": "200"}
CASES = {
    "odd values": 180,
    "odd keys": 60,
    "odd text": 80,
    "odd options": 120,
    "odd --set": 60,
    "damaged trial": 90,
    "damaged results": 70,
    "damaged export": 30,
    "swapped trials": 10,
    "odd checkpoint": 40,
    "odd annotations": 40,
    "odd image": 20,
}
FAULTS = ("traceback", "hang", "without a place", "damaged taken for whole", "not tried")
COLUMNS = ("cases", "commands", "exit 0", "exit 1", "exit 2", *FAULTS)
# A file or a folder with a line or without, an option of the command line, a key of an experiment.
PLACE = re.compile(r"[\w.~-]+\.(yaml|csv|tsv|jsonl?|token|txt|png|safetensors)\b|\S/\S|--[a-z]+")
SHOWN = 1500  # letters of what a faulty command said


def main() -> None:
    asked = _arguments()
    os.environ |= OFFLINE
    torch.set_num_threads(1)
    print_machine(threads=1)
    seconds = asked.seconds
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(asked.keep or temporary).resolve()
        kinds = makers(load_registry(), folder, [each for each in CASES if asked.only in each])
        cases = [
            Case(kind, number, asked.seed, make)
            for kind, make in kinds.items()
            for number in ([asked.case] if asked.case is not None else range(asked.cases or CASES[kind]))
        ]
        import_all()
        tried = []
        for each in try_all(cases, folder / "cases", asked.at_once, seconds):
            tried.append(each)
            show(each, seconds)
    print(table(tried))
    sys.exit(any(faults_of(each) for each in tried))


def import_all() -> None:
    """Every module of the workbench that can be, so that no case imports any: what is edited meanwhile changes none."""
    for file in Path(workbench.__path__[0]).glob("*/[!_]*.py"):
        with suppress(ImportError):  # an extra that is not installed
            importlib.import_module(f"workbench.{file.parent.name}.{file.stem}")


def makers(registry: Registry, folder: Path, kinds: Sequence[str]) -> dict[str, Maker]:
    """How cases of these kinds are made; what they begin from is made first, where any needs it."""
    make_launcher(folder)
    found: dict[str, Maker] = {**experiments.makers(registry, folder / "checkpoints")}
    if any(kind in kinds for kind in results.makers(folder)):
        run = folder / "cases" / "finished" / "work"
        if not run.exists():
            make_finished_run(run)
        found |= results.makers(run)
    if {"odd checkpoint", "odd annotations", "odd options"} & set(kinds) and not (folder / "checkpoints").exists():
        make_checkpoints(folder / "checkpoints")
    found |= inputs.makers(folder / "checkpoints")
    return {kind: found[kind] for kind in kinds}


def faults_of(tried: Tried) -> list[str]:
    """What is at fault, by the names of `FAULTS`."""
    faults = ["not tried"] if tried.failed else []
    for ending in tried.endings:
        faults += ["hang"] if ending.hung else ["traceback"] if ending.broke else []
        faults += ["without a place"] if ending.code == 2 and not ending.broke and without_place(ending) else []
    return faults + ["damaged taken for whole"] * len(tried.whole)


def without_place(ending: Ending) -> list[str]:
    """The lines of a refusal that name no file, no key and no option; indented ones belong to those above."""
    said = ending.errors.replace("error: ", "", 1).strip("\n").split("\n")
    if "Usage: " in ending.errors:  # of the command line itself
        return []
    heads = [line for line in said if not line.startswith((" ", "\t"))]
    return [line for line in heads if not PLACE.search(line)]


def table(tried: Iterable[Tried]) -> str:
    """Counts by kind, as Markdown."""
    counts: dict[str, dict[str, int]] = {}
    for each in tried:
        row = counts.setdefault(each.kind, dict.fromkeys(COLUMNS, 0))
        row["cases"] += 1
        for ending in each.endings:
            row["commands"] += 1
            if f"exit {ending.code}" in row:
                row[f"exit {ending.code}"] += 1
        for fault in faults_of(each):
            row[fault] += 1
    counts["all"] = {column: sum(row[column] for row in counts.values()) for column in COLUMNS}
    lines = [["", *COLUMNS], ["---", *["---:"] * len(COLUMNS)]]
    lines += [[kind, *(f"{row[column]:,}" for column in COLUMNS)] for kind, row in counts.items()]
    return "\n" + "\n".join("| " + " | ".join(line) + " |" for line in lines)


def show(tried: Tried, seconds: float) -> None:
    """A faulty case: what was changed, and what the commands said."""
    faults = faults_of(tried)
    if not faults:
        return
    print(f"\n{tried.name}: {', '.join(faults)}: {tried.change}", *tried.whole, tried.failed, sep="\n  ")
    for ending in tried.endings:
        if ending.hung or ending.broke or (ending.code == 2 and without_place(ending)) or tried.whole:
            how = f"not through in {seconds:.0f} s" if ending.hung else f"exit {ending.code}, {ending.seconds:.1f} s"
            print(f"  workbench {' '.join(ending.words)!a:.200}: {how}")
            print("    " + ascii(ending.output[-SHOWN // 3 :] + ending.errors[-SHOWN:])[1:-1].replace("\\n", "\n    "))
    sys.stdout.flush()


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", metavar="KIND", help=f"kinds with this in their name: {', '.join(CASES)}")
    parser.add_argument("--cases", type=int, metavar="N", help="so many of each kind")
    parser.add_argument("--case", type=int, metavar="NUMBER", help="only the case of that number")
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--seconds", type=float, default=SECONDS, help="that a command may take")
    parser.add_argument("--at-once", type=int, default=2, metavar="N", help="cases tried at the same time")
    parser.add_argument("--keep", metavar="FOLDER", help="where cases are left to be looked at")
    return parser.parse_args()


if __name__ == "__main__":
    main()
