"""What stages made, kept by the key of the stage: weights, tokenizer, costs and curve, or features.

A stage's folder is written under a temporary name and renamed when it is complete, so that a folder which is there
is whole, whatever was killed in between. Its summary holds the key, and the size and the checksum of every other file:
what the disk damaged, or somebody put in the place of another stage, is noticed when it is read, and made again. Where
all runs see it is a `Store`'s affair.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from workbench.errors import UserError
from workbench.storage.atomic import always, new_folder, remove_at_once
from workbench.storage.older_records import curve_of
from workbench.storage.stage_summary import DAMAGED, FILES, checksum_of_file, parse_summary, write_summary
from workbench.storage.store import FolderStore, Store

WEIGHTS, TOKENIZER, CURVE = "weights.safetensors", "tokenizer.json", "curve.jsonl"
FEATURES = "features.safetensors"
STAGE_PEAK, STAGE_SECONDS = "stage_peak_bytes", "stage_seconds"  # in the summary: what it took, for later estimates
PARTIAL = ".partial"

ARTIFACTS = "artifacts"  # below the folder of results: what all experiments share


class ArtifactError(UserError):
    """A kept stage that cannot be read; a run makes it again. `key` is the stage's."""

    def __init__(self, message: str, key: str):
        super().__init__(message)
        self.key = key


@dataclass(frozen=True)
class Artifact:
    """What a training stage left. `tokenizer_file` is None when only the encoder was trained."""

    folder: Path
    weights: dict[str, Tensor]
    tokenizer_file: Path | None
    summary: dict[str, Any]
    curve: list[dict[str, Any]]


class ArtifactStore:
    """A folder with one folder a stage. A `check` that a stage is written with is called when all is on the disk, and
    before it gets its name; what it raises leaves nothing."""

    def __init__(self, place: Path | Store):
        self.store: Store = FolderStore(place) if isinstance(place, Path) else place
        self.folder = self.store.folder
        self._verified: set[tuple] = set()

    def has(self, key: str) -> bool:
        """Whether that stage was done."""
        return self.store.has(key)

    def share(self, key: str, check: Callable[[], None] = always) -> bool:
        """Let all runs see a stage that lies on this machine alone; whether there is one, and it is whole."""
        if not FolderStore(self.folder).has(key):
            return False
        self.store.publish(key, check)
        return True

    def summary(self, key: str) -> dict[str, Any] | None:
        """What a stage says of itself, or None when it is not there or damaged."""
        try:
            return self._summary(key)
        except DAMAGED:
            return None

    def names(self) -> list[str]:
        """The keys of all stages that left something on this machine, whole or not."""
        return sorted({folder.name.removesuffix(PARTIAL) for folder in self.folder.glob("[!.]*") if folder.is_dir()})

    def size(self, key: str) -> int:
        """The bytes a stage takes on this machine."""
        files = (file for name in (key, key + PARTIAL) for file in (self.folder / name).rglob("*"))
        return sum(file.stat().st_size for file in files if file.is_file())

    def partial(self, key: str) -> Path:
        """Where a stage that is not done yet keeps its snapshots; the folder goes when the stage is kept."""
        return self.folder / f"{key}{PARTIAL}"

    def write(
        self,
        key: str,
        weights: dict[str, Tensor],
        tokenizer: str | None,
        summary: dict[str, Any],
        curve: Sequence[dict[str, Any]],
        kept: Mapping[int, dict[str, Tensor]] | None = None,
        check: Callable[[], None] = always,
    ) -> None:
        """Keep a training stage; all of it or nothing. `kept` are weights of other steps, as far as they changed in the
        phase: `step-<number>.safetensors`."""
        with self._new(key, summary, check) as folder:
            # Copies, because safetensors takes no two names for one tensor, and a decoder may tie its head.
            copies = {name: each.detach().cpu().contiguous().clone() for name, each in weights.items()}
            _save(copies, folder / WEIGHTS)
            for step, changed in (kept or {}).items():
                _save(changed, folder / f"step-{step:08d}.safetensors")
            if tokenizer is not None:
                (folder / TOKENIZER).write_text(tokenizer, encoding="utf-8")
            (folder / CURVE).write_text("".join(json.dumps(step) + "\n" for step in curve), encoding="utf-8")
        shutil.rmtree(self.partial(key), ignore_errors=True)

    def write_features(
        self,
        key: str,
        images: Sequence[str],
        tokens: Tensor,
        summary: dict[str, Any],
        check: Callable[[], None] = always,
    ) -> None:
        """Keep the tokens [P,N,Dv] of views, each with its image; all of them or none."""
        with self._new(key, {**summary, "images": list(images)}, check) as folder:
            _save({"tokens": tokens.contiguous()}, folder / FEATURES)

    def read(self, key: str) -> Artifact:
        """What the training stage of that key left; `ArtifactError` when it is damaged."""
        from safetensors.torch import load_file

        folder = self.folder / key
        with self._reading(key):
            summary = self._verify(key)
            tokenizer = folder / TOKENIZER
            return Artifact(
                folder=folder,
                weights=load_file(folder / WEIGHTS),
                tokenizer_file=tokenizer if tokenizer.is_file() else None,
                summary=summary,
                curve=curve_of(map(json.loads, (folder / CURVE).read_text(encoding="utf-8").splitlines())),
            )

    def read_features(self, key: str) -> tuple[dict[str, Any], list[str], Tensor]:
        """Summary, the images of views and these' tokens [P,N,Dv], mapped from the file: only rows that are looked at
        are read."""
        from safetensors.torch import load_file

        with self._reading(key):
            summary = self._verify(key)
            return summary, summary["images"], load_file(self.folder / key / FEATURES)["tokens"]

    def remove(self, key: str) -> int:
        """Remove a stage; returns how many bytes it took. It is gone at once, whatever is killed in between."""
        size = self.size(key)
        self.store.remove(key)
        remove_at_once(self.partial(key))
        return size

    def _summary(self, key: str) -> dict[str, Any]:
        return parse_summary(self.store.summary(key), key)

    @contextmanager
    def _new(self, key: str, summary: dict[str, Any], check: Callable[[], None] = always) -> Iterator[Path]:
        """A folder to fill; what is in it at the end is kept with the summary."""
        with new_folder(self.folder / key, check=check) as folder:
            yield folder
            write_summary(folder, key, summary)
        self.store.publish(key, check)

    def _verify(self, key: str) -> dict[str, Any]:
        """The summary of a stage whose files are as they were written. A file that has not changed since this process
        looked is not read again."""
        self.store.fetch(key)
        summary = self._summary(key)
        for name, (_, checksum) in summary.pop(FILES).items():
            file = self.folder / key / name
            status = file.stat()
            stamp = (file, status.st_ino, status.st_mtime_ns, status.st_ctime_ns, status.st_size, checksum)
            if stamp not in self._verified and checksum_of_file(file) != checksum:
                raise ValueError(f"{name} is not what was written (its checksum differs)")
            self._verified.add(stamp)
        return summary

    @contextmanager
    def _reading(self, key: str) -> Iterator[None]:
        from safetensors import SafetensorError

        try:
            yield
        except (*DAMAGED, SafetensorError) as error:
            raise ArtifactError(f"the kept stage {self.folder / key} is damaged: {error}", key) from error


def _save(weights: dict[str, Tensor], file: Path) -> None:
    """Write a safetensors file. The library tells what the system refused only in its message."""
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    try:
        save_file(weights, file)
    except SafetensorError as error:
        number = re.search(r"os error (\d+)", str(error))
        raise OSError(int(number[1]) if number else 0, str(error)) from error
