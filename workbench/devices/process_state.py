"""What a stage or the import of a plugin may change in its process: put back behind it, or told where it cannot be, so
that no other stage sees it.

A worker whose torch was changed, or that keeps threads or processes of a stage, is replaced: what has been computed or
loaded under a switch may keep it, and a stage finds the same in every worker only where all of them are as new.
"""

from __future__ import annotations

import ctypes
import gc
import locale
import os
import resource
import signal
import sys
import threading
import time
import warnings
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

from workbench.devices.torch_switches import changed_switches, torch_switches

# Set by torch itself when it is first asked for a GPU or for compiled code.
OF_TORCH = {"CUDA_MODULE_LOADING", "TORCHINDUCTOR_CACHE_DIR", "TRITON_CACHE_DIR"}
STREAMS = ("stdin", "stdout", "stderr", "excepthook", "unraisablehook", "displayhook", "breakpointhook", "argv")
SET_CHILD_SUBREAPER = 36  # of linux/prctl.h
LIMITS = tuple(getattr(resource, name) for name in dir(resource) if name.startswith("RLIMIT_"))


class ProcessState:
    """A process as it was when this was made."""

    def __init__(self) -> None:
        self.folder = _folder()
        self.environment = dict(os.environ)
        self.path = list(sys.path)
        self.settings = [(read(), write) for read, write in _settings()]
        self.handlers = {number: signal.getsignal(number) for number in signal.valid_signals()}
        self.limits = {limit: resource.getrlimit(limit) for limit in LIMITS}
        self.switches = torch_switches()
        self.threads = _threads()
        self.processes = _processes()

    def put_back(self) -> list[str]:
        """Make all as it was; returns in words what needs a new process, because this one may keep traces of it."""
        found = self._changed_torch()
        found += [] if sys.path == self.path else ["sys.path"]
        found += sorted(
            name
            for name in {*os.environ, *self.environment} - OF_TORCH
            if os.environ.get(name) != self.environment.get(name)
        )
        found += [f"the thread {name}" for number, name in _threads().items() if number not in self.threads]
        found += [f"the process {each.pid}" for each in _processes() - self.processes]
        self._put_back_files()
        for value, write in self.settings:
            write(value)
        self._put_back_signals()
        return found + [each for limit in LIMITS if (each := self._unlimited(limit))]

    def put_back_after_import(self) -> list[str]:
        """The same behind imports of plugins; returns what of torch is another one. The environment, the path of
        modules, warnings' filters and threads stay: libraries set their own when they are imported."""
        self._put_back_folder()
        for value, write in self.settings[len(_of_warnings()) :]:
            write(value)
        self._put_back_signals()
        return self._changed_torch()

    def _changed_torch(self) -> list[str]:
        return [f"torch's {name}" if " " in name else name for name in changed_switches(self.switches)]

    def _put_back_files(self) -> None:
        """Where names lead to."""
        self._put_back_folder()
        sys.path[:] = self.path
        if dict(os.environ) != self.environment:
            os.environ.clear()
            os.environ.update(self.environment)
            time.tzset()

    def _put_back_folder(self) -> None:
        if self.folder is not None and _folder() != self.folder:
            os.chdir(self.folder)

    def _put_back_signals(self) -> None:
        if threading.current_thread() is not threading.main_thread():  # which alone may say what signals do
            return
        for timer in (signal.ITIMER_REAL, signal.ITIMER_VIRTUAL, signal.ITIMER_PROF):
            signal.setitimer(timer, 0)
        for number, handler in self.handlers.items():
            if handler is not None and signal.getsignal(number) is not handler:
                signal.signal(number, handler)

    def _unlimited(self, limit: int) -> str | None:
        """Lift what the system counts for a process to what it was; in words, where that is not allowed."""
        if resource.getrlimit(limit) == self.limits[limit]:
            return None
        with suppress(ValueError, OSError):
            resource.setrlimit(limit, self.limits[limit])
            return None
        return "a limit of the system"


def adopt_orphans() -> None:
    """From now on a process whose parent ended is a child of this one, if this one is among those above it: what forks
    twice to be left alone is found too. Linux alone can (https://man7.org/linux/man-pages/man2/prctl.2.html)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def _settings() -> list[tuple[Callable[[], Any], Callable[[Any], object]]]:
    """What is read and written by a function each."""
    streams = [
        (lambda name=name: getattr(sys, name), lambda value, name=name: setattr(sys, name, value)) for name in STREAMS
    ]
    return [
        *_of_warnings(),
        *streams,
        (_umask, os.umask),
        (lambda: locale.setlocale(locale.LC_ALL), lambda value: locale.setlocale(locale.LC_ALL, value)),
        (sys.getrecursionlimit, sys.setrecursionlimit),
        (sys.getswitchinterval, sys.setswitchinterval),
        (sys.gettrace, sys.settrace),
        (sys.getprofile, sys.setprofile),
        (gc.isenabled, lambda value: gc.enable() if value else gc.disable()),
        (gc.get_threshold, lambda value: gc.set_threshold(*value)),
        (
            lambda: signal.pthread_sigmask(signal.SIG_BLOCK, ()),
            lambda value: signal.pthread_sigmask(signal.SIG_SETMASK, value),
        ),
    ]


def _of_warnings() -> list[tuple[Callable[[], Any], Callable[[Any], object]]]:
    return [
        (lambda: list(warnings.filters), _set_filters),
        (lambda: warnings.showwarning, lambda value: setattr(warnings, "showwarning", value)),
    ]


def _threads() -> dict[int, str]:
    """The names of the threads that run Python, those included that `threading` was not asked for. A thread of a
    library that has only called back, as tokenizers do to read texts, is none: `threading` lists it for good."""
    names = {each.ident: each.name for each in threading.enumerate()}
    return {number: names.get(number, str(number)) for number in sys._current_frames()}


def _folder() -> Path | None:
    try:
        return Path.cwd()
    except OSError:  # somebody has removed it
        return None


def _umask() -> int:
    found = os.umask(0o077)
    os.umask(found)
    return found


def _set_filters(filters: list[Any]) -> None:
    if warnings.filters != filters:
        warnings.filters[:] = filters  # pyright: ignore[reportIndexIssue]
        warnings._filters_mutated()  # pyright: ignore[reportAttributeAccessIssue]


def _processes() -> set[psutil.Process]:
    """Those that this one has started and that live, but the one by which Python counts what processes share."""
    from multiprocessing import resource_tracker

    own = getattr(resource_tracker._resource_tracker, "_pid", None)
    found = set()
    for each in psutil.Process().children():
        with suppress(psutil.Error):
            if each.pid != own and each.status() != psutil.STATUS_ZOMBIE:
                found.add(each)
    return found
