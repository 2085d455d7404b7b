"""What earlier versions left on disk, in the words of this one: they said "picture" where we say "image".

Records, predictions, curves, kept stages and exported folders are all read through here, and nothing else knows that
they were ever written otherwise. What is written now comes back as it is, so a folder may hold trials of both kinds.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

KEYS = {
    "picture": "image",
    "pictures": "images",
    "more_pictures": "more_images",
    "skipped_pictures": "skipped_images",
}
"""Of the lines of predictions and curves, of a kept stage's summary and of a record's provenance."""

CONDITIONS = {"picture": "image", "no_picture": "no_image"}
"""Of predictions; behind the name of a metric as well: `vqa_accuracy.no_picture`."""

WEIGHTS = {".picture_norm.": ".image_norm."}
"""Parts of the names of weights, of the connector `resampler`."""

Weight = TypeVar("Weight")


def record_of(content: Mapping[str, Any]) -> dict[str, Any]:
    """The content of record.json but its spec, for which plugins have to be known: `dataset_of`."""
    metrics = {_metric(name): value for name, value in content["metrics"].items()}
    provenance = _renamed(content["provenance"], KEYS)
    return {**content, "metrics": metrics, "provenance": provenance}


def dataset_of(written: Any, datasets: Mapping[str, Any]) -> Any:
    """A dataset's name and options in a spec, and those of the datasets it is made of; `datasets` are those that the
    registry has, by name. An option that the plugin still has is left alone: what a user's own calls it is its own
    matter."""
    plugin = datasets.get(str(written.get("name"))) if isinstance(written, Mapping) else None
    if plugin is None:
        return written
    known = plugin.options
    told = _renamed(written, {old: new for old, new in KEYS.items() if old not in known and new in known})
    for name in told.keys() & known.keys():
        if known[name].kind == "dataset" and isinstance(told[name], Mapping):
            told[name] = {part: dataset_of(each, datasets) for part, each in told[name].items()}
    if plugin.built_in and isinstance(told.get("columns"), Mapping):
        told["columns"] = _renamed(told["columns"], KEYS)
    return told


def predictions_of(lines: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """The lines of predictions.jsonl."""
    return [_prediction(line) if "picture" in line else line for line in lines]


def curve_of(lines: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """The lines of curve.jsonl."""
    return [_renamed(line, KEYS) for line in lines]


def stage_of(summary: Mapping[str, Any]) -> dict[str, Any]:
    """The content of stage.json."""
    return _renamed(summary, KEYS)


def weights_of(weights: Mapping[str, Weight], own: Iterable[str]) -> dict[str, Weight]:
    """Weights by the names that the model has for them, its `own`; a name that it has is left alone."""
    there = set(own)
    found = {}
    for name, weight in weights.items():
        called = name
        for old, new in WEIGHTS.items():
            called = called.replace(old, new)
        found[called if name not in there and called in there else name] = weight
    return found


def _prediction(line: Mapping[str, Any]) -> dict[str, Any]:
    condition = line.get("condition")
    return {**_renamed(line, KEYS), "condition": CONDITIONS.get(str(condition), condition)}


def _metric(name: str) -> str:
    metric, dot, condition = name.rpartition(".")
    return f"{metric}{dot}{CONDITIONS.get(condition, condition)}" if dot else name


def _renamed(content: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    """With new keys for old ones, in their order."""
    return {names.get(key, key): value for key, value in content.items()}
