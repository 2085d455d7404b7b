"""Damage to what a run leaves: every command goes on without the damaged, makes it anew, or says which file it is."""

from __future__ import annotations

import json
import random
import re
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

from fuzzing.isolation import Ending, Maker, Prepared
from fuzzing.odd_values import BYTES, PLACES, Damage, change_a_digit, damage_json
from fuzzing.templates import EXPERIMENT, EXPORT, HERE, LAUNCHERS, trials_of

TRIALS = 2
WRITTEN = re.compile(r"\.(json|jsonl)$")
NEW = "new"  # an export of this case


def makers(template: Path) -> dict[str, Maker]:
    """The kinds of damage there are, each to a copy of the finished run."""

    def of(files: Callable[[Path], list[Path]], after: Callable[[Path, Path, random.Random], Prepared]) -> Maker:
        def make(dice: random.Random, folder: Path) -> Prepared:
            shutil.copytree(template, folder, dirs_exist_ok=True, symlinks=True)
            file = dice.choice(files(folder))
            before = file.read_bytes()
            prepared = after(folder, file, dice)
            change = _damage(file, dice)
            return _judged(folder, file, before, change, prepared)

        return make

    return {
        "damaged trial": of(_of_trials, _after_trial),
        "damaged results": of(_of_the_rest, _after_rest),
        "damaged export": of(_of_export, _after_export),
        "swapped trials": lambda dice, folder: _swapped(template, dice, folder),
    }


def _of_trials(folder: Path) -> list[Path]:
    return sorted(folder.glob("results/*/trials/*/*.json*"))


def _of_the_rest(folder: Path) -> list[Path]:
    """The experiment's own files, and stages: one of each name that is left once, all that are left by keys."""
    found = [*folder.glob("results/*/*.*"), *folder.glob("results/artifacts/**/*"), *folder.glob("results/*/report/*")]
    return sorted(file for file in found if file.is_file())


def _of_export(folder: Path) -> list[Path]:
    return sorted(file for file in (folder / EXPORT).rglob("*") if file.is_file())


def _after_trial(folder: Path, file: Path, dice: random.Random) -> Prepared:
    id_ = file.parent.name
    commands = [
        ["verify", "results/tiny", "--plugins", LAUNCHERS],
        ["plan", EXPERIMENT, *HERE],
        ["report", EXPERIMENT, *HERE],
    ]
    return Prepared("", [*commands, dice.choice([*_using(id_), _again(), ["clean", "--dry-run"]])])


def _after_rest(folder: Path, file: Path, dice: random.Random) -> Prepared:
    id_ = dice.choice(trials_of(folder)).name
    first = [
        ["verify", "results/tiny", "--plugins", LAUNCHERS],
        ["plan", EXPERIMENT, *HERE],
        ["clean", "--dry-run"],
        *_using(id_),
    ]
    last = [_again(), ["report", EXPERIMENT, *HERE], ["report", "results/tiny", "--plugins", LAUNCHERS]]
    return Prepared("", [*dice.sample(first, 2), dice.choice(last)])


def _after_export(folder: Path, file: Path, dice: random.Random) -> Prepared:
    return Prepared("", [["ask", EXPORT, "images/red.png", "what color is it?", "--device", "cpu"]])


def _using(id_: str) -> list[list[str]]:
    ask = ["ask", id_, "images/red.png", "what color is it?", "--device", "cpu"]
    return [[*ask, *HERE], ["export", id_, NEW, *HERE]]


def _again() -> list[str]:
    return ["run", EXPERIMENT, *HERE, "--device", "cpu"]


def _damage(file: Path, dice: random.Random) -> str:
    """Any damage, more often one that is hard to see."""
    hard: Sequence[Damage] = (change_a_digit, damage_json, damage_json) if WRITTEN.search(file.name) else ()
    damage = dice.choice([*BYTES, *PLACES, *hard, *hard])
    try:
        return damage(file, dice)
    except (ValueError, IndexError):  # an empty file, or one that is no JSON, has no value to change
        return BYTES[0](file, dice)


def _judged(folder: Path, file: Path, before: bytes, change: str, prepared: Prepared) -> Prepared:
    name = file.relative_to(folder).as_posix()
    changed = not file.is_file() or _content(file.read_bytes()) != _content(before)
    of_trial = "/trials/" in name and changed

    def faults(endings: list[Ending]) -> list[str]:
        return [fault for each in endings for fault in taken_for_whole(folder, file, each)] if of_trial else []

    return Prepared(f"{name}: {change}", prepared.commands, faults)


def _content(written: bytes) -> object:
    """What a file says: the same values written otherwise are no damage."""
    try:
        return ("json", json.loads(written))
    except (ValueError, RecursionError):
        return ("bytes", written)


def taken_for_whole(folder: Path, file: Path, ending: Ending) -> list[str]:
    """A command that a damaged trial went through as one that is whole."""
    if ending.code:
        return []
    command, trial = ending.words[0], file.parent.name
    if command == "verify":
        return ["verify found everything as it was written"]
    if command == "plan" and f"{TRIALS} trials, {TRIALS} done" in ending.output:
        return ["plan took the trial for done"]
    if command == "report" and not _tells(folder, trial):
        return ["report says nothing of the damage"]
    if command == "run" and not json.loads((file.parent / "record.json").read_text())["metrics"]:
        return ["run left the trial without a record"]
    return []


def _tells(folder: Path, trial: str) -> bool:
    page = (folder / "results/tiny/report/report.html").read_text(encoding="utf-8")
    return re.search(rf"damaged[^<]*{trial}|{trial}[^<]*damaged|have no result yet", page) is not None


def _swapped(template: Path, dice: random.Random, folder: Path) -> Prepared:
    """Two trials' files, each as it was written, but in the place of the other."""
    shutil.copytree(template, folder, dirs_exist_ok=True, symlinks=True)
    first, second = trials_of(folder)[:2]
    names = dice.choice([["record.json"], ["predictions.jsonl"], ["predictions.jsonl", "curve.jsonl"], None])
    for name in names or [each.name for each in first.iterdir()]:
        one, other = (first / name).read_bytes(), (second / name).read_bytes()
        (first / name).write_bytes(other)
        (second / name).write_bytes(one)
    file = first / (names or ["record.json"])[0]
    same = names == ["curve.jsonl"]
    prepared = _after_trial(folder, file, dice)

    def faults(endings: list[Ending]) -> list[str]:
        return [] if same else [fault for each in endings for fault in taken_for_whole(folder, file, each)]

    return Prepared(f"{names or 'all files'} of two trials swapped", prepared.commands, faults)
