"""What a run shows: a line for every stage that ends, with what went wrong in words."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from tests.small import load
from workbench.contracts.launcher import Advance, Finished
from workbench.runs import progress
from workbench.runs.plan import Plan
from workbench.runs.progress import ProgressDisplay
from workbench.runs.stages import Stage


@pytest.fixture
def shown(tmp_path):
    """A display of one stage, the stage, and what was written so far."""
    stage = Stage("key", "tune", 0, load(tmp_path).trials[0], None)
    out = io.StringIO()
    plan = Plan({}, {}, frozenset(), {}, missing={stage.key: stage})
    with ProgressDisplay(Console(file=out, width=200), plan) as display:
        display.begin(stage)
        yield display, stage, out


def test_a_stage_that_is_done_leaves_a_line_with_its_place_among_all(shown):
    display, stage, out = shown
    display.advance(stage, Advance(stage.key, 1, 2, 0.5))
    display.expect(1)
    display.finish(stage, Finished(stage.key))
    assert out.getvalue().startswith(f"[1/2] done {stage.label} (0.")


@pytest.mark.parametrize(
    ("type_", "told"), [("UserError", "the image a.png cannot be read"), ("KeyError", "KeyError: the image a.png")]
)
def test_a_users_mistake_is_told_without_the_type_of_its_exception(shown, type_, told):
    display, stage, out = shown
    display.finish(stage, Finished(stage.key, {"type": type_, "message": "the image a.png cannot be read"}))
    first, second = out.getvalue().splitlines()
    assert first.startswith(f"[1/1] failed {stage.label}")
    assert second.startswith(f"    {told}")


def test_a_stage_that_waits_says_why_and_is_not_counted(shown):
    display, stage, out = shown
    display.wait(stage, "another run does it [now]")
    display.begin(stage)
    display.finish(stage, Finished(stage.key))
    assert out.getvalue().splitlines()[0] == f"waiting {stage.label}: another run does it [now]"
    assert "[1/1] done" in out.getvalue()


def test_of_a_thousand_running_stages_those_have_bars_that_there_is_room_for(tmp_path):
    trial = load(tmp_path).trials[0]
    stages = [Stage(f"key {number}", f"tune{number:03d}", 0, trial, None) for number in range(1000)]
    out = io.StringIO()
    plan = Plan({}, {}, frozenset(), {}, missing={stage.key: stage for stage in stages})
    with ProgressDisplay(Console(file=out, width=120, height=8, force_terminal=True), plan) as display:
        for stage in stages:
            display.begin(stage)
            display.advance(stage, Advance(stage.key, 1, 2, 0.5))
        assert _bars(display) == ["stages, 994 more run", *(stage.label for stage in stages[:6])]
        display.finish(stages[2], Finished("key 2"))
        display.wait(stages[500], "another run does it")
        assert _bars(display) == ["stages, 992 more run", *(stages[place].label for place in (0, 1, 3, 4, 5, 6))]
        for stage in stages[20:30]:
            display.finish(stage, Finished(stage.key))
        assert _bars(display)[0] == "stages, 982 more run"


def test_a_bar_that_comes_late_counts_from_the_beginning_of_its_stage(tmp_path, monkeypatch):
    trial = load(tmp_path).trials[0]
    first, second = (Stage(name, name, 0, trial, None) for name in ("first", "second"))
    plan = Plan({}, {}, frozenset(), {}, missing={each.key: each for each in (first, second)})
    clock = [100.0]
    with ProgressDisplay(Console(file=io.StringIO(), width=120, height=3, force_terminal=True), plan) as display:
        monkeypatch.setattr(progress.time, "monotonic", lambda: clock[0])
        display.begin(first)
        display.begin(second)
        clock[0] = 150.0
        display.finish(first, Finished("first"))
        assert display._progress.tasks[-1].description == second.label
        assert display._progress.tasks[-1].start_time == 100.0


def _bars(display: ProgressDisplay) -> list[str]:
    return [task.description for task in display._progress.tasks]
