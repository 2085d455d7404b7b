"""Which stages may begin: not before what they need, not without memory, not while another run does them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.small import load, small_registry
from workbench.runs import stage_queue
from workbench.runs.costs import Costs
from workbench.runs.plan import Plan
from workbench.runs.planner import Planner
from workbench.runs.stage_queue import StageQueue


def queue_of(folder: Path, *overrides: str) -> tuple[StageQueue, Plan]:
    """The queue of an experiment of which nothing is done."""
    experiment = load(folder, "grid.fusion=[concat_projection, cross_attention]", *overrides)
    planner = Planner(experiment, small_registry(), folder / "results", feature_bytes=0)
    plan = planner.plan()
    return StageQueue(plan, Costs(plan, planner.store)), plan


def test_an_evaluation_is_ready_when_its_training_is_done(tmp_path):
    queue, _ = queue_of(tmp_path)
    first, second = queue.ready()
    assert {first.name, second.name} == {"tune"}
    queue.begin(first)
    assert queue.ready() == [second]
    queue.end(first)
    queue.finish(first)
    assert {stage.name for stage in queue.ready()} == {"tune", "evaluate"}


def test_it_is_empty_when_everything_is_done_or_dropped(tmp_path):
    queue, plan = queue_of(tmp_path)
    tune, other = queue.ready()
    queue.begin(tune)
    queue.drop(plan.missing)
    assert queue, "what runs goes on"
    queue.end(tune)
    queue.finish(tune)
    assert not queue
    assert not queue.ready()
    assert other.key in queue.undone


def test_stages_share_the_memory_and_one_alone_may_always_try(tmp_path):
    queue, _ = queue_of(tmp_path)
    first, second = queue.ready()
    both = int(queue.costs.memory_bytes(first) + queue.costs.memory_bytes(second)) + 1
    assert queue.fits(first, budget=1)
    queue.begin(first)
    assert queue.fits(second, both)
    assert queue.fits(second, None), "nobody knows how much there is"
    assert not queue.fits(second, both // 2)


@pytest.mark.parametrize("runs", [0, 1])
def test_nothing_runs_beside_a_stage_that_ran_out_of_memory(tmp_path, runs):
    queue, _ = queue_of(tmp_path)
    stages = queue.ready()
    queue.begin(stages[0])
    queue.end(stages[0])
    queue.wait_to_be_alone(stages[0])
    queue.begin(stages[runs])
    assert not queue.fits(stages[1 - runs], None)


def test_what_another_run_does_is_looked_for_again_later_and_was_no_attempt(tmp_path, monkeypatch):
    queue, _ = queue_of(tmp_path)
    first, second = queue.ready()
    queue.begin(first)
    queue.end(first)
    queue.wait_for_another_run(first)
    assert queue.ready() == [second]
    assert queue.attempts[first.key] == 0
    now = stage_queue.time.monotonic()
    monkeypatch.setattr(stage_queue.time, "monotonic", lambda: now + stage_queue.LOOK_AGAIN)
    assert first in queue.ready()
    assert queue.waited_for_another_run(first)
    assert not queue.waited_for_another_run(first)


def test_the_time_of_a_stage_begins_when_its_worker_is_up(tmp_path, monkeypatch):
    queue, _ = queue_of(tmp_path)
    stage, clock = queue.ready()[0], [100.0]
    monkeypatch.setattr(stage_queue.time, "monotonic", lambda: clock[0])
    queue.begin(stage)
    clock[0] = 110.0
    assert queue.slower_than(5.0) == [stage.key]
    queue.restart_clock(stage)
    clock[0] = 113.0
    assert queue.slower_than(5.0) == []
    assert queue.end(stage) == 3.0
