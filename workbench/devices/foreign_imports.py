"""The import of plugins that are not the workbench's own: what it changes in the process is put back."""

from __future__ import annotations

import os

from workbench.devices.process_state import ProcessState
from workbench.errors import first_of


class ForeignImports:
    """Imports from `begin` of the first plugin to `end`; without any, nothing is looked at."""

    def __init__(self) -> None:
        self._sources: list[str] = []
        self._before: ProcessState | None = None
        self._process = os.getpid()

    def begin(self, source: str) -> None:
        """Called before a plugin is imported, after all of the workbench's own."""
        self._before = self._before or ProcessState()
        self._leave_if_forked()
        self._sources.append(source)

    def end(self) -> str:
        """Called behind the last: what is wrong when torch computes otherwise now, for every other plugin too."""
        self._leave_if_forked()
        if self._before is None or not (changed := self._before.put_back_after_import()):
            return ""
        return (
            f"{first_of(changed)} changed when these plugins were imported: {first_of(self._sources)}. That changes"
            " the results of all other plugins too: set it where a plugin computes, and not where it is imported"
        )

    def _leave_if_forked(self) -> None:
        """A plugin may have forked and let the child return: it would go on as a second command."""
        if os.getpid() != self._process:
            os._exit(0)
