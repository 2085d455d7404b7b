"""What runs tell each other beside the stages they share: that one is going on, and which stages it may still need."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from workbench.storage.artifacts import PARTIAL
from workbench.storage.atomic import is_temporary, remove, storage_errors, write_text
from workbench.storage.claims import CLAIMS
from workbench.storage.locks import LOCKS, locked, remove_unheld, shared_lock
from workbench.storage.places import regular
from workbench.storage.result_files import ResultsError
from workbench.storage.run_claims import RunClaims, any_alive, remove_dead_claims

RUNS, NEEDED = "runs", ".needed"
LEFT_BEHIND = (
    *("*/.*.tmp", "*/trials/.*.tmp", "*/trials/*/.*.tmp"),
    *(f"*/{NEEDED}/.*.tmp", f"*/*{PARTIAL}/.*.tmp", f"*/{CLAIMS}/.*.tmp"),
)
"""Below the folder of results: what is being written has a name that `temporary_sibling` gave."""


class RunNotes:
    """The notes in the folder of an `ArtifactStore`."""

    def __init__(self, folder: Path):
        self.folder = folder

    @contextmanager
    def in_use(self) -> Iterator[RunClaims]:
        """Tell others that a run is going on, by its claims of stages. The first to come removes what killed runs left
        half written."""
        with RunClaims(self.folder) as claims, shared_lock(self.folder / LOCKS / RUNS, lambda: self._begin(claims)):
            yield claims

    @contextmanager
    def unused(self) -> Iterator[bool]:
        """Keep runs away, those of this machine at least; yields False when there is one on any."""
        with locked(self.folder / LOCKS / RUNS) as alone:
            yield alone and not any_alive(self.folder / CLAIMS)

    def write_needed(self, run: str, keys: Collection[str]) -> None:
        """Note the stages that the run of this name may still ask for, so that `workbench clean` leaves them."""
        file = self.folder / NEEDED / f"{run}.json"
        if keys:
            with storage_errors(file):
                file.parent.mkdir(parents=True, exist_ok=True)
            write_text(file, json.dumps(sorted(keys)))
        else:
            file.unlink(missing_ok=True)

    def needed(self) -> set[str]:
        """The stages of all runs that are not finished; `ResultsError` where a note of them is damaged."""
        files = sorted((self.folder / NEEDED).glob("*.json"))
        return {key for file in files for key in _read_needed(file)}

    def forget_needed(self) -> None:
        """No run is to be gone on with."""
        for file in (self.folder / NEEDED).glob("*.json"):
            remove(file)

    def remove_locks(self) -> None:
        """Remove the files of locks that nobody holds, but that of `unused`, which has to be held, and dead claims."""
        remove_dead_claims(self.folder / CLAIMS)
        for file in (self.folder / LOCKS).glob("*"):
            if file.name != RUNS and file.is_file() and not file.is_symlink():
                remove_unheld(file)

    def sweep(self) -> None:
        """Remove what was being written when its process was killed, records as well. Nobody else may be writing."""
        for pattern in LEFT_BEHIND:
            for path in self.folder.parent.glob(pattern):
                if is_temporary(path) and not self._lies_elsewhere(path):
                    remove(path)

    def _begin(self, claims: RunClaims) -> None:
        """No other run holds the lock; on a file system without locks, or on another machine, there may be one."""
        if not claims.others():
            self.sweep()
            remove_dead_claims(self.folder / CLAIMS)

    def _lies_elsewhere(self, path: Path) -> bool:
        """Whether a link leads to it, other than one that somebody has put in place of the whole folder."""
        above = path.relative_to(self.folder.parent).parents
        folders = {self.folder.parent / each for each in above} - {self.folder.parent, self.folder}
        return any(folder.is_symlink() for folder in (path, *folders))


def _read_needed(file: Path) -> list[str]:
    try:
        keys = json.loads(regular(file).read_text(encoding="utf-8"))
        if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys):
            raise ValueError("it holds no list of stages")
    except (OSError, ValueError, RecursionError) as error:
        raise ResultsError(
            f"{file} is damaged ({error}): it says which stages an unfinished run still needs, so nothing was removed."
            f" Run the experiment '{file.stem.rpartition('-')[0]}' again, which writes it anew, or delete it to have"
            " what that run left removed too"
        ) from error
    return keys
