"""A loss that is no number ends a phase, and the message says where it was still good and what to change."""

from __future__ import annotations

import copy
import math
import re
from pathlib import Path

import pytest
import torch

from tests.training.phases import data_for, phase_of
from tests.training.test_resume import Bench
from workbench.errors import UserError
from workbench.training.curve import Step
from workbench.training.loop import train
from workbench.training.not_finite import NotFiniteError, finite, with_advice
from workbench.training.resume import Snapshot, Snapshots


@pytest.mark.parametrize("every", [0, 1e9])
def test_a_loss_that_is_no_number_names_the_last_good_snapshot(tmp_path, every):
    bench = Bench(tmp_path, "everything trains")
    model = copy.deepcopy(bench.model)
    snapshots = Snapshots(tmp_path / "all", every)

    def spoil(step: Step) -> None:
        if step.step == 3:
            snapshots.write(training_of_three)
            next(model.connector.parameters()).data.fill_(torch.nan)

    training_of_three = Snapshot(3, {}, {})
    with pytest.raises(NotFiniteError) as told:
        train(model, [], bench.phase, data_for(model), 3, spoil, snapshots)
    assert "in phase 'tune' at step" in str(told.value)
    [step, file] = re.findall(r"the last good snapshot is that of step (\d+): (.+safetensors)", str(told.value))[0]
    assert step == "3"
    assert Path(file).is_file()
    assert "Lower its rate" in str(told.value)


def test_a_loss_that_is_no_number_stops_the_phase_and_is_told_with_phase_and_step(model):
    done: list[int] = []

    def spoil_after_two(step: Step) -> None:
        done.append(step.step)
        if step.step == 2:
            next(model.connector.parameters()).data.fill_(math.nan)

    with pytest.raises(NotFiniteError, match=r"became nan in phase 'burn' at step 3\. Lower its rate"):
        train(model, [], phase_of(name="burn", steps=9), data_for(model), 0, spoil_after_two)
    assert done == [1, 2]


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_value_that_is_no_finite_number_is_told_with_its_place(value):
    assert finite(0.5, "loss", "tune", 4) == 0.5
    with pytest.raises(NotFiniteError, match=f"^the loss became {value} in phase 'tune' at step 4$"):
        finite(value, "loss", "tune", 4)


def test_advice_is_for_losses_alone_and_without_snapshots_names_none():
    with pytest.raises(NotFiniteError, match=r"^it burns\. Lower its rate"), with_advice(None):
        raise NotFiniteError("it burns")
    with pytest.raises(UserError, match="^something else$"), with_advice(None):
        raise UserError("something else")
