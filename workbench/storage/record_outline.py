"""The quick look that a plan takes at a record: thousands are looked at before a run begins."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from workbench.storage.places import regular
from workbench.storage.records import Record, read_record
from workbench.storage.result_files import RECORD, ResultsError


class Present(BaseModel):
    """A mapping in a record that is there and whose content is not looked at."""


class Origin(BaseModel):
    """What the provenance of a record says of the stage that made it."""

    model_config = ConfigDict(strict=True)

    key: str | None = None
    before: str | None = None
    files: dict[str, tuple[int, str]] = {}  # [bytes, SHA-256] by name


class Outline(BaseModel):
    """What a plan asks of a record. Of what it does not ask it only checks that it is there: to build all of each
    record takes four times as long."""

    model_config = ConfigDict(strict=True)

    id: str
    status: Literal["done", "failed"]
    experiment: str
    axes: dict[str, Any]
    spec: Present
    metrics: dict[str, float | None]
    scales: Present
    provenance: Origin
    error: dict[str, Any] | None


def read_outline(folder: Path | str) -> Outline | None:
    """The outline of the record of a trial's folder; None where `read_record` would raise."""
    try:
        with open(regular(f"{folder}/{RECORD}"), "rb") as file:  # noqa: PTH123 (a Path takes thrice as long)
            return Outline.model_validate_json(file.read())
    except OSError:
        return None
    except ValidationError:  # damaged, or text that only the other reader takes
        try:
            return _outline_of(read_record(Path(folder)))
        except ResultsError:
            return None


def is_whole(folder: Path | str, outline: Outline) -> bool:
    """Whether the files beside a record have the sizes they were written with."""
    try:
        return all(os.stat(f"{folder}/{name}").st_size == size for name, (size, _) in outline.provenance.files.items())  # noqa: PTH116
    except OSError:
        return False


def _outline_of(record: Record) -> Outline:
    known = {name: value for name, value in record.provenance.items() if name in Origin.model_fields}
    return Outline.model_construct(**{**vars(record), "provenance": Origin.model_construct(**known)})
