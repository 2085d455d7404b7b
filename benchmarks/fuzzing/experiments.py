"""Mutants of experiment files and of `--set`: `workbench plan` accepts them or says where they are wrong."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import yaml
from official_formats import FORMATS

from fuzzing.isolation import Maker, Prepared
from fuzzing.odd_values import TEXTS, VALUES, changed, deep, places, value_at, without
from fuzzing.templates import HERE, TINY, make_data, with_dataset
from workbench.config.experiment_file import ExperimentFile
from workbench.config.phase import Evaluation, Phase
from workbench.registry import Plugin, Registry, resolve_options

SHIPPED = Path(__file__).parents[2] / "experiments"
FILE = "mutant.yaml"
BOMB = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{one}: &{one} [{','.join([f'*{before}'] * 9)}]\n" for before, one in zip("abcdefgh", "bcdefghi", strict=True)
)
NUMBERS = [2, 3, 7, 16, 100, 4096, 2**31, 1e-3, 0.999, 1.0, 2.5]
PATHS = [
    "missing",
    "",
    ".",
    "/",
    "images",
    "..",
    "/dev/null",
    "/dev/zero",
    "a" * 300,
    "b/" * 3000,
    "nul\0",
    "~nobody/x",
]


def makers(registry: Registry, checkpoints: Path) -> dict[str, Maker]:
    """The kinds of mutants there are; plugins that need a checkpoint have one of those."""
    options = [(plugin, name) for plugin in registry.plugins() for name in plugin.options]
    return {
        "odd values": odd_values,
        "odd keys": odd_keys,
        "odd text": odd_text,
        "odd options": lambda dice, folder: odd_options(*dice.choice(options), dice, folder, checkpoints),
        "odd --set": odd_overrides,
    }


def odd_values(dice: random.Random, folder: Path) -> Prepared:
    """One value of another type, size or form; or a field that the file does not have."""
    name, document = _document(dice)
    fields = [
        *((each,) for each in ExperimentFile.model_fields),
        *(("evaluation", each) for each in Evaluation.model_fields),
        *(("base", "phases", 0, each) for each in Phase.model_fields),
    ]
    there = list(places(document))[1:]
    place = dice.choice(there if dice.random() < 0.7 else fields)
    value = dice.choice([*VALUES, deep(), deep(3)])
    if place[0] == "evaluation":
        document.setdefault("evaluation", {})
    return _plan(folder, _yaml(changed(document, place, value)), f"{name}: {place} = {value!a:.80}")


def odd_keys(dice: random.Random, folder: Path) -> Prepared:
    """A key misspelt, missing, twice, of another type, or one that nobody knows."""
    name, document = _document(dice)
    place = dice.choice([each for each in places(document) if each and isinstance(each[-1], str)])
    parent, key = place[:-1], place[-1]
    inner = value_at(document, place)
    how = dice.choice(["misspelt", "removed", "added", "twice", "upper case"])
    if how == "removed":
        made = without(document, place)
    elif how == "added":
        made = changed(document, (*parent, dice.choice([*TEXTS, "unknown", 3, None, True])), inner)
    else:
        other = {"misspelt": key[:-1] + "q", "twice": "TWICE", "upper case": key.upper()}[how]
        made = changed(without(document, place), (*parent, other), inner)
        made = changed(made, place, inner) if how == "twice" else made
    return _plan(folder, _yaml(made).replace("TWICE", key), f"{name}: {place} {how}")


def odd_text(dice: random.Random, folder: Path) -> Prepared:
    """Something that YAML, or an encoding, does not allow, or allows and nobody writes."""
    name, document = _document(dice)
    text = _yaml(document)
    content, at = text.encode(), dice.randrange(len(text))
    lines = text.splitlines(keepends=True)
    line = dice.randrange(len(lines))
    ways: dict[str, bytes] = {
        "cut": content[:at],
        "a flipped bit": content[:at] + bytes([content[at] ^ 1 << dice.randrange(8)]) + content[at + 1 :],
        "a line twice": "".join([*lines[: line + 1], *lines[line:]]).encode(),
        "a line gone": "".join([*lines[:line], *lines[line + 1 :]]).encode(),
        "a tab": "".join([*lines[:line], "\t" + lines[line], *lines[line + 1 :]]).encode(),
        "lines mixed": "".join(dice.sample(lines, len(lines))).encode(),
        "a mark of the byte order": text.encode("utf-8-sig"),
        "UTF-16": text.encode("utf-16"),
        "Latin-1": (text + "# größe\n").encode("latin-1"),
        "CR LF": text.replace("\n", "\r\n").encode(),
        "CR": text.replace("\n", "\r").encode(),
        "nothing": b"",
        "a comment": b"# nothing\n",
        "noise": dice.randbytes(500),
        "anchors": (BOMB + text).encode(),
        "anchors within": text.encode() + b"x: &x {y: *x}\n",
        "deep": b"[" * 20_000,
        "deep lists": text.encode() + b"labels: " + b"[" * 900 + b"]" * 900 + b"\n",
        "two documents": content + b"---\n" + content,
        "a tag": b"base: !!python/object/apply:os.getcwd []\n" + content,
        "an unknown tag": content + b"name: !here there\n",
        "an odd text": content[:at] + dice.choice(TEXTS).encode("utf-8", "surrogatepass") + content[at:],
        "merged keys": content + b"<<: {question: again}\n",
        "a date": content.replace(b"question:", b"question: 2026-01-01 #", 1),
        "a number of base 60": content.replace(b"question:", b"question: 1:30:00 #", 1),
    }
    how = dice.choice(list(ways))
    return _plan(folder, ways[how], f"{name}: {how}")


def odd_options(plugin: Plugin, name: str, dice: random.Random, folder: Path, checkpoints: Path) -> Prepared:
    """One option of a plugin, and those that it needs; more often one of a type that the option takes."""
    needed = _needed(plugin.kind, plugin.name, folder, checkpoints)
    values = [*VALUES, *PATHS, *NUMBERS, *map(tuple, [PATHS[:2], TEXTS[:2]]), deep(), {"train": dice.choice(PATHS)}]
    taken = [each for each in values if _takes(plugin, {**needed, name: each})]
    value = dice.choice(taken if taken and dice.random() < 0.8 else values)
    value = list(value) if isinstance(value, tuple) else value
    written = {"name": plugin.name, **needed, name: value}
    if plugin.kind == "dataset":
        document = with_dataset(written)
    elif plugin.kind == "metric":
        document = TINY | {"metrics": [written, "vqa_accuracy"]}
    elif plugin.kind == "tracker":
        document = TINY | {"trackers": [written]}
    else:
        place = ("launcher",) if plugin.kind == "launcher" else ("base", plugin.kind)
        document = changed(without(TINY, ("grid",)), place, written)
    if plugin.kind == "adapter":
        document = changed(document, ("base", "phases", 0, "train"), ["connector", "adapter"])
    return _plan(folder, _yaml(document), f"{plugin.kind} {plugin.name}: {name} = {value!a:.80}")


def _takes(plugin: Plugin, options: dict[str, Any]) -> bool:
    try:
        resolve_options(plugin, options)
    except Exception:  # whatever is wrong with it
        return False
    return True


def odd_overrides(dice: random.Random, folder: Path) -> Prepared:
    """`--set` with keys and values that do not fit."""
    fields = [".".join(map(str, each)) for each in places(TINY) if each]
    shown = dice.choice(
        [*TEXTS, *PATHS, *(str(each) for each in VALUES), "[", "{a: b", "*x", "&x", "- a", "a: b: c", "!!x"]
    )
    key = dice.choice([*fields, *fields, "base.encoder.width", "seeds", "launcher", "statistics.pairs", *TEXTS])
    word = dice.choice([f"{key}={shown}"] * 8 + [key, f"={shown}", f"{key}==", f"{key}.={shown}", f".{key}={shown}"])
    word = word.replace("\0", "\x01").encode("utf-8", "replace").decode()  # no program can be given a NUL
    return _plan(folder, _yaml(TINY), f"--set {word!a:.100}", "--set", word[:100_000])


def _document(dice: random.Random) -> tuple[str, dict[str, Any]]:
    files = sorted(SHIPPED.rglob("*.yaml"))
    file = dice.choice([None, *files])
    if file is None or dice.random() < 0.4:
        return "tiny", yaml.safe_load(_yaml(TINY))
    return file.stem, yaml.safe_load(file.read_text(encoding="utf-8"))


def _needed(kind: str, plugin: str, folder: Path, checkpoints: Path) -> dict[str, Any]:
    """Options without which the plugin would be refused whatever the odd one is."""
    if kind == "dataset" and plugin in FORMATS:
        (folder / "data").mkdir()
        return json.loads(json.dumps(FORMATS[plugin](folder / "data", 12, True), default=str))
    needed = {"huggingface": "decoder" if kind == "language_model" else "tower", "timm": "tower"}
    if plugin == "peft":
        return {"method": "lora"}
    return {"checkpoint": str(checkpoints / needed[plugin])} if plugin in needed else {}


def _yaml(document: Any) -> str:
    return yaml.safe_dump(document, sort_keys=False)


def _plan(folder: Path, text: str | bytes, change: str, *more: str) -> Prepared:
    make_data(folder)
    (folder / FILE).write_bytes(text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text)
    return Prepared(change, [["plan", FILE, *HERE, *more]])
