"""A trial's parts: their seeds, their sizes, and what is said of those that do not fit."""

from __future__ import annotations

import itertools
import time

import pytest
import torch
from torch import nn

from tests.small import SMALL, build, load, small_registry
from workbench.config.experiment import Experiment
from workbench.config.seeds import derived_seed
from workbench.model.build import CompositionError, attach_adapter, count_bytes, count_parameters, trainable
from workbench.runs.compatibility import Bench, sizes_of

FUSIONS = ("concat_projection", "cross_attention", "gated", "bidirectional")
ENCODERS = (
    "{name: vit, image_size: 16, patch_size: 8, width: 16, depth: 1, heads: 2}",
    "{name: clip, image_size: 16, patch_size: 8, width: 16, depth: 2, heads: 2}",
)
ADAPTERS = ("full", "{name: lora, rank: 2}", "weighing")
ADAPT = "    - {name: adapt, train: [adapter], steps: 1}\n"


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


def wide(folder, *overrides: str, text: str = SMALL) -> Experiment:
    """Every encoder, fusion and adapter there is, with a phase that trains the adapter at the end."""
    return load(
        folder,
        f"grid.encoder=[{', '.join(ENCODERS)}]",
        f"grid.fusion=[{', '.join(FUSIONS)}]",
        f"grid.adapter=[{', '.join(ADAPTERS)}]",
        *overrides,
        text=text.replace("metrics:", f"{ADAPT}metrics:"),
    )


def test_sizes_are_those_of_the_models_built_for_real(tmp_path):
    experiment = wide(tmp_path)
    sizes = sizes_of(experiment.trials, Bench(small_registry()))
    assert len(sizes) == 24
    for trial in experiment.trials:
        model = build(trial)
        total = count_parameters(model)
        _, adapted = attach_adapter(trial, small_registry(), model)
        parts = trainable(model, trial.phases[-1], adapted)
        assert sizes[trial.id].parameters == total
        assert sizes[trial.id].trainable == sum(each.numel() for part in parts.values() for each in part)


def test_without_phases_nothing_trains(tmp_path):
    trial = load(tmp_path, "base.phases=[]").trials[0]
    size = sizes_of([trial], Bench(small_registry()))[trial.id]
    assert (size.parameters, size.trainable) == (count_parameters(build(trial)), 0)


def test_seeds_and_lengths_of_phases_cost_no_more_models(tmp_path):
    few = wide(tmp_path)
    many = wide(tmp_path, "seeds=[0, 1, 2, 3, 4, 5, 6, 7]", "grid.phases.tune.steps=[1, 2, 3, 4, 5]")
    assert len(many.trials) == 40 * len(few.trials)
    sizes_of(few.trials, Bench(small_registry()))
    seconds = [_seconds(few), _seconds(many)]
    assert seconds[1] < 3 * seconds[0] + 0.5


def _seconds(experiment: Experiment) -> float:
    started = time.process_time()
    sizes_of(experiment.trials, Bench(small_registry()))
    return time.process_time() - started


def test_components_that_look_at_numbers_are_measured_all_the_same(tmp_path):
    experiment = load(tmp_path, "base.encoder=numerical", "base.adapter=weighing", "base.quantizer=measuring")
    trial = experiment.trials[0]
    assert sizes_of([trial], Bench(small_registry()))[trial.id].parameters == count_parameters(build(trial))


MISFITS = {
    "connector 'picky' cannot be used: it takes tokens 7 wide, not 16": ["base.connector=picky"],
    "connector 'buggy' cannot be used: 'shape' (KeyError in misfits.py, line": ["base.connector=buggy"],
    "fusion 'concat_projection' cannot be used: concat_projection puts image tokens 16 wide between text tokens 32": [
        "base.connector=identity",
        "base.language_model.width=32",
    ],
    "encoder 'vit' cannot be used: patch_size 7 does not divide": ["base.encoder.patch_size=7"],
    "encoder 'vit' cannot be used: 3 heads do not divide the width 16": ["base.encoder.heads=3"],
    "language_model 'gpt' cannot be used: 3 heads do not divide the width 16": ["base.language_model.heads=3"],
    "language_model 'gpt' cannot be used: a byte-level vocabulary": ["base.language_model.vocabulary_size=100"],
    "adapter 'lora' cannot be used: rank 20 of the adapter": [
        "base.adapter={name: lora, rank: 20}",
        "base.phases.tune.train=[adapter]",
    ],
    "adapter 'lora' cannot be used: no linear layer matches": [
        "base.adapter={name: lora, targets: ['nothing.*']}",
        "base.phases.tune.train=[adapter]",
    ],
    "quantizer 'int8' cannot be used: the quantizer 'int8' finds no layer": [
        "base.quantizer={name: int8, include: ['vision.*']}"
    ],
    "encoder 'clip' cannot be used: checkpoint './nowhere/clip.pt' is no file or folder here": [
        "base.encoder={name: clip, checkpoint: ./nowhere/clip.pt}"
    ],
    "phase 'tune' trains fusion, where there are no parameters": ["base.phases.tune.train=[fusion]"],
    "evaluation: the dataset 'squares' has no split 'tset'. Did you mean 'test'? Splits: train, test": [
        "evaluation.split=tset"
    ],
    "evaluation: the dataset 'squares' has no task 'question'. Did you mean 'questions'?": ["evaluation.task=question"],
    "phase 'tune': the dataset 'squares' has no task 'caption'. Did you mean 'captions'? Tasks: questions, captions": [
        "base.phases.tune.tasks=[caption, questions]"
    ],
    "dataset 'squares' cannot be used: the dataset has no training examples": ["base.dataset.images=0"],
    "dataset 'squares' cannot be used: the split 'test' gives 1 image": ["evaluation.limit=1"],
}


@pytest.mark.parametrize("told", MISFITS)
def test_what_does_not_fit_is_told_by_kind_and_name_with_its_trial(tmp_path, told):
    experiment = load(tmp_path, "seeds=[0, 1, 2]", *MISFITS[told])
    with pytest.raises(CompositionError) as error:
        sizes_of(experiment.trials, Bench(small_registry()))
    assert told in str(error.value)
    assert str(error.value).count("\n") == 0
    assert str(error.value).endswith("[trial '0' and 2 more]")


def test_everything_that_does_not_fit_is_told_at_once(tmp_path):
    experiment = load(
        tmp_path,
        "grid.encoder.heads=[2, 3]",
        "grid.connector=[linear, picky]",
        "grid.quantizer=[none, {name: int8, include: ['vision.*']}]",
        "evaluation.task=answers",
    )
    with pytest.raises(CompositionError) as error:
        sizes_of(experiment.trials, Bench(small_registry()))
    lines = str(error.value).split("\n")
    assert len(lines) == 4
    for start in ("evaluation: ", "encoder 'vit'", "connector 'picky'", "quantizer 'int8'"):
        assert sum(line.startswith(start) for line in lines) == 1


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


def test_a_plan_knows_whether_a_quantizer_changes_the_encoder(tmp_path):
    experiment = load(tmp_path, "grid.quantizer=[none, int8, {name: int8, exclude: ['encoder.*']}]")
    sizes = sizes_of(experiment.trials, Bench(small_registry()))
    assert [sizes[trial.id].quantizes_encoder for trial in experiment.trials] == [False, True, False]
