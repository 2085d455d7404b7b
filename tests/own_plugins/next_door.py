"""A launcher on other machines that are this one: what the command of a worker does is tried without any engine."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from typing import Any

from workbench import Needs, Place, RemoteLauncher, end_process, hookimpl


class NextDoor(RemoteLauncher):
    """Each worker is a process of its own, on one of several machines that share this one's memory."""

    def __init__(self, *, workers: int = 1, machines: int = 1, threads: int = 1, folder: str = "/"):
        super().__init__(workers, Needs(threads), "127.0.0.1")
        self.machines, self.folder = machines, folder

    def places(self) -> Sequence[Place]:
        return [Place(f"machine {number}", self.workers or 1) for number in range(1, self.machines + 1)]

    def start(self, place: Place, needs: Needs, command: Sequence[str]) -> Any:
        return subprocess.Popen(command, cwd=self.folder)

    def alive(self, handle: Any) -> bool:
        return handle.poll() is None

    def kill(self, handle: Any) -> None:
        if handle.poll() is None:
            end_process(handle.pid)
        handle.wait()


@hookimpl
def register_launchers(register):
    register("next_door", NextDoor)
