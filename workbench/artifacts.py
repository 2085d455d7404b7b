"""What training stages made, kept by the key of the stage: weights, tokenizer, costs, curve.

A stage's folder is written under a temporary name and renamed when it is complete, so that a folder which is there
is whole, whatever was killed in between.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from workbench.atomic import new_folder
from workbench.errors import UserError

WEIGHTS, TOKENIZER, SUMMARY, CURVE = "weights.safetensors", "tokenizer.json", "stage.json", "curve.jsonl"


class ArtifactError(UserError):
    """A kept stage that cannot be read."""


@dataclass(frozen=True)
class Artifact:
    """What a stage left. `tokenizer_file` is None when only the encoder was trained."""

    folder: Path
    weights: dict[str, Tensor]
    tokenizer_file: Path | None
    summary: dict[str, Any]
    curve: list[dict[str, Any]]


class ArtifactStore:
    """A folder with one folder a stage."""

    def __init__(self, folder: Path):
        self.folder = folder

    def has(self, key: str) -> bool:
        """Whether that stage was done."""
        return (self.folder / key / SUMMARY).is_file()

    def partial(self, key: str) -> Path:
        """Where a stage that is not done yet keeps its checkpoints; the folder goes when the stage is kept."""
        return self.folder / f"{key}.partial"

    def write(
        self,
        key: str,
        weights: dict[str, Tensor],
        tokenizer: str | None,
        summary: dict[str, Any],
        curve: Sequence[dict[str, Any]],
        kept: Mapping[int, dict[str, Tensor]] | None = None,
    ) -> None:
        """Keep a stage; all of it or nothing. `kept` are weights of other steps, as far as they changed in the phase:
        `step-<number>.safetensors`."""
        with new_folder(self.folder / key) as folder:
            # Copies, because safetensors takes no two names for one tensor, and a decoder may tie its head.
            copies = {name: each.detach().cpu().contiguous().clone() for name, each in weights.items()}
            _save(copies, folder / WEIGHTS)
            for step, changed in (kept or {}).items():
                _save(changed, folder / f"step-{step:08d}.safetensors")
            if tokenizer is not None:
                (folder / TOKENIZER).write_text(tokenizer, encoding="utf-8")
            (folder / CURVE).write_text("".join(json.dumps(step) + "\n" for step in curve), encoding="utf-8")
            (folder / SUMMARY).write_text(json.dumps(summary, indent=1), encoding="utf-8")
        shutil.rmtree(self.partial(key), ignore_errors=True)

    def read(self, key: str) -> Artifact:
        """What the stage of that key left; `ArtifactError` when it is damaged."""
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        folder = self.folder / key
        tokenizer = folder / TOKENIZER
        try:
            return Artifact(
                folder=folder,
                weights=load_file(folder / WEIGHTS),
                tokenizer_file=tokenizer if tokenizer.is_file() else None,
                summary=json.loads((folder / SUMMARY).read_text(encoding="utf-8")),
                curve=[json.loads(line) for line in (folder / CURVE).read_text(encoding="utf-8").splitlines()],
            )
        except (OSError, ValueError, SafetensorError) as error:
            raise ArtifactError(
                f"the kept stage {folder} is damaged: {error}. Delete the folder and run again"
            ) from error


def _save(weights: dict[str, Tensor], file: Path) -> None:
    """Write a safetensors file. The library tells what the system refused only in its message."""
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    try:
        save_file(weights, file)
    except SafetensorError as error:
        number = re.search(r"os error (\d+)", str(error))
        raise OSError(int(number[1]) if number else 0, str(error)) from error
