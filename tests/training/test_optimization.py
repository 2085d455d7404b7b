"""How the weights move: rates along their schedule, weight decay, steps, and the scale of fp16 gradients."""

from __future__ import annotations

import json
import math

import pytest
import torch

from tests.training.phases import ALL, phase_of
from workbench.model.build import trainable
from workbench.training.optimization import Optimization, groups, schedule, steps_of

FP16 = phase_of(precision="fp16", train=("connector",))


def test_the_scale_of_fp16_gradients_is_kept():
    """An overflow halves it; a step that overflows moves nothing."""
    weight = torch.nn.Parameter(torch.ones(2))
    first, second = (Optimization({"connector": [weight]}, (), FP16, 9, torch.device("cpu")) for _ in range(2))
    first.begin(1)
    first.backward((weight * 1e38).sum())
    first.step()
    assert torch.equal(weight, torch.ones(2))
    tensors, values = first.state()
    assert values["scale"] == 2.0**15
    second.restore(tensors, json.loads(json.dumps(values)))
    assert second.scaler.state_dict() == first.scaler.state_dict()


@pytest.mark.parametrize(("warmup", "final"), [(0.0, 0.0), (0.1, 0.0), (0.25, 0.1), (1.0, 0.0)])
def test_the_rate_rises_in_a_line_and_falls_along_half_a_cosine(warmup, final):
    steps = 40
    phase = phase_of(steps=steps, warmup=warmup, final_rate=final)
    warm = warmup * steps
    for step in range(1, steps + 1):
        if step <= warm:
            expected = step / warm
        else:
            turn = math.pi * (step - warm) / (steps - warm)
            expected = final + (1 - final) * (1 + math.cos(turn)) / 2
        assert schedule(step, steps, phase) == pytest.approx(expected, abs=1e-12)
    assert max(schedule(step, steps, phase) for step in range(1, steps + 1)) <= 1
    if warmup < 1:
        assert schedule(steps, steps, phase) == pytest.approx(final, abs=1e-12)


def test_weight_decay_is_for_matrices_alone(model):
    phase = phase_of(weight_decay=0.3, rate=dict.fromkeys(ALL, 1e-3) | {"encoder": 1e-4})
    made = groups(trainable(model, phase, []), phase, ())
    for group in made:
        assert {parameter.ndim > 1 for parameter in group["params"]} == {group["weight_decay"] == 0.3}
        assert group["weight_decay"] in (0.3, 0.0)
    encoder = {id(parameter) for parameter in model.encoder.parameters()}
    for group in made:
        assert group["peak"] == (1e-4 if id(group["params"][0]) in encoder else 1e-3)
    assert sum(len(group["params"]) for group in made) == len(list(model.parameters()))


@pytest.mark.parametrize(
    ("settings", "images", "steps"),
    [
        ({"steps": 7}, 1000, 7),
        ({"steps": None, "epochs": 1.0}, 16, 4),
        ({"steps": None, "epochs": 2.5}, 16, 10),
        ({"steps": None, "epochs": 1.0, "batch": 5}, 16, 3),
        ({"steps": None, "epochs": 0.001}, 16, 1),
        ({"steps": None, "epochs": 1.0, "batch": 64}, 16, 1),
    ],
)
def test_epochs_are_passes_over_the_images(settings, images, steps):
    assert steps_of(phase_of(**settings), images) == steps
