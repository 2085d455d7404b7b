"""What a run meets that a test is about: killed runs, those of other machines, calls that the system refuses."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from tests.processes import forked
from workbench.storage.claims import CLAIMS, Holder
from workbench.storage.run_claims import RunClaims

ELSEWHERE = Holder("far-away", "another boot", 7, "0123456789abcdef", lock=(1, 2))


def killed(store: Path, *keys: str) -> None:
    """A run that claimed stages, and was killed."""
    process = forked(_claim_and_die, store, keys)
    process.join()
    assert process.exitcode == -9


def on_another_machine(store: Path, key: str | None = None) -> Path:
    """The file of a run of another machine, or its claim of a stage."""
    file = store / CLAIMS / (key or f".run-{ELSEWHERE.run}")
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(dataclasses.replace(ELSEWHERE, token="theirs" if key else "").content())
    return file


def long_ago(file: Path, seconds: float = 61.0) -> None:
    """It was renewed so many seconds ago."""
    status = file.stat()
    os.utime(file, (status.st_atime, status.st_mtime - seconds))


def refusing(code: int) -> Callable[..., NoReturn]:
    """Stands for a call of the system that ends with this error."""

    def refuse(*arguments: Any, **named: Any) -> NoReturn:
        raise OSError(code, os.strerror(code))

    return refuse


def _claim_and_die(store: Path, keys: tuple[str, ...]) -> None:
    with RunClaims(store) as claims:
        assert all(claims.take(key) for key in keys)
        os.kill(os.getpid(), 9)
