"""A plugin that ends the process of a command by `os._exit` is noticed: the command ended with its exit code, 0 even,
and without a word.

Nothing that Python can do notices what ends a process in C, as `exit` there does.
"""

from __future__ import annotations

import os
import sys
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

from workbench.cli.exit_codes import FAILED
from workbench.errors import EndedProcess


@contextmanager
def noticed_exits() -> Iterator[None]:
    """Inside, `os._exit` in this process raises `EndedProcess`, as `sys.exit` raises. Where that ends a thread, whose
    exceptions nobody else sees, it is told and ends the process with a failure. Processes that are forked end as
    ever."""
    leave, process, hook = os._exit, os.getpid(), threading.excepthook

    def noticed(status: int) -> NoReturn:
        if os.getpid() != process:
            leave(status)
        caller = traceback.extract_stack(limit=2)[0]
        raise EndedProcess(status, f"{Path(caller.filename).name}, line {caller.lineno}")

    def of_thread(ended: threading.ExceptHookArgs) -> None:
        if not isinstance(ended.exc_value, EndedProcess):
            hook(ended)
            return
        print(f"error: {ended.exc_value}", file=sys.stderr, flush=True)
        leave(FAILED)

    os._exit, threading.excepthook = noticed, of_thread
    try:
        yield
    finally:
        os._exit, threading.excepthook = leave, hook
