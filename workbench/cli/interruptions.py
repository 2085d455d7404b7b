"""How a command ends that is interrupted: in order, with a word, and with the exit code that shells expect."""

from __future__ import annotations

import functools
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import typer

from workbench.cli.exit_codes import INTERRUPTED, SIGNALLED
from workbench.errors import UserError, words_of
from workbench.workers.ending import RunEnded, raise_when_asked

PATIENCE = 5.0  # seconds in which a command that is interrupted ends without being disturbed
AGAIN = 0.05  # seconds until an interruption that was lost comes again


def in_order(command: Callable[..., None]) -> Callable[..., None]:
    """The command, which says why where it is interrupted, and where a plugin means to end the process: `sys.exit(0)`
    would else look like success."""

    @functools.wraps(command)
    def told(*words: object, **options: object) -> None:
        try:
            with interruptible():
                command(*words, **options)
        except SystemExit as error:
            raise UserError(words_of(error)) from error

    return told


@contextmanager
def interruptible(interrupted: str = "", ended: str = "") -> Iterator[None]:
    """The first Ctrl-C ends the body in order; more of them in the next seconds would only disturb that. So does the
    first SIGTERM or SIGHUP, but the next ends it at once. What is said then goes on with these words."""
    heard: list[float] = []  # when the Ctrl-C came that the body ends by

    def interrupt(*_: object) -> None:
        if not heard or time.monotonic() > heard[0] + PATIENCE:
            heard[:] = [time.monotonic()]
            raise KeyboardInterrupt

    before = _listen(interrupt)
    try:
        with _none_lost(heard):
            yield
    except RunEnded as asked:
        _say(f"ended by {asked}{ended}")
        raise typer.Exit(SIGNALLED + asked.number) from asked
    except BaseException as error:
        # Whatever comes after an interruption comes of it: an import that was broken off fails otherwise a second time.
        if not heard and not isinstance(error, KeyboardInterrupt):
            raise
        where = "".join(f" {note}" for note in getattr(error, "__notes__", ()))
        _say(f"interrupted{where}{interrupted}")
        raise typer.Exit(INTERRUPTED) from error
    for number, handler in before.items():
        if handler is not None:  # set by C
            signal.signal(number, handler)


def _listen(interrupt: Callable[..., None]) -> dict[int, Any]:
    """From now on signals interrupt the command. Returns what they did before."""
    before = {signal.SIGINT: signal.getsignal(signal.SIGINT), **raise_when_asked()}
    if before[signal.SIGINT] is not signal.SIG_IGN:  # as shells start what is to go on behind their back
        signal.signal(signal.SIGINT, interrupt)
    return before


@contextmanager
def _none_lost(heard: list[float]) -> Iterator[None]:
    """Inside, an interruption that came where Python lets nothing through, in a destructor or in a callback of its
    imports, comes again a moment later."""
    told, first = sys.unraisablehook, threading.main_thread()

    def again(lost: sys.UnraisableHookArgs) -> None:
        if not isinstance(lost.exc_value, KeyboardInterrupt) or threading.current_thread() is not first:
            told(lost)
            return
        heard.clear()
        raise_when_asked()
        number = lost.exc_value.number if isinstance(lost.exc_value, RunEnded) else signal.SIGINT
        later = threading.Timer(AGAIN, os.kill, (os.getpid(), number))
        later.daemon = True
        later.start()

    sys.unraisablehook = again
    try:
        yield
    finally:
        sys.unraisablehook = told


def _say(text: str) -> None:
    """The last words; where the terminal is gone, nobody hears them."""
    with suppress(OSError):
        print(text, file=sys.stderr, flush=True)
