"""Whether what a trial left is still what was written, by the checksums in its record; thousands are looked at before
a run begins.

Every file is read and hashed. Where that is much to read, the folder of the trials keeps in mind what was found whole,
and a file that has since kept its size, its times and its number on the disk is not read again. That is safe against an
edit that keeps the length, since it changes the times: of the two, the system alone sets the time of the last change to
a file's entry, even where somebody sets the other one back. What changed a moment ago is not kept in mind: a second
edit within the same tick of the clock would leave no trace.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from workbench.storage.atomic import StorageError, write_text
from workbench.storage.checksums import is_sealed, measured, sealed
from workbench.storage.hashing import short_hash
from workbench.storage.places import regular
from workbench.storage.record_outline import Outline, read_outline
from workbench.storage.records import DONE, FILES, Record, read_record, record_from, trial_folders
from workbench.storage.result_files import CURVE, PREDICTIONS, RECORD, ResultsError, read_json, read_lines

ALTERED = "is not what was written: its checksum differs"
CHECKED = ".checked.json"  # in the folder of the trials
WORTH_IT = 2**24  # bytes that were read: less is read again as quickly as it is looked up
SETTLED = 2.0  # seconds since a file changed; no clock of a file system is coarser


@dataclass(frozen=True)
class FoundTrials:
    """The records of trials that are as they were written with all that lies beside them; of the others, by id, which
    file is `damaged`, and the records that are whole themselves: what those trials took is known."""

    whole: list[Record] = field(default_factory=list)
    damaged: dict[str, str] = field(default_factory=dict)
    answers_damaged: list[Record] = field(default_factory=list)


def damage_of(folder: Path) -> str:
    """Which file of a trial's folder is not what was written, in words; nothing where all are, or where an earlier
    version kept no checksums."""
    try:
        content = read_json(folder / RECORD)
        record = record_from(folder / RECORD, content)
    except ResultsError:
        return f"{RECORD} is damaged"
    return _damage(str(folder), content, record.provenance.get(FILES, {}))


def read_whole(results_folder: Path) -> FoundTrials:
    """The trials of a results folder, in the order of the experiment when it is known."""
    found = FoundTrials()
    for folder in trial_folders(results_folder):
        damage = damage_of(folder)
        record = None if damage.startswith(RECORD) else read_record(folder)
        damage = damage or (_unreadable(folder, record) if record else "")
        if damage:
            found.damaged[folder.name] = damage
        if record:
            (found.answers_damaged if damage else found.whole).append(record)
    return found


def holds_result_of(folder: Path, key: str) -> bool:
    """Whether the record there is a good one, made by the stage of that key, and all is as it was written."""
    record = read_outline(folder)
    return record is not None and (record.status, record.provenance.key) == (DONE, key) and not damage_of(folder)


class CheckedTrials:
    """The trials of an experiment in their folder, as they are checked one after the other."""

    def __init__(self, trials: Path, worth_it: int = WORTH_IT):
        self.trials = trials
        self.worth_it = worth_it
        self._began = time.time()
        self._known = _read(trials / CHECKED)
        self._new: dict[str, str] = {}
        self._bytes = 0

    def damage(self, id_: str, outline: Outline | None) -> str:
        """Which file of a trial is not what was written, in words; nothing where all are, or nothing is there.
        `outline` is what `read_outline` made of its record."""
        folder = f"{self.trials}/{id_}"
        if outline is None:
            return damage_of(Path(folder)) if os.path.exists(f"{folder}/{RECORD}") else ""  # noqa: PTH110
        found = _stamp(folder, outline)
        if found is None:  # a file is missing, or has another size
            return damage_of(Path(folder))
        stamp, size, changed = found
        if self._known.get(id_) == stamp:
            return ""
        try:
            damage = _damage(folder, read_json(Path(folder, RECORD)), outline.provenance.files)
        except ResultsError:  # it has been changed just now
            damage = f"{RECORD} is damaged"
        self._bytes += size
        if not damage and changed < self._began - SETTLED:
            self._new[id_] = stamp
        return damage

    def remember(self) -> None:
        """Keep in mind what was found whole, where that is worth it; where nothing can be written, it is read again."""
        if self._new and self._bytes >= self.worth_it:
            with suppress(StorageError):
                write_text(self.trials / CHECKED, json.dumps(sealed({**self._known, **self._new})) + "\n")


def _unreadable(folder: Path, record: Record) -> str:
    """Which file beside a record cannot be read, in words, of those that an earlier version kept no checksum of."""
    for name in {PREDICTIONS, CURVE} - record.provenance.get(FILES, {}).keys():
        try:
            read_lines(folder / name)
        except ResultsError:
            return f"{name} is damaged"
    return ""


def _damage(folder: str, content: Mapping[str, Any], files: Mapping[str, Sequence[Any]]) -> str:
    """As `damage_of` says it, of the content of a record and what it says of the `files` beside it."""
    if is_sealed(content) is False:
        return f"{RECORD} {ALTERED}"
    if content["id"] != os.path.basename(folder):  # noqa: PTH119 (a Path takes thrice as long)
        return f"{RECORD} is that of the trial {content['id']}"
    for name, written in files.items():
        try:
            found = measured(Path(folder, name))
        except OSError:
            return f"{name} is missing"
        if found != list(written):
            return f"{name} {ALTERED}"
    return ""


def _stamp(folder: str, outline: Outline) -> tuple[str, int, float] | None:
    """What tells the files of a trial as they are now from any others, their bytes, and when the last one changed; None
    where their sizes alone say that they are others."""
    written = outline.provenance.files
    stamps, total, changed = [], 0, 0.0
    for name in (RECORD, *written):
        try:
            status = os.stat(f"{folder}/{name}")  # noqa: PTH116 (a Path takes thrice as long)
        except OSError:
            return None
        if name in written and status.st_size != written[name][0]:
            return None
        stamps.append((status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino))
        total += status.st_size
        changed = max(changed, status.st_ctime)
    return short_hash(repr(stamps)), total, changed


def _read(file: Path) -> dict[str, str]:
    """What is kept in mind; nothing where the file is missing or damaged."""
    try:
        content = json.loads(regular(file).read_bytes())
        return content if is_sealed(content) else {}
    except (OSError, ValueError, TypeError, AttributeError, RecursionError):
        return {}
