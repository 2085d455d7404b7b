"""What a run and a worker on another machine say to each other beside jobs and news."""

from __future__ import annotations

from dataclasses import dataclass

from workbench.contracts.launcher import Crew


@dataclass(frozen=True)
class Beat:
    """A sign of life."""


@dataclass(frozen=True)
class Introduction:
    """Who calls: the name it was started by, and where it runs."""

    name: str
    host: str
    process: int


@dataclass(frozen=True)
class Welcome:
    """What the run tells a worker first."""

    crew: Crew
    threads: int


@dataclass(frozen=True)
class Ready:
    """The worker may be given jobs."""


@dataclass(frozen=True)
class Unfit:
    """The worker does not see or have what the run has: why."""

    reasons: tuple[str, ...]


@dataclass(frozen=True)
class End:
    """To a worker: keep what you can of your job, and end."""
