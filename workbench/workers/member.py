"""A worker on another machine: calls the run back, shows that it sees and has the same as the run, and does its jobs.

python -m workbench.workers.member ADDRESS PORT FILE NAME

FILE holds the key of the run, which is never on a command line; NAME tells the run which worker this is. It ends when
the line is cut; in order, with last snapshots kept, by any signal that clusters end jobs with, and when what started it
is gone.
"""

from __future__ import annotations

import ctypes
import os
import platform
import signal
import socket
import sys
import threading
from contextlib import suppress
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from workbench.contracts.launcher import Crew, Printed
from workbench.errors import UserError, words_of
from workbench.workers.line import Line, call, keep_alive
from workbench.workers.messages import Beat, End, Introduction, Ready, Unfit

WARNINGS = ("SIGUSR1", "SIGUSR2")  # what clusters are told to send some time before they end a job
LONGEST_LINE = 65536  # bytes; a longer one is told in pieces


def main(address: str, port: str, file: str, name: str) -> None:
    """A worker's life."""
    _end_with_parent()
    key = bytes.fromhex(Path(file).read_text(encoding="ascii"))
    line = call(address, int(port), key)
    line.send(Introduction(name, socket.gethostname(), os.getpid()))
    keep_alive(lambda: [line])
    try:
        welcome = _next(line)
        reasons, device = _looked_at(welcome.crew)
    except (EOFError, ConnectionError):
        raise
    except Exception as error:  # whatever it is, such as a module that is not here, the run is told
        reasons, device, welcome = (f"cannot begin: {words_of(error)}",), "", None
    if reasons or welcome is None:
        line.send(Unfit(tuple(reasons)))
        return
    from workbench.workers.worker import serve

    for each in WARNINGS:
        signal.signal(getattr(signal, each), lambda *_: os.kill(os.getpid(), signal.SIGTERM))
    output, printed = Pipe(duplex=False)
    inbox = _Inbox(line)
    threading.Thread(target=_tell_printed, args=(output, inbox), daemon=True).start()
    line.send(Ready())
    serve(inbox, welcome.crew, device, welcome.threads, printed)  # pyright: ignore[reportArgumentType]


class _Inbox:
    """The line as `serve` sees a connection: jobs come in, and news goes out."""

    def __init__(self, line: Line):
        self.send = line.send
        self.key = ""  # of the last job that came
        self._line = line

    def recv(self) -> Any:
        """The next job."""
        while True:
            message = _next(self._line)
            if not isinstance(message, End):
                self.key = message.key
                return message
            os.kill(os.getpid(), signal.SIGTERM)


def _next(line: Line) -> Any:
    while isinstance(message := line.recv(), Beat):
        pass
    return message


def _looked_at(crew: Crew) -> tuple[tuple[str, ...], str]:
    """Why nothing may be done here, and the device."""
    from workbench.devices.device import find_device

    reasons = tuple(crew.unlike())
    if reasons:
        return reasons, ""
    try:
        return (), find_device(crew.device)
    except UserError as error:
        return (words_of(error),), ""


def _tell_printed(output: Connection, inbox: _Inbox) -> None:
    """What plugins print is shown where the run is."""
    held = b""
    while read := os.read(output.fileno(), LONGEST_LINE):
        lines, newline, held = (held + read).rpartition(b"\n")
        if len(held) > LONGEST_LINE:
            lines, newline, held = lines + newline + held, b"", b""
        if lines or newline:
            with suppress(OSError):  # who receives there ends this process
                inbox.send(Printed(inbox.key, (lines + newline).decode(errors="replace")))


def _end_with_parent() -> None:
    """Be asked to end when the process that started this one is gone, as with a job of a cluster."""
    if platform.system() != "Linux":
        return
    parent = os.getppid()
    set_death_signal = 1  # PR_SET_PDEATHSIG, https://man7.org/linux/man-pages/man2/PR_SET_PDEATHSIG.2const.html
    ctypes.CDLL(None).prctl(set_death_signal, signal.SIGTERM)
    if os.getppid() != parent:
        sys.exit("what started this worker is gone")


if __name__ == "__main__":
    with suppress(EOFError, ConnectionError):  # the run has hung up before there was anything to do
        main(*sys.argv[1:])
