"""Who makes a stage: one small file a stage that names the run, and a token that the run's worker has to show.

A run claims a stage before it gives it to a worker, and a claim that is not renewed is taken over by another run. The
worker of a claim that was taken over may live on, on a machine that nobody reaches: it looks at the token before each
snapshot and before it publishes, and ends when it finds another one, or none.
"""

from __future__ import annotations

import dataclasses
import json
import platform
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Protocol

import psutil

from workbench.errors import UserError
from workbench.storage.atomic import storage_errors, temporary_sibling
from workbench.storage.locks import is_held
from workbench.storage.places import is_there

CLAIMS = ".claims"  # in the folder of a store
OF_RUN = ".run-"  # there: the beginning of the name of the file that a run renews and holds locked while it lives
RENEWED = 10.0  # seconds between two renewals
STALE = 60.0  # seconds without a renewal, by the clock of the file system, after which nobody is there any more


class ClaimLost(UserError):
    """The stage was given to another worker, or another run has taken it over: what this one made is not kept."""

    transient = True


@dataclass(frozen=True)
class Holder:
    """A run, as its own file and its claims name it; a claim has a `token` as well. `lock` is device and number of the
    run's own file where that is locked while the run lives, and None where the file system has no locks; it lies in
    `folder`, of that `folder_id`."""

    host: str
    boot: str
    pid: int
    run: str
    token: str = ""
    lock: tuple[int, int] | None = None
    folder: str = ""
    folder_id: tuple[int, int] | None = None

    def content(self) -> bytes:
        """What stands in the file."""
        return json.dumps(dataclasses.asdict(self)).encode()

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}"


class Claims(Protocol):
    """What a run has claimed, and how it claims more."""

    def take(self, key: str) -> str | None:
        """Claim a stage: returns the token that its worker has to show, another one each time. None when another run is
        at it, or may be."""
        ...

    def release(self, key: str) -> bool:
        """The stage has ended, however it did. Returns whether the claim was still this run's."""
        ...

    def holder(self, key: str) -> str:
        """Who is at a stage, in words; empty where nobody is."""
        ...


def holder_of(content: bytes | None) -> Holder | None:
    """Who the content of a file names; None where there is none, it is not written yet, or damaged."""
    try:
        found = Holder(**json.loads(content or b""))
        return dataclasses.replace(found, lock=_pair(found.lock), folder_id=_pair(found.folder_id))
    except (ValueError, TypeError, IndexError, AttributeError, RecursionError):
        return None


def check_claim(store: Path, key: str, token: str) -> None:
    """`ClaimLost` unless the claim of a stage has this token still; `StorageError` where that cannot be read."""
    file = store / CLAIMS / key
    with storage_errors(file):
        check_holder(holder_of(content_of(file)), token, file)


def check_holder(holder: Holder | None, token: str, place: object) -> None:
    """`ClaimLost` unless who holds the claim in that place has this token."""
    if holder is None:
        raise ClaimLost(
            f"the claim {place} of this worker is gone: its run has ended, or given the stage to another one"
        )
    if holder.token != token:
        raise ClaimLost(f"the stage was given to another worker meanwhile, by {holder}")


def content_of(file: Path) -> bytes | None:
    """What stands in a file; None where there is none."""
    try:
        return file.read_bytes()
    except FileNotFoundError:
        return None


def is_gone(claims: Path, holder: Holder) -> bool:
    """Whether a run has ended for certain: it ran on this machine since it was started, and nobody holds the lock that
    it held as long as it lived, or its file is not in its folder any more. False says nothing."""
    if holder.boot != boot_id() or holder.lock is None:
        return False
    file = claims / f"{OF_RUN}{holder.run}"
    if is_there(file):
        return is_held(file, holder.lock) is False
    return is_there(claims) and id_of(claims) == holder.folder_id


def id_of(folder: Path) -> tuple[int, int]:
    """What tells a folder from one of the same name that another container, or mount, has."""
    status = folder.stat()
    return status.st_dev, status.st_ino


def seconds_since(file: Path) -> float:
    """How long ago a file was renewed. Both times are the file system's own: machines that share it need no clocks that
    agree. `FileNotFoundError` where it is gone."""
    probe = temporary_sibling(file)
    try:
        probe.write_bytes(b"now")
        return probe.stat().st_mtime - file.stat().st_mtime
    finally:
        probe.unlink(missing_ok=True)


@cache
def boot_id() -> str:
    """What tells this machine, since it was started, from every other one."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        return f"{platform.node()}-{uuid.getnode():x}-{psutil.boot_time():.0f}"


def _pair(written: Sequence[int] | None) -> tuple[int, int] | None:
    return None if written is None else (written[0], written[1])
