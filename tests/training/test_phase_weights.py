"""What a phase can change of a model: read, put back, and checked for what is no number."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from tests.small import build, load
from tests.training.phases import data_for, phase_of
from workbench.training.loop import Training
from workbench.training.not_finite import NotFiniteError
from workbench.training.phase_weights import PhaseWeights, cpu_copies


def test_weights_that_are_no_numbers_are_never_kept(tmp_path):
    training = Training(model := build(load(tmp_path).trials[0]), [], phase_of(), data_for(model), 0)
    training.step()
    next(model.connector.parameters()).data[0] = torch.inf
    with pytest.raises(NotFiniteError, match=r"the weight connector\.\S+ is no number in phase 'tune' at step 1"):
        training.snapshot()


def small_module() -> nn.Sequential:
    """A layer that trains, one that does not, and a norm with buffers."""
    module = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 1), nn.BatchNorm1d(1))
    module[1].requires_grad_(False)
    return module


def test_what_trains_and_buffers_can_change_and_what_is_frozen_or_fixed_cannot():
    weights = PhaseWeights(small_module(), fixed=["2.num_batches_tracked"])
    assert set(weights.named()) == {"0.weight", "0.bias", "2.weight", "2.bias", "2.running_mean", "2.running_var"}


def test_weights_that_are_put_back_are_those_of_the_copies_whatever_steps_did():
    module = small_module()
    weights, parameter = PhaseWeights(module), module.get_parameter("0.weight")
    copies = cpu_copies(weights.named())
    before = parameter.detach().clone()
    with torch.no_grad():
        parameter.add_(1)
    assert torch.equal(copies["0.weight"], before)
    weights.load(copies)
    assert torch.equal(parameter, before)
    assert parameter.requires_grad, "an optimizer that holds it goes on with it"


def test_a_buffer_may_hold_what_is_no_number():
    module = small_module()
    module.get_buffer("2.running_mean").fill_(torch.inf)
    PhaseWeights(module).check("tune", 1)
