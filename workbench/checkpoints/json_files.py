"""The JSON files beside the weights of a checkpoint: each holds an object, which other people wrote."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from workbench.checkpoints.weights import CheckpointError
from workbench.storage.places import is_there, regular


def read_object(file: Path, what: str = "which a Hugging Face checkpoint needs") -> dict[str, Any]:
    """The object in a JSON file; `CheckpointError`, which says `what` it is needed for, when it cannot be read."""
    try:
        found = json.loads(regular(file).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(f"cannot read {file}, {what}: {error}") from error
    if not isinstance(found, dict):
        raise CheckpointError(f"cannot read {file}, {what}: no object")
    return found


def object_if_there(file: Path) -> dict[str, Any]:
    """The same of a file that a checkpoint may have; empty where there is none."""
    return read_object(file, "which a checkpoint may have") if is_there(file) else {}
