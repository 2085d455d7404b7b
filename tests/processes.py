"""`workbench run` as a process of its own, as a terminal would start it."""

from __future__ import annotations

import atexit
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing import util
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path

from tests.small import PLUGINS
from workbench import PRELOAD
from workbench.cli.main import main


@dataclass(frozen=True)
class Command:
    """A command that runs, in a group of processes of its own."""

    process: BaseProcess
    output: list[bytes]
    reader: threading.Thread  # ends when nobody is left who could write

    @property
    def pid(self) -> int:
        assert self.process.pid is not None
        return self.process.pid

    def wait(self, seconds: float = 90.0) -> str:
        """What it said, after its end and that of all its workers, which comes within so many seconds."""
        end = time.monotonic() + seconds
        self.process.join(seconds)
        self.reader.join(max(0.0, end - time.monotonic()))
        assert self.process.exitcode is not None and not self.reader.is_alive(), "it hangs"
        return b"".join(self.output).decode()


def start(folder: Path, *words: str, before: Callable[[], None] | None = None) -> Command:
    """`workbench run` in a group of processes of its own, as a terminal would start it; `before` is called in it.

    It is forked from the server of this process' own workers, and its own server from it: all that two new interpreters
    would need five seconds to load is there. Nothing else is another.
    """
    command = ["workbench", "run", "small.yaml", "--plugins", str(PLUGINS), "--device", "cpu", "--unchecked", *words]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "300"}
    ours, theirs = multiprocessing.Pipe(duplex=False)
    process = forked(_run, theirs, folder, command, environment, before)
    theirs.close()
    atexit.register(process.kill)  # whatever became of the test
    output: list[bytes] = []
    reader = threading.Thread(target=_read, args=(ours, output), daemon=True)
    reader.start()
    return Command(process, output, reader)


def forked(do: Callable[..., object], *arguments: object) -> BaseProcess:
    """A process that calls a function of a module; torch and the plugins are loaded in it, and nothing was computed."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([PRELOAD])
    process = context.Process(target=do, args=arguments)
    process.start()
    return process


def ended(command: Command, code: int) -> str:
    """What a command said; nothing of it may be a traceback."""
    said = command.wait()
    assert command.process.exitcode == code, said
    assert "Traceback" not in said, said
    return said


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def _read(pipe: Connection, output: list[bytes]) -> None:
    with pipe:
        while said := os.read(pipe.fileno(), 65536):
            output.append(said)


def _run(
    output: Connection,
    folder: Path,
    command: list[str],
    environment: dict[str, str],
    before: Callable[[], None] | None,
) -> None:
    """The life of the process."""
    os.setsid()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.dup2(output.fileno(), sys.stdout.fileno())
    os.dup2(output.fileno(), sys.stderr.fileno())
    output.close()
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    if before is not None:
        before()
    util.spawnv_passfds = _fork
    sys.argv = command
    main()


def _fork(path: str, arguments: Sequence[str], handles: Sequence[int]) -> int:
    """What `multiprocessing` starts servers with: `python -c code`, with these open files; here without loading anew
    what this process has loaded."""
    sys.stdout.flush()
    sys.stderr.flush()
    process = os.fork()
    if process:
        return process
    try:
        lowest = 3
        for handle in [*sorted(handles), os.sysconf("SC_OPEN_MAX")]:
            os.closerange(lowest, handle)
            lowest = handle + 1
        exec(arguments[arguments.index("-c") + 1], {"__name__": "__main__"})
    finally:
        os._exit(0)
