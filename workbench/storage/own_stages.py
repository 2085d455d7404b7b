"""Which folders among kept stages a run has made: they alone may be removed, whatever else lies there.

A stage has the name of its key, a summary that fits its own checksum, and no file that the summary does not name; a
stage that is not done yet has the same name, and nothing but snapshots. A link is nobody's: what it leads to lies
elsewhere.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from workbench.storage.artifacts import PARTIAL, ArtifactStore
from workbench.storage.atomic import is_temporary
from workbench.storage.locks import LOCKS
from workbench.storage.run_notes import RUNS
from workbench.storage.stage_summary import FILES, SUMMARY

KEY = re.compile(r"[0-9a-f]{16}")
SNAPSHOT = re.compile(r"\d{8,}-[0-9a-f]{16}\.safetensors")


def own_stages(store: ArtifactStore) -> dict[str, list[Path]]:
    """The folders that runs have made, by the key of their stage: what it left, and its snapshots."""
    found: dict[str, list[Path]] = {}
    for folder in _folders(store):
        if _is_own(store, folder):
            found.setdefault(folder.name.removesuffix(PARTIAL), []).append(folder)
    return found


def other_folders(store: ArtifactStore) -> list[Path]:
    """The folders that are left alone: no run made them, or they are damaged or were added to since."""
    return [folder for folder in _folders(store) if not _is_own(store, folder)]


def is_store(store: ArtifactStore) -> bool:
    """Whether runs have kept stages there: one of them left its mark, or a stage."""
    return (store.folder / LOCKS / RUNS).is_file() or bool(own_stages(store))


def size_of(folder: Path) -> int:
    """The bytes of all files in a folder."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def _folders(store: ArtifactStore) -> Iterator[Path]:
    yield from sorted(folder for folder in store.folder.glob("[!.]*") if folder.is_dir())


def _is_own(store: ArtifactStore, folder: Path) -> bool:
    if folder.is_symlink() or not KEY.fullmatch(folder.name.removesuffix(PARTIAL)):
        return False
    there = [each for each in folder.rglob("*") if not is_temporary(each)]
    if any(each.is_symlink() for each in there):
        return False
    if folder.name.endswith(PARTIAL):
        return all(SNAPSHOT.fullmatch(each.name) and each.parent == folder for each in there)
    summary = store.summary(folder.name)
    if summary is None:
        return False
    names = {each.relative_to(folder).as_posix() for each in there if not each.is_dir()}
    return names <= {SUMMARY, *summary.get(FILES, {})}
