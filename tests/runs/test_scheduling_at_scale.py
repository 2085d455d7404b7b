"""The real scheduler on simulated workers and a virtual clock, which no computing moves: so each run is the same."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest


@pytest.fixture
def simulate(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """The benchmark's simulation of so many seeds, 1,520 stages each, on so many workers."""
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "benchmarks"))
    import scheduling
    from simulated_workers import VirtualClock

    def run(seeds: int, workers: int, failing: float = 0.0, *more: str):
        overrides = [f"seeds={list(range(seeds))}", scheduling.UNSEEN, *more]
        simulation = scheduling.Simulation(tmp_path, scheduling.TINY, overrides, 100.0, clock=VirtualClock(lambda: 0.0))
        return simulation.run(workers, failing)

    return run


def test_a_hundred_workers_are_kept_busy_and_every_stage_runs_once(simulate):
    found = simulate(2, 100)
    assert len(found.workers.begun) == len(found.plan.missing) == 2 * 1520
    assert set(Counter(found.workers.begun).values()) == {1}
    assert len(found.trials.done) == len(found.plan.chains) == 2000
    assert found.workers.most_at_once == 100
    assert found.utilisation > 0.95
    place = {key: number for number, key in enumerate(found.workers.begun)}
    for key, stage in found.plan.missing.items():
        assert all(place[before] < place[key] for before in found.plan.needs(stage))


def test_what_hangs_on_a_stage_that_failed_is_not_begun_and_all_else_is_done(simulate):
    found = simulate(1, 100, 0.05)
    failed = {key for key, errors in found.workers.errors.items() if not errors}
    assert len(failed) > 10
    lost = {chain[-1].trial.id for chain in found.plan.chains.values() if failed & {stage.key for stage in chain}}
    assert set(found.trials.outcome.failed) == lost
    assert found.trials.done == set(found.plan.chains) - lost
    assert set(Counter(found.workers.begun).values()) == {1}
    hanging = {chain[-1].key for chain in found.plan.chains.values() if failed & {stage.key for stage in chain}}
    assert set(found.workers.begun) == set(found.plan.missing) - hanging


def test_one_worker_is_never_idle(simulate):
    found = simulate(1, 1, 0.0, "grid.fusion=[gated]", "grid.adapter=[full]")
    assert found.makespan == pytest.approx(found.workers.worked)
