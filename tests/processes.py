"""`workbench run` as a process of its own, as a terminal would start it."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from tests.small import PLUGINS


def start(folder: Path, *words: str, before: Callable[[], None] | None = None) -> subprocess.Popen[str]:
    """`workbench run` in a group of processes of its own, as a terminal would start it; `before` is called in it."""
    environment = {**os.environ, "PYTHONPATH": str(PLUGINS.parent.parent), "OMP_NUM_THREADS": "1", "COLUMNS": "300"}
    command = [sys.executable, "-m", "workbench.cli", "run", "small.yaml", "--plugins", str(PLUGINS), "--device", "cpu"]
    command.append("--unchecked")  # some of them are faulty on purpose
    return subprocess.Popen(
        [*command, *words], cwd=folder, env=environment, text=True, start_new_session=True, preexec_fn=before,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def ended(process: subprocess.Popen[str], code: int) -> str:
    """What a command said; nothing of it may be a traceback."""
    output, errors = process.communicate(timeout=90)
    assert process.returncode == code, output + errors
    assert "Traceback" not in output + errors
    return output + errors


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)
