"""Sizes that are found without weights are those of the models built for real, and cost little."""

from __future__ import annotations

import time

from tests.small import SMALL, build, load, small_registry
from workbench.config.experiment import Experiment
from workbench.model.build import attach_adapter, count_parameters, trainable
from workbench.runs.compatibility import Compatibility

FUSIONS = ("concat_projection", "cross_attention", "gated", "bidirectional")
ENCODERS = (
    "{name: vit, image_size: 16, patch_size: 8, width: 16, depth: 1, heads: 2}",
    "{name: clip, image_size: 16, patch_size: 8, width: 16, depth: 2, heads: 2}",
)
ADAPTERS = ("full", "{name: lora, rank: 2}", "weighing")
ADAPT = "    - {name: adapt, train: [adapter], steps: 1}\n"


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
    sizes = Compatibility(small_registry()).sizes_of(experiment.trials)
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
    size = Compatibility(small_registry()).sizes_of([trial])[trial.id]
    assert (size.parameters, size.trainable) == (count_parameters(build(trial)), 0)


def test_seeds_and_lengths_of_phases_cost_no_more_models(tmp_path):
    few = wide(tmp_path)
    many = wide(tmp_path, "seeds=[0, 1, 2, 3, 4, 5, 6, 7]", "grid.phases.tune.steps=[1, 2, 3, 4, 5]")
    assert len(many.trials) == 40 * len(few.trials)
    Compatibility(small_registry()).sizes_of(few.trials)
    seconds = [_seconds(few), _seconds(many)]
    assert seconds[1] < 3 * seconds[0] + 0.5


def _seconds(experiment: Experiment) -> float:
    started = time.process_time()
    Compatibility(small_registry()).sizes_of(experiment.trials)
    return time.process_time() - started


def test_components_that_look_at_numbers_are_measured_all_the_same(tmp_path):
    experiment = load(tmp_path, "base.encoder=numerical", "base.adapter=weighing", "base.quantizer=measuring")
    trial = experiment.trials[0]
    assert Compatibility(small_registry()).sizes_of([trial])[trial.id].parameters == count_parameters(build(trial))


def test_a_plan_knows_whether_a_quantizer_changes_the_encoder(tmp_path):
    experiment = load(tmp_path, "grid.quantizer=[none, int8, {name: int8, exclude: ['encoder.*']}]")
    sizes = Compatibility(small_registry()).sizes_of(experiment.trials)
    assert [sizes[trial.id].quantizes_encoder for trial in experiment.trials] == [False, True, False]
