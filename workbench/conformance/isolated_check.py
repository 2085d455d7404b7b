"""Checks a plugin in a process of its own: one that hangs, or ends its process, ends nothing else."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import warnings
from multiprocessing.connection import Connection
from pathlib import Path

from workbench.config.component import Component
from workbench.conformance.check import check_component
from workbench.conformance.examine import CannotCheck, RuleResult
from workbench.registry import load_registry

LIMIT = 60.0  # seconds that a check may take


class TooLong(CannotCheck):
    """The check takes longer than an experiment should wait for it."""


def check_isolated(component: Component, folders: tuple[Path, ...], limit: float = LIMIT) -> list[RuleResult]:
    """The results of a component, the plugins being those of `folders`; `CannotCheck` where there are none."""
    context = multiprocessing.get_context("fork" if sys.platform == "linux" else "spawn")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_work, args=(theirs, component, folders, limit))
    with warnings.catch_warnings():
        # Other threads of this process may hold locks for ever in the new one; then the limit ends it.
        warnings.simplefilter("ignore", DeprecationWarning)
        process.start()
    theirs.close()
    try:
        if not ours.poll(limit):
            raise TooLong(f"it takes more than {limit:g} seconds. `workbench check` waits for it")
        answer = ours.recv()
    except EOFError:
        process.join()
        raise CannotCheck(f"its process ended with exit code {process.exitcode}") from None
    finally:
        process.kill()
        process.join()
        ours.close()
    if isinstance(answer, str):
        raise CannotCheck(answer)
    return answer


def _work(connection: Connection, component: Component, folders: tuple[Path, ...], limit: float) -> None:
    """In the new process: send the results of all rules, or the reason why the plugin cannot be checked."""
    signal.alarm(int(limit) + 5)  # the end, should nobody be left to wait for it
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):  # what a plugin prints, it prints again when it is used
        os.dup2(nowhere, stream)
    try:
        answer: list[RuleResult] | str = list(check_component(component, load_registry(folders)))
    except CannotCheck as reason:
        answer = str(reason)
    connection.send(answer)
