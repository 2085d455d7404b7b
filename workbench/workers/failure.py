"""A failure as it stands in a record: what failed, why, and whether the same may go well another time."""

from __future__ import annotations

import errno
import signal
import traceback
from collections.abc import Mapping
from typing import Any

from workbench.contracts.launcher import Finished, Reason
from workbench.errors import UserError, plain, words_of

# Disk full, quota, a limit on files or memory, a drive that failed or was away; a missing or damaged file stays so.
MAY_PASS = {
    getattr(errno, name)
    for name in ("ENOSPC", "EDQUOT", "EFBIG", "EROFS", "ENOMEM", "EMFILE", "ENFILE", "EIO", "ESTALE", "ETIMEDOUT")
    if hasattr(errno, name)
}

DIED = "WorkerDied"
NO_ATTEMPT = {Reason.PREEMPTED, Reason.LOST, Reason.START}  # nothing that the stage did


class ReportedError(RuntimeError):
    """The error of another process that did a part of the work, as it stands in a record."""

    def __init__(self, error: Mapping[str, Any]):
        super().__init__(error["message"])
        self.error = dict(error)


def error_of(error: BaseException) -> dict[str, Any]:
    """An exception as it stands in a record; a user's mistake needs no traceback. `transient` says that the same may
    go well another time: memory or disk ran out, or the sources changed under the run. `reason` is a `Reason`,
    where it is known."""
    if isinstance(error, ReportedError):
        return error.error
    shown = "" if isinstance(error, UserError) else plain("".join(traceback.format_exception(error)))
    found = {
        "type": type(error).__name__, "message": words_of(error), "traceback": shown, "transient": _is_transient(error)
    }  # fmt: skip
    key = error.key if isinstance(error, UserError) else None
    reason = Reason.MEMORY if _lacked_memory(error) else getattr(error, "reason", None)
    told = {"key": key, "reason": reason and str(reason)}
    return found | {name: value for name, value in told.items() if isinstance(value, str)}


def preempted(message: str) -> UserError:
    """To be raised where a stage ends because its process was asked to: it goes on another time."""
    found = UserError(message)
    found.transient, found.reason = True, Reason.PREEMPTED
    return found


def lost(key: str, reason: Reason | None, message: str) -> Finished:
    """The news that a worker is gone, and why in the launcher's own words."""
    return Finished(
        key, {"type": DIED, "message": message, "traceback": "", "transient": True, "reason": reason and str(reason)}
    )


def died(key: str, exit_code: int | None, who: str = "the worker process") -> Finished:
    """The news that a worker, or another process of its job, ended in the middle of it, by itself or killed by the
    system."""
    ended = f"{who} ended in the middle of the stage with"
    if exit_code == -signal.SIGKILL:
        return lost(key, Reason.MEMORY, f"{ended} signal SIGKILL; it may have run out of memory")
    if exit_code is not None and exit_code < 0:
        cause = f"signal {_signal_name(-exit_code)}"
    else:
        cause = f"exit code {exit_code}"
    killed = exit_code is None or exit_code < 0
    return Finished(key, {"type": DIED, "message": f"{ended} {cause}", "traceback": "", "transient": killed})


def in_words(error: Mapping[str, Any]) -> str:
    """What an error in a record says. The type of an exception says nothing of a user's mistake, whose message says
    all; records of earlier versions may hold no message."""
    message = plain(str(error.get("message") or "")).strip()
    if error.get("type") in (UserError.__name__, None):
        return message or "it is not known why"
    return f"{error['type']}: {message}" if message else str(error["type"])


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # a real-time signal
        return str(number)


def _is_transient(error: BaseException) -> bool:
    if _lacked_memory(error) or (isinstance(error, UserError) and error.transient):
        return True
    system = error if isinstance(error, OSError) else error.__cause__
    return isinstance(system, OSError) and system.errno in MAY_PASS


def _lacked_memory(error: BaseException) -> bool:
    system = error if isinstance(error, OSError) else error.__cause__
    if isinstance(error, MemoryError) or (isinstance(system, OSError) and system.errno == errno.ENOMEM):
        return True
    return isinstance(error, RuntimeError) and ("out of memory" in str(error) or "allocate memory" in str(error))
