"""A launcher without workers, for tests that are about something else: a worker would load everything anew."""

from __future__ import annotations

from workbench import Advance, Crew, Finished, Job, Launcher, hookimpl
from workbench.workers.failure import error_of


class Inside(Launcher):
    """Does each stage when it begins."""

    def open(self, crew: Crew) -> None:
        self._do = crew.prepare(crew.device)
        self._news: list[Advance | Finished] = []

    def slots(self) -> int:
        return 1

    def begin(self, job: Job) -> None:
        def tell(done: int, total: int, loss: float | None = None) -> None:
            self._news.append(Advance(job.key, done, total, loss))

        try:
            self._do(job, tell)
            self._news.append(Finished(job.key))
        except Exception as error:
            self._news.append(Finished(job.key, error_of(error)))

    def news(self, timeout: float) -> list[Advance | Finished]:
        told, self._news = self._news, []
        return told

    def stop(self, key: str) -> None:
        raise NotImplementedError("a stage within this process cannot be stopped")

    def close(self) -> None:
        del self._do


@hookimpl
def register_launchers(register):
    register("inside", Inside)
