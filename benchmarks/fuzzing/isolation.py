"""Cases of commands, each in a process of its own that is forked from one with everything imported.

A case that crashes, hangs or takes all memory ends alone.
"""

from __future__ import annotations

import json
import os
import random
import resource
import shutil
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from workbench.cli.main import main

OUTCOME = "outcome.json"
MOST_MEMORY = 12 * 2**30  # bytes of addresses; torch maps some gigabytes that it does not use
MOST_WRITTEN = 2**30  # bytes of one file
UNKNOWN = -1  # the exit code of a command that was ended


@dataclass(frozen=True)
class Ending:
    """A command, how it ended and what it said on both streams."""

    words: list[str]
    code: int
    seconds: float
    output: str
    errors: str

    @property
    def hung(self) -> bool:
        return self.code == UNKNOWN

    @property
    def broke(self) -> bool:
        """Whether it ended in a traceback, by a signal, or with a code that says nothing."""
        return not self.hung and (self.code not in (0, 1, 2) or "Traceback (most recent" in self.output + self.errors)


@dataclass(frozen=True)
class Prepared:
    """What was changed, the commands that are tried on it, and what is wrong with their endings, in words."""

    change: str
    commands: list[list[str]]
    taken_for_whole: Callable[[list[Ending]], list[str]] = lambda _: []


Maker = Callable[[random.Random, Path], Prepared]
"""Makes a case in an empty folder, which is the current one."""


@dataclass(frozen=True)
class Case:
    """One of a kind of cases: the same seed makes the same."""

    kind: str
    number: int
    seed: int
    make: Maker

    @property
    def name(self) -> str:
        return f"{self.kind.replace(' ', '_')}-{self.number}"


@dataclass(frozen=True)
class Tried:
    """A case that was tried; `failed` is what went wrong with making it."""

    kind: str
    name: str
    change: str = ""
    endings: list[Ending] = field(default_factory=list)
    whole: list[str] = field(default_factory=list)
    failed: str = ""


def try_all(cases: Sequence[Case], folder: Path, at_once: int, seconds: float) -> Iterator[Tried]:
    """Every case in a folder of its own, so many at once; a command may take so many seconds."""
    waiting, running = list(reversed(cases)), {}
    while waiting or running:
        while waiting and len(running) < at_once:
            case = waiting.pop()
            running[_begin(case, folder / case.name, seconds)] = case
        number, _ = os.wait()
        case = running.pop(number, None)
        if case is not None:
            yield _read(case, folder / case.name)


def _begin(case: Case, folder: Path, seconds: float) -> int:
    """The process that makes a case and tries its commands, one after the other."""
    number = os.fork()
    if number:
        return number
    try:
        _try(case, folder, seconds)
    except BaseException:
        _write(folder, Tried(case.kind, case.name, failed=traceback.format_exc()))
    finally:
        os._exit(0)


def _try(case: Case, folder: Path, seconds: float) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    work = folder / "work"
    work.mkdir(parents=True)
    os.chdir(work)
    prepared = case.make(random.Random(f"{case.seed}/{case.kind}/{case.number}"), work)
    endings = [_run(words, folder, seconds) for words in prepared.commands]
    _write(folder, Tried(case.kind, case.name, prepared.change, endings, prepared.taken_for_whole(endings)))


def _write(folder: Path, tried: Tried) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / OUTCOME).write_text(json.dumps(asdict(tried)), encoding="utf-8")


def _read(case: Case, folder: Path) -> Tried:
    try:
        content = json.loads((folder / OUTCOME).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        return Tried(case.kind, case.name, failed=f"the case left nothing: {error}")
    endings = [Ending(**each) for each in content.pop("endings")]
    return Tried(endings=endings, **content)


def _run(words: list[str], folder: Path, seconds: float) -> Ending:
    """One command in a process, and a session, of its own."""
    said = [folder / "stdout", folder / "stderr"]
    started = time.monotonic()
    number = os.fork()
    if not number:
        _become(words, said)
    code = _end_of(number, started + seconds)
    texts = [file.read_text(encoding="utf-8", errors="replace")[:100_000] if file.exists() else "" for file in said]
    return Ending(words, code, time.monotonic() - started, *texts)


def _become(words: list[str], said: Sequence[Path]) -> None:
    """The command itself; never returns."""
    code = 70
    try:
        os.setsid()
        for stream, file in enumerate(said, start=1):
            os.dup2(os.open(file, os.O_CREAT | os.O_WRONLY | os.O_TRUNC), stream)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        for limit, most in ((resource.RLIMIT_AS, MOST_MEMORY), (resource.RLIMIT_FSIZE, MOST_WRITTEN)):
            resource.setrlimit(limit, (most, most))
        sys.argv = ["workbench", *words]
        main()
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else int(bool(ended.code))
    except BaseException:
        traceback.print_exc()
    finally:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        os._exit(code)


def _end_of(number: int, deadline: float) -> int:
    """The exit code, 128 and more for a signal, `UNKNOWN` for a command that is not through in time."""
    while time.monotonic() < deadline:
        found, status = os.waitpid(number, os.WNOHANG)
        if found:
            code = os.waitstatus_to_exitcode(status)
            return code if code >= 0 else 128 - code
        time.sleep(0.02)
    os.killpg(number, signal.SIGKILL)
    os.waitpid(number, 0)
    return UNKNOWN
