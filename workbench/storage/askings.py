"""How often the test split was asked, about which trials, by which versions of the experiment file.

Every look at a test split that is followed by another choice makes its scores a little too good. So the results folder
keeps a line for each evaluation there that was begun, and nothing takes one away. Asking the same again with the same
weights tells nobody anything new: a run counts as one asking when it asks about a trial, made of what it is made of
(the key of its evaluation says of what), that none before it asked about. To go on with a run that was interrupted is
no second asking, as far as the first one got. A line has a checksum of its own, so that one that was edited is noticed.
"""

from __future__ import annotations

import json
import os
import time
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from workbench.storage.atomic import storage_errors
from workbench.storage.checksums import SEAL, is_sealed, sealed
from workbench.storage.hashing import short_hash
from workbench.storage.places import regular
from workbench.storage.result_files import TEST_LOG, ResultsError
from workbench.storage.splits import is_for_choosing


@dataclass(frozen=True)
class Asked:
    """One evaluation on a test split: `when` it began, in which `run`, by which `version` (hash) of the experiment
    file; `key` is that of the evaluation."""

    when: str
    run: str
    version: str
    split: str
    trial: str
    key: str


@dataclass(frozen=True)
class Askings:
    """How many runs asked something new, and by how many versions of the experiment file they were. `unnamed` are
    results on a test split that the log does not name: somebody took their lines away."""

    times: int
    versions: int
    unnamed: int = 0

    def __str__(self) -> str:
        if not self.times:
            return "never asked"
        times = "once" if self.times == 1 else f"{self.times} times"
        told = f"asked {times} by {self.versions} version{'s' if self.versions > 1 else ''} of the file"
        lost = f" or more (lines are missing in {TEST_LOG}: it does not name {self.unnamed} of the results)"
        return told + (lost if self.unnamed else "")


class AskedLog:
    """Writes down what one run asks the test split, in the results `folder`; `text` is the experiment file."""

    def __init__(self, folder: Path, text: str):
        self.file = folder / TEST_LOG
        self.version = short_hash(text)
        self.run = uuid.uuid4().hex[:12]

    def note(self, split: str, trial: str, key: str) -> None:
        """Note an evaluation that begins, unless its split is there to choose on. `StorageError` when that cannot be
        written: what is not on record is not asked."""
        if is_for_choosing(split):
            return
        asked = Asked(time.strftime("%Y-%m-%dT%H:%M:%S%z"), self.run, self.version, split, trial, key)
        with storage_errors(self.file):
            self.file.parent.mkdir(parents=True, exist_ok=True)  # somebody may have removed it while the run went on
            _append(self.file, json.dumps(sealed(asdict(asked))))


def read_asked(folder: Path) -> list[Asked]:
    """Every evaluation on a test split that was noted, in order; none where there is no log, as versions before this
    kept none. `ResultsError` for a line that is damaged, but one that a killed run left half written at an end."""
    file = folder / TEST_LOG
    if not file.exists():
        return []
    with storage_errors(file, ResultsError):
        lines = regular(file).read_text(encoding="utf-8", errors="replace").split("\n")
    found = []
    for number, line in enumerate(lines, start=1):
        try:
            found += [_asked(line)] if line else []
        except (ValueError, TypeError, AttributeError, RecursionError) as error:
            if line.startswith("{") and not line.endswith("}"):
                continue
            raise ResultsError(
                f"{file} is damaged in line {number}: {error}. Put back what a run wrote there, or remove the line"
            ) from error
    return found


def askings_of(folder: Path, results: Iterable[tuple[str, str]] = ()) -> Askings:
    """How often the test split was asked by the runs of a results folder; `results` are the trials that have one there,
    each with the key of its evaluation."""
    log = read_asked(folder)
    named = {(each.trial, each.key) for each in log}
    return replace(count_askings(log), unnamed=sum(each not in named for each in results))


def count_askings(log: Sequence[Asked]) -> Askings:
    """Of the evaluations that were noted, what is new."""
    first: dict[tuple[str, str], Asked] = {}
    for each in log:
        first.setdefault((each.trial, each.key), each)
    new = first.values()
    return Askings(len({each.run for each in new}), len({each.version for each in new}))


def _asked(line: str) -> Asked:
    content = json.loads(line)
    if is_sealed(content) is False:
        raise ValueError("it is not what was written, its checksum differs")
    content.pop(SEAL, None)  # lines of earlier versions have none
    if not all(isinstance(each, str) for each in content.values()):
        raise ValueError("it holds something else than texts")
    return Asked(**content)


def _append(file: Path, line: str) -> None:
    """Add a line in one write, so that lines of several runs do not mix; behind half a line, begin a new one."""
    handle = os.open(file, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o666)
    try:
        end = os.fstat(handle).st_size
        begin = b"\n" if end > 0 and os.pread(handle, 1, end - 1) != b"\n" else b""
        os.write(handle, begin + line.encode() + b"\n")
        os.fsync(handle)
    finally:
        os.close(handle)
