"""What stages will cost: measured where one like it ran, computed from the weights where none did."""

from __future__ import annotations

from pathlib import Path

from tests.small import load, run_inside, small_registry
from workbench.runs.costs import FLOAT, PROCESS, Costs
from workbench.runs.plan import Plan
from workbench.runs.planner import Planner


def planned(folder: Path, *overrides: str) -> tuple[Plan, Costs]:
    planner = Planner(load(folder, *overrides), small_registry(), folder / "results")
    plan = planner.plan()
    return plan, Costs(plan, planner.store)


def test_what_never_ran_is_computed_from_the_weights(tmp_path):
    plan, costs = planned(tmp_path)
    training, evaluation = plan.missing.values()
    size = plan.sizes[training.trial.id]
    assert costs.memory_bytes(evaluation) == PROCESS + FLOAT * size.parameters
    assert costs.memory_bytes(training) == PROCESS + FLOAT * size.parameters + 3 * FLOAT * size.most_trainable


def test_a_phase_on_several_devices_takes_the_memory_of_as_many_processes(tmp_path):
    plan, costs = planned(tmp_path, "phases.tune.devices=2")
    training, evaluation = plan.missing.values()
    size = plan.sizes[training.trial.id]
    assert (training.devices, evaluation.devices) == (2, 1)
    assert costs.memory_bytes(training) == 2 * (PROCESS + FLOAT * size.parameters + 3 * FLOAT * size.most_trainable)
    assert costs.memory_bytes(evaluation) == PROCESS + FLOAT * size.parameters
    assert costs.disk_bytes(training) == FLOAT * size.parameters, "no weight is in a file"
    assert costs.disk_bytes(evaluation) == 0
    assert costs.seconds(training) is None
    assert costs.seconds(training, lambda stage: 7.0) == 7.0
    assert costs.seconds(training) == 7.0, "measured once"
    assert costs.kinds_timed == 1
    costs.learn(evaluation, 3.0)
    costs.learn(evaluation, 4.0)
    assert (costs.kinds_timed, costs.seconds(evaluation)) == (2, 4.0)


def test_a_stage_that_differs_in_its_seed_alone_takes_what_the_other_took(tmp_path):
    run_inside(load(tmp_path), tmp_path / "results")
    plan, costs = planned(tmp_path, "seeds=[0, 1]")
    training = next(stage for stage in plan.missing.values() if stage.name == "tune")
    kept = next(stage for key, stage in plan.distinct().items() if key not in plan.missing and not stage.evaluates)
    assert costs.seconds(training) == costs.seconds(kept) is not None
    assert costs.kinds_timed == 1
    plan, costs = planned(tmp_path, "base.fusion=gated")
    assert costs.kinds_timed == 0


def test_a_stage_that_takes_more_memory_than_there_is_is_told_with_both_numbers(tmp_path):
    plan, costs = planned(tmp_path)
    training, _ = plan.missing.values()
    assert costs.too_large(training, None) is None
    assert costs.too_large(training, 10**9) is None
    told = costs.too_large(training, 10**8) or ""
    assert told.startswith("the stage takes about 0.5 GB of memory, more than the 0.1 GB that it may.")
