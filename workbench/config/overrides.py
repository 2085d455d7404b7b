"""`--set key=value`: settings of an experiment changed from the command line."""

from __future__ import annotations

import copy
import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from workbench.config.component import COMPONENTS
from workbench.config.problems import Document, ExperimentError, Keys, Place
from workbench.config.yaml_source import parse_yaml
from workbench.errors import did_you_mean


def apply_overrides(document: Document, overrides: Sequence[str]) -> Document:
    """The document with every override put in, in their order; `ExperimentError` names those that cannot be."""
    value, places = copy.deepcopy(document.value), dict(document.places)
    faults: list[tuple[Place, str]] = []
    for override in overrides:
        place = Place(sys.maxsize, f"--set {override}")
        try:
            words, new = _read(override, place)
            keys = _put(value, words, new, place)
        except ExperimentError as error:
            faults += error.found
            continue
        for old in [old for old in places if old[: len(keys)] == keys]:
            del places[old]
        places |= {keys[: len(keys) - up]: place for up in range(len(keys)) if keys[: len(keys) - up] not in places}
    if faults:
        raise ExperimentError(*faults)
    return replace(document, value=value, places=places)


def read_settings(overrides: Sequence[str]) -> dict[str, Any]:
    """What `--set`s say where there is no experiment file: `["fusion.heads=2"]` -> {"fusion": {"heads": 2}}.
    `ExperimentError` at the first that says nothing."""
    value: dict[str, Any] = {}
    for override in overrides:
        place = Place(sys.maxsize, f"--set {override}")
        words, new = _read(override, place)
        _put(value, words[words[0] == "base" :], new, place)
    return value


def _read(override: str, place: Place) -> tuple[list[str], Any]:
    """`"base.encoder.width=64"` -> ["base", "encoder", "width"], 64."""
    key, equals, text = override.partition("=")
    words = key.strip().split(".")
    if not equals or not all(words):
        raise ExperimentError((place, "this is no setting. Write --set key=value, as --set base.encoder.width=64"))
    if words[0] == "phases":
        words = ["base", *words]
    if words[0] in ("grid", "baseline") and len(words) > 2:  # their keys are dotted names themselves
        words = [words[0], ".".join(words[1:])]
    return words, parse_yaml(text, "--set", place).value


def _put(document: dict[str, Any], words: list[str], value: Any, place: Place) -> Keys:
    """Put the value in; returns the way to it."""
    here: Any = document
    keys: Keys = ()
    for number, word in enumerate(words):
        key = _key(here, word, ".".join(words[:number]), place)
        keys = (*keys, key)
        if number == len(words) - 1:
            here[key] = value
        else:
            here = _step(here, key, keys)
    return keys


def _key(here: Any, word: str, way: str, place: Place) -> str | int:
    """A key of a mapping as it is; an item of a list by its name or number."""
    if isinstance(here, dict):
        return word
    if not isinstance(here, list):
        raise ExperimentError((place, f"'{way}' is a single value: it has no '{word}'. Write --set {way}=value"))
    names = [
        str(item.get("name", number)) if isinstance(item, dict) else str(number) for number, item in enumerate(here)
    ]
    if word in names:
        return names.index(word)
    if word.isdigit() and int(word) < len(here):
        return int(word)
    raise ExperimentError((place, f"{way} has no '{word}'.{did_you_mean(word, names)} There are: {', '.join(names)}"))


def _step(here: Any, key: Any, keys: Keys) -> Any:
    """Go one step down; what is not there yet is made, and a component's bare name gets room for options."""
    inner = here.get(key) if isinstance(here, dict) else here[key]
    if inner is None:
        inner = here[key] = {}
    elif isinstance(inner, str) and len(keys) == 2 and keys[0] == "base" and keys[1] in COMPONENTS:
        inner = here[key] = {"name": inner}
    return inner
