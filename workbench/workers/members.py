"""Workers on other machines as the run knows them: where they can be, what they take, and who has called."""

from __future__ import annotations

import os
import secrets
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from workbench.contracts.launcher import Job
from workbench.workers.line import Line


@dataclass(frozen=True)
class Place:
    """Where an engine can start workers: a machine, or a queue that leads to machines.

    `workers`: how many there may be at once. `memory`: the bytes they share there, None where that is not known; with
    `apart`, what each of them has to itself.
    """

    name: str
    workers: int
    memory: int | None = None
    apart: bool = False


@dataclass(frozen=True)
class Needs:
    """What a worker takes of its place: threads it computes with, bytes of main memory where the user says so, GPUs."""

    threads: int = 1
    memory: int | None = None
    gpus: int = 0


@dataclass
class Member:
    """A worker that was asked for: by the engine's own handle, and the line once it has called."""

    name: str
    place: Place
    handle: Any
    line: Line | None = None
    host: str = ""
    ready: bool = False
    job: Job | None = None
    idle_since: float = field(default_factory=time.monotonic)

    @property
    def idle(self) -> bool:
        """Whether it may be given a job."""
        return self.ready and self.job is None

    @property
    def node(self) -> str:
        """The name of the node it is, or is on."""
        return f"{self.place.name} {self.name}" if self.place.apart else self.place.name


def key_file(folder: Path, key: bytes) -> Path:
    """The key, where all workers of the run see it and other users do not."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{secrets.token_hex(8)}.key"
    with os.fdopen(os.open(file, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w", encoding="ascii") as opened:
        opened.write(key.hex())
    return file.absolute()
