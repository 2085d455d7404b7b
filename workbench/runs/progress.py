"""Shows how far a run is: on a terminal a live board, elsewhere a line for every stage that ends."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from workbench.errors import plain
from workbench.workers.failure import in_words

if TYPE_CHECKING:
    from workbench.contracts.launcher import Advance, Finished
    from workbench.runs.plan import AnyStage, Plan


MOST_BARS = 20  # drawing a thousand takes longer than the time between two drawings


class ProgressDisplay:
    """One bar for the whole run and one for each running stage, of many for the first that there is room for."""

    def __init__(self, console: Console, plan: Plan):
        self.console = console
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TextColumn("{task.fields[loss]}"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._all = self._progress.add_task("stages", total=len(plan.missing), loss="")
        self._tasks: dict[str, TaskID] = {}  # of the running stages that have a bar, by key
        self._barless: dict[str, AnyStage] = {}  # the others, in the order in which they began
        self._room = min(MOST_BARS, max(1, console.height - 2))
        self._started: dict[str, float] = {}
        self._done = 0
        self._waits_for = ""
        self._total = len(plan.missing)

    def __enter__(self) -> ProgressDisplay:
        self._progress.start()
        return self

    def __exit__(self, *reason: object) -> None:
        self._progress.stop()

    def begin(self, stage: AnyStage) -> None:
        """A worker has the stage: it gets a bar, without an end as long as nothing is known of it."""
        self._started[stage.key] = time.monotonic()
        self._barless[stage.key] = stage
        self._show_bars()

    def advance(self, stage: AnyStage, news: Advance) -> None:
        """Move the bar of a stage, and show its loss where it trains."""
        if stage.key not in self._tasks:
            return
        loss = "" if news.loss is None else f"loss {news.loss:.3f}"
        self._progress.update(self._tasks[stage.key], completed=news.done, total=news.total or None, loss=loss)

    def wait(self, stage: AnyStage, why: str) -> None:
        """A stage waits on, or goes back to those that wait; says why."""
        self._remove_bar(stage)
        self._started.pop(stage.key, None)
        self.console.print(f"waiting {_name(stage)}: {escape(why)}", highlight=False, soft_wrap=True)

    def wait_for_place(self, why: str) -> None:
        """Nothing runs, since there is no place yet; says so once, and again when the reason is another one."""
        if why and why != self._waits_for:
            self.console.print(f"waiting for a place: {escape(why)}", highlight=False, soft_wrap=True)
        self._waits_for = why

    def show_printed(self, text: str) -> None:
        """What a plugin printed: its words alone, above the board."""
        self.console.print(plain(text).rstrip("\n"), markup=False, highlight=False, soft_wrap=True)

    def expect(self, more: int) -> None:
        """So many stages more are to be done than were planned."""
        self._total += more
        self._progress.update(self._all, total=self._total)

    def finish(self, stage: AnyStage, news: Finished) -> None:
        """A stage ended; says so in a line that stays."""
        self._remove_bar(stage)
        self._progress.advance(self._all)
        self._done += 1
        seconds = time.monotonic() - self._started.pop(stage.key, time.monotonic())
        outcome = "[green]done[/green]" if news.error is None else "[red]failed[/red]"
        place = f"[{self._done}/{self._total}]".replace("[", r"\[")
        self.console.print(f"{place} {outcome} {_name(stage)} ({seconds:.1f} s)", highlight=False)
        if news.error is not None:
            self.console.print(f"    {in_words(news.error)}", style="red", markup=False)

    def _show_bars(self) -> None:
        while self._barless and len(self._tasks) < self._room:
            key = next(iter(self._barless))
            self._tasks[key] = self._progress.add_task(_name(self._barless.pop(key)), total=None, loss="")
            self._progress.tasks[-1].start_time = self._started[key]  # it may have run for long without a bar
        more = f", {len(self._barless):,} more run" if self._barless else ""
        self._progress.update(self._all, description=f"stages{more}")

    def _remove_bar(self, stage: AnyStage) -> None:
        self._barless.pop(stage.key, None)
        if stage.key in self._tasks:
            self._progress.remove_task(self._tasks.pop(stage.key))
        self._show_bars()


def _name(stage: AnyStage) -> str:
    """The stage in words; a label such as `int8(include=[encoder.*])` is no markup."""
    return escape(plain(stage.label))
