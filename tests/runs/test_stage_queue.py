"""Which stages may begin: not before what they need, not without memory, not while another run does them."""

from __future__ import annotations

from pathlib import Path

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
    assert list(queue.ready()) == [second]
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
    assert not list(queue.ready())
    assert other.key in queue.undone


def test_what_is_passed_by_stays_ready_and_what_is_begun_does_not(tmp_path):
    queue, _ = queue_of(tmp_path)
    first, second = queue.ready()
    looking = queue.ready()
    assert next(looking) == first
    looking.close()
    assert list(queue.ready()) == [first, second]
    for stage in queue.ready():
        queue.begin(stage)
    assert not list(queue.ready())


def test_a_lost_worker_is_no_attempt_and_is_forgotten_once_the_stage_gets_further(tmp_path):
    queue, _ = queue_of(tmp_path)
    stage = next(queue.ready())
    for loss in (1, 2):
        queue.begin(stage)
        queue.note_progress(stage, 5)
        queue.end(stage)
        assert queue.count_loss(stage) == (loss if loss == 1 else 2)
        queue.wait(stage, tried=False)
        assert queue.attempts[stage.key] == 0
    queue.begin(stage)
    queue.note_progress(stage, 6)
    assert queue.count_loss(stage) == 1


def test_what_another_run_does_is_looked_for_again_later_and_was_no_attempt(tmp_path, monkeypatch):
    queue, _ = queue_of(tmp_path)
    first, second = queue.ready()
    queue.begin(first)
    queue.end(first)
    queue.wait_for_another_run(first)
    assert list(queue.ready()) == [second]
    assert queue.attempts[first.key] == 0
    now = stage_queue.time.monotonic()
    monkeypatch.setattr(stage_queue.time, "monotonic", lambda: now + stage_queue.LOOK_AGAIN)
    assert first in queue.ready()
    assert queue.waited_for_another_run(first)
    assert not queue.waited_for_another_run(first)


def test_what_another_run_does_is_looked_for_rarer_the_longer_it_lasts_and_told_once(tmp_path, monkeypatch):
    queue, _ = queue_of(tmp_path)
    stage, clock, waits = next(queue.ready()), [100.0], []
    monkeypatch.setattr(stage_queue.time, "monotonic", lambda: clock[0])
    for number in range(20):
        assert queue.look_again_later(stage) == (number == 0)
        began = clock[0]
        while stage not in queue.ready():
            clock[0] += 0.125
        waits.append(clock[0] - began)
    assert waits[0] == 1.0
    assert sum(waits[:5]) < 8
    assert waits == sorted(waits)
    assert waits[-1] == stage_queue.MOST
    queue.begin(stage)
    queue.end(stage)
    queue.wait(stage)
    assert queue.look_again_later(stage), "it is another one's again"


def test_the_time_of_a_stage_begins_when_its_worker_is_up(tmp_path, monkeypatch):
    queue, _ = queue_of(tmp_path)
    stage, clock = next(queue.ready()), [100.0]
    monkeypatch.setattr(stage_queue.time, "monotonic", lambda: clock[0])
    queue.begin(stage)
    clock[0] = 110.0
    assert queue.slower_than(5.0) == [stage.key]
    other = next(queue.ready())
    queue.begin(other)
    queue.restart_clock(stage)
    clock[0] = 113.0
    assert queue.slower_than(5.0) == []
    assert queue.slower_than(2.0) == [other.key, stage.key]
    clock[0] = 111.0
    queue.restart_clock(other)
    clock[0] = 116.0
    assert queue.slower_than(5.0) == [stage.key]
    clock[0] = 113.0
    assert queue.end(stage) == 3.0
