"""A trial's parts: their seeds, how many bytes they are, and which of them train."""

from __future__ import annotations

import itertools

import torch
from torch import nn

from tests.small import build, load, small_registry
from workbench.config.seeds import derived_seed
from workbench.model.build import attach_adapter, count_bytes, count_parameters, trainable

FUSIONS = ("concat_projection", "cross_attention", "gated", "bidirectional")


def test_a_seed_is_its_own_for_every_purpose_and_seed():
    seeds = {derived_seed(seed, purpose) for seed in range(50) for purpose in ("encoder", "fusion", "controls")}
    assert len(seeds) == 150
    assert derived_seed(3, "encoder") == derived_seed(3, "encoder")
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_every_part_starts_alike_whatever_the_other_parts_are(tmp_path):
    experiment = load(tmp_path, f"grid.fusion=[{', '.join(FUSIONS)}]", "grid.connector=[linear, mlp]")
    models = [build(trial) for trial in experiment.trials]
    assert len(models) == 8
    for name in ("encoder", "language_model"):
        for model in models[1:]:
            for mine, theirs in zip(
                getattr(models[0], name).parameters(), getattr(model, name).parameters(), strict=True
            ):
                assert torch.equal(mine, theirs)


def test_another_seed_starts_elsewhere_and_the_same_one_at_the_same_place(tmp_path):
    first, second = (build(trial) for trial in load(tmp_path, "seeds=[0, 1]").trials)
    again = build(load(tmp_path).trials[0])
    assert all(torch.equal(*pair) for pair in zip(first.parameters(), again.parameters(), strict=True))
    assert not torch.equal(first.get_parameter("encoder.positions"), second.get_parameter("encoder.positions"))


def test_the_adapters_weights_have_a_seed_of_their_own(tmp_path):
    trial = load(tmp_path, "base.adapter=lora").trials[0]
    _, first = attach_adapter(trial, small_registry(), build(trial))
    _, second = attach_adapter(trial, small_registry(), build(trial))
    assert all(torch.equal(*pair) for pair in zip(first, second, strict=True))


def test_bytes_are_those_of_every_weight_and_buffer_once():
    model = nn.Sequential(nn.Linear(3, 5), nn.Linear(3, 5))
    model[1].weight = model[0].weight
    model.register_buffer("whole", torch.zeros(7, dtype=torch.int8))
    model.register_buffer("passing", torch.zeros(100), persistent=False)
    assert count_bytes(model) == 4 * (15 + 5 + 5) + 7
    assert count_parameters(model) == 25


def test_parts_that_train_are_told_apart_from_the_adapters_own(tmp_path):
    trial = load(tmp_path, "base.adapter={name: lora, rank: 2}", "base.fusion=gated").trials[0]
    model = build(trial)
    _, adapted = attach_adapter(trial, small_registry(), model)
    phase = trial.phases[0].model_copy(update={"train": ("language_model", "adapter")})
    parts = trainable(model, phase, adapted)
    assert not {id(each) for each in parts["language_model"]} & {id(each) for each in parts["adapter"]}
    training = {id(each) for each in itertools.chain(*parts.values())}
    for name, parameter in model.named_parameters():
        assert parameter.requires_grad == (id(parameter) in training) == name.startswith("language_model")
