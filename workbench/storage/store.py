"""Where kept stages lie, as all runs see it: a folder, or what lies elsewhere with copies in a folder."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Protocol

from workbench.storage.atomic import remove_at_once
from workbench.storage.claims import Claims, check_claim
from workbench.storage.places import regular
from workbench.storage.run_claims import RunClaims
from workbench.storage.stage_summary import DAMAGED, SUMMARY, has_sizes, parse_summary


class Store(Protocol):
    """What an `ArtifactStore` keeps stages by. All that it raises of its own is a `StorageError`."""

    folder: Path
    """On this machine: where a stage is written, keeps its snapshots, and is read from, below its key."""

    def has(self, key: str) -> bool:
        """Whether the stage is there, for all runs."""
        ...

    def summary(self, key: str) -> bytes:
        """What its summary holds; `FileNotFoundError` where it is not there."""
        ...

    def fetch(self, key: str) -> None:
        """Bring the stage into the folder, unless it lies there; `OSError` or `ValueError` where it is not whole."""
        ...

    def publish(self, key: str, check: Callable[[], None]) -> None:
        """Let all runs see the stage that lies in the folder, unless `check` raises, which is called last."""
        ...

    def remove(self, key: str) -> None:
        """No run sees the stage any more, at once, whatever is killed in between."""
        ...

    def names(self) -> list[str]:
        """The keys of all stages that runs see."""
        ...

    def claims(self, here: RunClaims) -> AbstractContextManager[Claims]:
        """The claims of a run among all that use the store; `here` are those among the runs of the folder."""
        ...

    def check_claim(self, key: str, token: str) -> None:
        """`ClaimLost` unless the claim of a stage has this token still."""
        ...


class FolderStore:
    """A folder of this machine, or of a file system that machines share: what is there under its name all runs see."""

    def __init__(self, folder: Path):
        self.folder = folder

    def has(self, key: str) -> bool:
        """Its summary is whole, and its files have the size they had when they were written."""
        try:
            return has_sizes(self.folder / key, parse_summary(self.summary(key), key))
        except DAMAGED:
            return False

    def summary(self, key: str) -> bytes:
        """As it lies there."""
        return regular(self.folder / key / SUMMARY).read_bytes()

    def fetch(self, key: str) -> None:
        """It lies there."""

    def publish(self, key: str, check: Callable[[], None]) -> None:
        """It is seen as soon as it has its name."""

    def remove(self, key: str) -> None:
        """By a rename."""
        remove_at_once(self.folder / key)

    def names(self) -> list[str]:
        """The folders with a summary."""
        return sorted(file.parent.name for file in self.folder.glob(f"[!.]*/{SUMMARY}"))

    def claims(self, here: RunClaims) -> AbstractContextManager[Claims]:
        """Those of the folder."""
        return nullcontext(here)

    def check_claim(self, key: str, token: str) -> None:
        """The file in the folder has the token."""
        check_claim(self.folder, key, token)
