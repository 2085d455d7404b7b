"""A phase of training against its definition: what moves, how fast, on what, and what stays as it was."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from torch import nn

from tests.small import build, load, small_registry
from tests.training.phases import ALL, Squares, data_for, moved, phase_of, trained
from workbench.errors import UserError
from workbench.model.build import attach_adapter
from workbench.model.vision_language_model import VisionLanguageModel
from workbench.training.loop import Training, train


@pytest.mark.parametrize("name", ALL)
def test_only_the_parts_that_train_move_and_the_others_keep_every_bit(tmp_path, name):
    model = build(load(tmp_path, "base.fusion=cross_attention").trials[0])
    for parameter in model.fusion.parameters():  # open, so that gradients pass
        nn.init.normal_(parameter, std=0.2)
    before = copy.deepcopy(model)
    trained(model, train=(name,), steps=2, warmup=0.0, rate=1e-2, weight_decay=0.0)
    changes = moved(before, model)
    assert {part.partition(".")[0] for part, change in changes.items() if change > 0} == {name}
    for part, buffer in model.named_buffers():
        assert torch.equal(buffer, before.get_buffer(part))


def test_each_part_moves_at_its_own_rate(model):
    """The first step of Adam moves every entry that has a gradient by its rate, whatever the gradient's size."""
    before = copy.deepcopy(model)
    rates = {"encoder": 1e-4, "connector": 1e-2, "language_model": 1e-3}
    trained(model, train=tuple(rates), rate=rates, steps=1, warmup=1.0, weight_decay=0.0)
    changes = moved(before, model)
    for part, rate in rates.items():
        largest = max(change for name, change in changes.items() if name.startswith(part))
        assert largest == pytest.approx(rate, rel=2e-2)


def test_steps_are_those_of_torchs_AdamW_on_clipped_gradients(model):
    twin, dataset = copy.deepcopy(model), Squares(small_registry().create("dataset", "squares"))
    phase = phase_of(steps=3, rate=1e-2, warmup=1.0, weight_decay=0.1, clip=0.5)
    train(model, [], phase, data_for(model, dataset), 0, lambda step: None)
    taken = list(dataset.opened)  # in the order of the batches, which hold no image twice in one pass
    norms = _steps_by_hand(twin, [taken[:4], taken[4:8], taken[8:]], [1e-2 / 3, 2e-2 / 3, 1e-2])
    assert min(norms) > 0.5, "the gradients were large enough to be clipped"
    for (name, mine), theirs in zip(model.named_parameters(), twin.parameters(), strict=True):
        if not name.endswith("qkv.bias"):  # a key's bias has no gradient: Adam makes steps of its rounding errors
            torch.testing.assert_close(mine, theirs, rtol=0, atol=1e-4, msg=lambda told, name=name: f"{name}: {told}")


def _steps_by_hand(model: VisionLanguageModel, batches: list[list[str]], rates: list[float]) -> list[float]:
    """The steps above written out: gradients scaled to norm 0.5; returns their norms before."""
    data, parameters = data_for(model), list(model.train().parameters())
    matrices = {"params": [each for each in parameters if each.ndim > 1], "weight_decay": 0.1}
    vectors = {"params": [each for each in parameters if each.ndim <= 1], "weight_decay": 0.0}
    optimizer = torch.optim.AdamW([matrices, vectors], betas=(0.9, 0.98))
    examples, norms = data.dataset.examples("train", "questions"), []
    for keys, rate in zip(batches, rates, strict=True):
        questions = [[each for each in examples if each.image == key] for key in keys]
        optimizer.zero_grad()
        model.loss(data.collate(torch.cat(data.images.plain(keys)), questions)).backward()
        gradients = [each.grad for each in parameters if each.grad is not None]
        norms.append(math.sqrt(sum(float(each.square().sum()) for each in gradients)))
        for gradient in gradients:
            gradient.mul_(0.5 / norms[-1])
        for group in optimizer.param_groups:
            group["lr"] = rate
        optimizer.step()
    return norms


def test_a_phase_of_epochs_sees_as_many_images(model):
    summary, curve = trained(model, steps=None, epochs=1.5)
    assert (summary.steps, summary.images, summary.examples) == (6, 24, 72)
    assert len(curve) == 6
    assert summary.trainable_parameters == sum(map(torch.numel, model.parameters()))


def test_the_same_seed_gives_the_same_bits_and_another_seed_others(model):
    twin, other = copy.deepcopy(model), copy.deepcopy(model)
    trained(model, seed=4, steps=3, questions=2)
    trained(twin, seed=4, steps=3, questions=2)
    trained(other, seed=5, steps=3, questions=2)
    for (name, mine), same in zip(model.named_parameters(), twin.parameters(), strict=True):
        assert torch.equal(mine, same), name
    assert max(moved(model, other).values()) > 1e-5


def test_an_adapter_inside_the_encoder_trains_though_the_encoder_is_frozen(tmp_path):
    trial = load(tmp_path, "base.adapter={name: lora, rank: 2, targets: ['encoder.*']}").trials[0]
    model = build(trial)
    _, adapted = attach_adapter(trial, small_registry(), model)
    before = [each.detach().clone() for each in adapted]
    trained(model, adapted=adapted, train=("adapter",), steps=3, rate=1e-2, warmup=0.0)
    assert adapted
    assert all((new - old).abs().max() > 0 for new, old in zip(adapted, before, strict=True))


def test_lora_leaves_the_base_as_it_was_and_counts_only_its_own_parameters(tmp_path):
    trial = load(tmp_path, "base.adapter={name: lora, rank: 2}").trials[0]
    model = build(trial)
    base = {name: each.detach().clone() for name, each in model.named_parameters()}
    _, adapted = attach_adapter(trial, small_registry(), model)
    summary, _ = trained(model, adapted=adapted, train=("adapter",), steps=2, warmup=0.0, rate=1e-2)
    assert summary.trainable_parameters == sum(map(torch.numel, adapted))
    for name, each in model.named_parameters():
        if name in base:
            assert torch.equal(each, base[name]), name
    assert all(each.grad is not None for each in adapted)


def test_bf16_is_close_to_fp32_and_leaves_the_weights_in_fp32(model):
    twin = copy.deepcopy(model)
    _, full = trained(model, steps=4, rate=1e-3)
    _, half = trained(twin, steps=4, rate=1e-3, precision="bf16")
    assert [each.loss for each in half] == pytest.approx([each.loss for each in full], rel=2e-2)
    assert [each.loss for each in half] != [each.loss for each in full]
    assert {each.dtype for each in twin.parameters()} == {torch.float32}


def test_a_phase_that_trains_what_has_no_parameters_is_refused(model):
    assert not list(model.fusion.parameters())
    with pytest.raises(UserError, match="phase 'tune' trains fusion, where there are no parameters"):
        trained(model, train=("fusion",))


def test_training_ends_in_evaluation_mode(model):
    trained(model)
    assert not any(module.training for module in model.modules())


def test_fp16_is_close_to_fp32_and_leaves_the_weights_in_fp32(model):
    twin = copy.deepcopy(model)
    _, full = trained(model, steps=4, rate=1e-3)
    _, half = trained(twin, steps=4, rate=1e-3, precision="fp16")
    assert [each.loss for each in half] == pytest.approx([each.loss for each in full], rel=1e-2)
    assert [each.loss for each in half] != [each.loss for each in full]
    assert {each.dtype for each in twin.parameters()} == {torch.float32}


def test_fp16_clips_the_gradient_itself_and_not_its_scaled_up_form(model):
    """AdamW does not mind the size of a gradient: what is left in `grad` shows it."""
    training = Training(model, [], phase_of(precision="fp16", clip=0.01), data_for(model), 0)
    training.step()
    gradients = [each.grad for each in model.parameters() if each.grad is not None]
    assert math.sqrt(sum(float(each.square().sum()) for each in gradients)) == pytest.approx(0.01, rel=1e-2)
