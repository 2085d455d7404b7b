"""The checklist's items on code, data and weights: what of them is on record, and where they come from."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePath
from typing import Any

from workbench.reports.checklist_points import NEEDLESS, PARTLY, UNKNOWN, YES, Point, made_of, values_of
from workbench.reports.experiment_results import Study
from workbench.reports.number_format import counted
from workbench.storage.records import Record


def access(study: Study) -> list[Point]:
    """Whether others can have the code and the data: of that the records know which they were."""
    return [_code(study), _data(study)]


def licences(study: Study) -> list[Point]:
    """The licences of what was used, where its own files tell them."""
    return [_weights(study), _licence_of_data(study), _licence_of_code(study)]


def _code(study: Study) -> Point:
    told = ["Whether and where the code is published is not on record."]
    plugins = made_of(study.records, "plugin")
    if plugins:
        told.insert(0, f"Each record has the hash of the source of every plugin it used: {', '.join(plugins)}.")
    return Point("open code", UNKNOWN, told)


def _data(study: Study) -> Point:
    told = [f"Data: {', '.join(_datasets(study)) or 'not named in the records'}."]
    if made_of(study.records, "data"):
        told.append("Each record has a fingerprint of what it read.")
    return Point("open data", UNKNOWN, [*told, "Where others get them is not on record."])


def _weights(study: Study) -> Point:
    asked, found = "pretrained weights and other files", _downloads(study.done)
    if not study.done:
        return Point(asked, UNKNOWN, ["No trial has finished: what weights they began from is not on record."])
    told = [
        f"{name}, commit {at.get('commit')}, {f'licence {each}' if (each := at.get('licence')) else 'no licence told'}."
        for name, at in found.items()
    ]
    files = [file for file in made_of(study.done, "file") if not any(name in file for name in found)]
    if files:
        told.append(f"From files, licence not on record: {', '.join(PurePath(file).name for file in files)}.")
    silent = sum(not {"downloads", "made_of"} <= record.provenance.keys() for record in study.done)
    if silent:
        told.append(
            f"Of {silent} of {counted(len(study.done), 'trial')} it is not on record what weights they began from."
        )
    known = sum(bool(at.get("licence")) for at in found.values())
    if not told:
        return Point(asked, NEEDLESS, ["The records name no weights that were downloaded or read from files."])
    whole = known == len(found) and not (files or silent)
    return Point(asked, YES if whole else PARTLY if known else UNKNOWN, told)


def _licence_of_data(study: Study) -> Point:
    return Point("data", UNKNOWN, [f"The licence of {', '.join(_datasets(study)) or 'the data'} is not on record."])


def _licence_of_code(study: Study) -> Point:
    versions = [
        f"{name} {', '.join(map(str, each))}"
        for name in ("workbench", "torch")
        if (each := values_of(study.records, "provenance", name))
    ]
    told = [f"Versions on record: {'; '.join(versions)}."] if versions else []
    return Point("code", UNKNOWN, [*told, "The licences of packages are not on record."])


def _datasets(study: Study) -> list[str]:
    """The names of the datasets, with those that others are made of and those that lend images from outside."""
    paths = (("spec", "dataset", "name"), ("spec", "evaluation", "outside", "name"))
    named = [str(each) for path in paths for each in values_of(study.records, *path)]
    read = [each.removeprefix("dataset ") for each in made_of(study.records, "plugin") if each.startswith("dataset ")]
    return list(dict.fromkeys([*named, *read]))


def _downloads(records: Sequence[Record]) -> dict[str, dict[str, Any]]:
    return {name: at for each in records for name, at in each.provenance.get("downloads", {}).items()}
