"""What a run shows: a line for every stage that ends, with what went wrong in words."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from tests.small import load
from workbench.contracts.launcher import Advance, Finished
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
