"""Which store a folder of results uses: the folder itself, or the URL that a run was given and that it remembers."""

from __future__ import annotations

from pathlib import Path

from workbench.storage.artifacts import ArtifactStore
from workbench.storage.atomic import storage_errors, write_text
from workbench.storage.places import is_file, regular

CHOSEN = ".store"  # in the folder of kept stages: the URL that `--store` gave last


def open_store(folder: Path, url: str | None = None) -> ArtifactStore:
    """The kept stages of a folder of results; with `url` those there, otherwise where the last run kept them.
    `UserError` where what reaches a URL is not installed, `StorageError` where it cannot be reached."""
    url = url or _remembered(folder)
    if not url:
        return ArtifactStore(folder)
    from workbench.storage.fsspec_store import FsspecStore

    store = FsspecStore(url, folder)
    # What cannot be reached is told before anything runs; and threads that a library starts for it are there from then
    # on, or the first stage of a worker would be taken for what started them.
    store.files.exists(CHOSEN)
    return ArtifactStore(store)


def remember_store(folder: Path, url: str) -> None:
    """Let all that is asked of these results from now on find their stages there."""
    open_store(folder, url)
    write_text(folder / CHOSEN, f"{url}\n")


def _remembered(folder: Path) -> str:
    file = folder / CHOSEN
    if not is_file(file):
        return ""
    with storage_errors(file):
        return regular(file).read_text(encoding="utf-8", errors="replace").strip()
