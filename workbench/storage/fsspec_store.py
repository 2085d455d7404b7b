"""Kept stages behind a URL, with copies in a folder of this machine.

A stage's files go to `<key>/<hash of its summary>/`, and its summary to `<key>/stage.json`, last: who sees that sees
all of them, and two workers that upload the same stage never mix theirs.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from workbench.storage.atomic import new_folder, remove_at_once
from workbench.storage.claims import Claims, check_claim
from workbench.storage.hashing import short_hash
from workbench.storage.locks import LOCKS, locked_in_turn
from workbench.storage.remote_claims import RemoteClaims, check_remote_claim
from workbench.storage.remote_files import RemoteFiles
from workbench.storage.run_claims import RunClaims
from workbench.storage.stage_summary import DAMAGED, FILES, SUMMARY, checksum_of_file, has_sizes, parse_summary

TRIES = 2  # times a file is fetched whose checksum is another one than it had


class FsspecStore:
    """What lies below a URL; `folder` holds copies, and what is being made."""

    def __init__(self, url: str, folder: Path):
        self.folder = folder
        self.files = RemoteFiles(url)

    def has(self, key: str) -> bool:
        """Its summary is there."""
        return self.files.exists(f"{key}/{SUMMARY}")

    def summary(self, key: str) -> bytes:
        """As it lies there now, whatever there is a copy of."""
        content = self.files.read(f"{key}/{SUMMARY}")
        if content is None:
            raise FileNotFoundError(f"there is none in {self.files.url}")
        return content

    def fetch(self, key: str) -> None:
        """Copy it, unless there is a copy: each file is compared with its checksum before the copy gets its name."""
        content = self.summary(key)
        if self._has_copy(key, content):
            return
        with locked_in_turn(self.folder / LOCKS / f"fetch-{key}"):  # workers of this machine may ask at once
            if not self._has_copy(key, content):
                with new_folder(self.folder / key) as new:
                    for name, (_, checksum) in parse_summary(content, key)[FILES].items():
                        self._fetch(f"{_place(key, content)}/{name}", new / name, checksum)
                    (new / SUMMARY).write_bytes(content)

    def publish(self, key: str, check: Callable[[], None]) -> None:
        """Upload all files, then the summary."""
        folder = self.folder / key
        content = (folder / SUMMARY).read_bytes()
        for name in parse_summary(content, key)[FILES]:
            self.files.put(folder / name, f"{_place(key, content)}/{name}")
        check()
        self.files.write(f"{key}/{SUMMARY}", content)

    def remove(self, key: str) -> None:
        """There and here: the summary first."""
        self.files.remove(f"{key}/{SUMMARY}")
        self.files.remove(key)
        remove_at_once(self.folder / key)

    def names(self) -> list[str]:
        """What has a summary there."""
        return [name for name in self.files.names() if not name.startswith(".") and self.has(name)]

    def claims(self, here: RunClaims) -> AbstractContextManager[Claims]:
        """Among the runs of all machines, beside those of the folder."""
        return RemoteClaims(self.files, here)

    def check_claim(self, key: str, token: str) -> None:
        """Both have the token."""
        check_claim(self.folder, key, token)
        check_remote_claim(self.files, key, token)

    def _has_copy(self, key: str, content: bytes) -> bool:
        folder = self.folder / key
        try:
            return (folder / SUMMARY).read_bytes() == content and has_sizes(folder, parse_summary(content, key))
        except DAMAGED:
            return False

    def _fetch(self, name: str, file: Path, checksum: Any) -> None:
        file.parent.mkdir(parents=True, exist_ok=True)
        for _ in range(TRIES):
            try:
                self.files.get(name, file)
            except FileNotFoundError as error:
                raise ValueError(f"{self.files.url}/{name} is missing") from error
            if checksum_of_file(file) == checksum:
                return
        raise ValueError(f"{self.files.url}/{name} is not what was written (its checksum differs)")


def _place(key: str, summary: bytes) -> str:
    return f"{key}/{short_hash(summary.decode())}"
