"""A compiled phase computes what an eager one does, and says when torch gives up."""

from __future__ import annotations

import copy
import functools

import pytest
import torch
from torch._dynamo.utils import counters

from tests.training.phases import data_for, moved, phase_of, trained
from workbench.errors import UserError
from workbench.training.compilation import compiling
from workbench.training.curve import Step
from workbench.training.loop import train
from workbench.training.resume import Snapshots


def test_a_compiled_phase_builds_graphs_and_its_losses_are_those_of_eager_code(model, tmp_path, monkeypatch):
    """Everything but the generated C++, which takes a minute: dynamo and the backward graph are real. Rows of other
    lengths in each batch, and a resume, must not make torch give up."""
    torch._dynamo.reset()
    counters.clear()
    monkeypatch.setattr(torch, "compile", functools.partial(torch.compile, backend="aot_eager"))
    twin, half = copy.deepcopy(model), copy.deepcopy(model)
    settings = {"steps": 6, "questions": 2, "train": ("connector", "language_model")}
    _, eager = trained(model, **settings)
    phase, curve = phase_of(**settings, compile=True), []
    train(twin, [], phase, data_for(twin), 0, curve.append, Snapshots(tmp_path / "all", every=0))
    assert counters["stats"]["unique_graphs"] > 0
    assert not counters["recompile_limit"]
    assert [each.loss for each in curve] == pytest.approx([each.loss for each in eager], rel=1e-4)
    sorted((tmp_path / "all").iterdir())[-1].unlink()  # as if it had been killed before the end
    resumed: list[Step] = []
    train(half, [], phase, data_for(half), 0, resumed.append, Snapshots(tmp_path / "all", every=0))
    assert [each.step for each in resumed] == [6]
    assert resumed[0].loss == curve[-1].loss
    assert max(moved(twin, half).values()) == 0


def test_a_model_that_torch_compiles_again_and_again_is_told(monkeypatch):
    torch._dynamo.reset()
    monkeypatch.setattr(torch._dynamo.config, "recompile_limit", 2)
    grown = torch.compile(lambda tensor, name: tensor + len(name), backend="eager", dynamic=False)
    told = pytest.raises(UserError, match="phase 'tune' again and again, and gave up. Leave out its 'compile'")
    with told, compiling(True, "tune"):
        for length in range(9):
            grown(torch.ones(2), "x" * length)
    torch._dynamo.reset()
