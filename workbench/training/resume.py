"""Snapshots inside a phase, from which a killed training goes on and ends with the same bits.

One file a snapshot, `<step>-<digest>.safetensors`: the tensors, and in the file's header, as JSON, everything else.
It is written whole or not at all, the one before stays until the next one is whole, and a file whose bytes do not
have the digest in its name is passed by. The folder goes when the phase is done.
"""

from __future__ import annotations

import hashlib
import json
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from workbench.storage.atomic import always, storage_errors, write_bytes
from workbench.workers.failure import preempted

KEPT = 2  # the newest, and the one before it in case that the newest is damaged

State = tuple[dict[str, Tensor], dict[str, Any]]  # of a part of a phase: tensors by name, and plain JSON values

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Snapshot:
    """All that a phase is after `step`: tensors by name, and plain JSON values."""

    step: int
    tensors: dict[str, Tensor]
    values: dict[str, Any]

    @classmethod
    def of(cls, step: int, states: Mapping[str, State]) -> Snapshot:
        """Made of the states of a phase's parts: a tensor is called `<part>.<name>`."""
        tensors = {f"{part}.{name}": each for part, (own, _) in states.items() for name, each in own.items()}
        return cls(step, tensors, {part: values for part, (_, values) in states.items()})

    def part(self, name: str) -> State:
        """The state that a part of the phase gave, such as `optimizer`, under the names it gave."""
        return without_prefix(name, self.tensors), self.values[name]


class Snapshots:
    """The snapshots of one phase in a folder of their own, at least `every` seconds apart, and a last one when the
    process is `asked_to_end`. A `check` is called before each is written; what it raises ends the phase.

    A worker that was given up may live on, and write beside the one that goes on with its phase: what it writes has the
    same bits under the same names, but a file that was there may be gone."""

    def __init__(
        self,
        folder: Path,
        every: float,
        asked_to_end: Callable[[], bool] = lambda: False,
        check: Callable[[], None] = always,
    ):
        self.folder = folder
        self.every = every
        self.asked_to_end = asked_to_end
        self.check = check
        self.notes: list[str] = []  # what a reader of the outcome should know, as that a damaged file was passed by
        self._last = time.monotonic()

    def due(self) -> bool:
        """Whether it is time for the next one."""
        return self.asked_to_end() or time.monotonic() - self._last >= self.every

    def end_if_asked(self) -> None:
        """Called behind a snapshot, from which the phase goes on: `UserError` when the process is to end."""
        if self.asked_to_end():
            raise preempted(f"it was asked to end; {self.in_words()}")

    def write(self, snapshot: Snapshot) -> None:
        """Keep a snapshot; of the older ones, the newest stays."""
        from safetensors.torch import save

        self.check()
        content = save(
            {name: tensor.detach().cpu().contiguous() for name, tensor in snapshot.tensors.items()},
            {"values": json.dumps(snapshot.values)},
        )
        with storage_errors(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
        write_bytes(self.folder / f"{snapshot.step:08d}-{_digest(content)}.safetensors", content)
        for old in self._files()[KEPT:]:
            old.unlink(missing_ok=True)
        self._last = time.monotonic()

    def newest(self) -> Snapshot | None:
        """The newest good snapshot; None when there is none. A damaged one is removed, and told."""
        seen: set[Path] = set()
        while new := [file for file in self._files() if file not in seen]:
            file = new[0]
            seen.add(file)
            try:
                snapshot = _read(file)
            except FileNotFoundError:  # there are newer ones in its place
                continue
            if snapshot is not None:
                return snapshot
            self._note(f"the snapshot {file} is damaged; training goes on from an earlier one, or from the beginning")
            file.unlink(missing_ok=True)
        return None

    def in_words(self) -> str:
        """Where the last good snapshot lies, and of which step it is."""
        files = self._files()
        if not files:
            return "there is no snapshot of an earlier step"
        return f"the last good snapshot is that of step {_step(files[0])}: {files[0]}"

    def _files(self) -> list[Path]:
        """The newest first."""
        return sorted(self.folder.glob("[0-9]*-*.safetensors"), key=_step, reverse=True)

    def _note(self, text: str) -> None:
        log.warning(text)
        self.notes.append(text)


def without_prefix(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors whose names begin with the prefix and a dot, named by what is behind it."""
    found = {name: each for name, each in tensors.items() if name.startswith(f"{prefix}.")}
    return {name.removeprefix(f"{prefix}."): each for name, each in found.items()}


def _step(file: Path) -> int:
    return int(file.name.partition("-")[0])


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]


def _read(file: Path) -> Snapshot | None:
    """The snapshot in a file; None when its bytes are not those that were written."""
    from safetensors.torch import load

    content = file.read_bytes()
    if file.stem.partition("-")[2] != _digest(content):
        return None
    length = int.from_bytes(content[:8], "little")  # a safetensors file begins with its header's length
    values = json.loads(json.loads(content[8 : 8 + length])["__metadata__"]["values"])
    return Snapshot(_step(file), load(content), values)
