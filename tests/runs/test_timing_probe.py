"""A probe does what its stage will do, on less of the data."""

from __future__ import annotations

import time

import pytest
from torch.nn.modules.module import register_module_forward_pre_hook

from tests.model.test_image_features import FUSIONS, TEXT
from tests.small import PAIRS, SMALL, load, small_registry
from workbench.contracts.encoder import Encoder
from workbench.runs.planner import Planner
from workbench.runs.stages import FeatureStage, Stage
from workbench.runs.timing_probe import Probe
from workbench.training.loop import Training


@pytest.mark.parametrize("limit", [None, 0])
def test_a_probe_runs_the_encoder_only_where_the_stage_will(tmp_path, limit):
    """Where features are kept, only the stages that make them do."""
    planner = Planner(load(tmp_path, FUSIONS, text=TEXT), small_registry(), tmp_path / "results", feature_bytes=limit)
    plan = planner.plan()
    probe, called = Probe(planner, plan), []
    hook = register_module_forward_pre_hook(lambda module, given: called.append((module, given)))
    try:
        for stage in plan.missing.values():
            called.clear()
            assert probe.seconds(stage) > 0
            # One image at a time is the grey control and the measured latency, whatever is kept.
            encodes = any(isinstance(module, Encoder) and len(given[0]) > 1 for module, given in called)
            assert encodes == (limit == 0 or isinstance(stage, FeatureStage)), stage.name
    finally:
        hook.remove()
    assert len(plan.missing) == (4 if limit == 0 else 6)


@pytest.mark.parametrize("limit", [None, 0])
def test_a_probe_asks_about_fewer_sets_than_there_are(tmp_path, limit):
    experiment = load(tmp_path, "evaluation.batch=2", text=PAIRS)
    planner = Planner(experiment, small_registry(), tmp_path / "results", feature_bytes=limit)
    plan = planner.plan()
    assert all(Probe(planner, plan).seconds(stage) > 0 for stage in plan.missing.values())


def test_the_seconds_of_a_step_are_those_of_training_alone(tmp_path, monkeypatch):
    """Validations stop the clock, as in a record: here one takes longer than all steps."""
    watched = SMALL.replace("steps: 2, batch: 4", "steps: 2, batch: 4, held_out: 0.2, validate_every: 1")
    planner = Planner(load(tmp_path, text=watched), small_registry(), tmp_path / "results")
    plan = planner.plan()
    look = Training._validate

    def slowly(self, number):
        time.sleep(0.5)
        return look(self, number)

    monkeypatch.setattr(Training, "_validate", slowly)
    [stage] = [stage for stage in plan.missing.values() if isinstance(stage, Stage) and not stage.evaluates]
    assert 0 < Probe(planner, plan).step_seconds(stage, 3) < 0.25
    assert Probe(planner, plan).seconds(stage) > 2 * 0.5
