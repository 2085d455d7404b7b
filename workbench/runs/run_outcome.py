"""How a run ended: which trials have a result now, and which have none and why."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field


@dataclass
class RunOutcome:
    """Ids of trials: `done` in this run, `kept` from earlier ones. `failed` are told with the reason, those included
    that failed before."""

    done: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    failed_before: frozenset[str] = frozenset()

    @property
    def failed_now(self) -> bool:
        """Whether a trial failed that had not failed before."""
        return bool(self.failed.keys() - self.failed_before)

    def forget(self, gone: Collection[str]) -> None:
        """Trials whose results were removed are not called finished."""
        self.done = [id_ for id_ in self.done if id_ not in gone]
        self.kept = [id_ for id_ in self.kept if id_ not in gone]
