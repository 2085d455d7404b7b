"""Keys of stages: equal work has equal keys, and whatever changes the outcome changes the key."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.small import PLUGINS, SMALL, load, small_registry, write
from workbench.config.experiment import Experiment, load_experiment
from workbench.config.trial import Trial
from workbench.model.build import build_dataset
from workbench.registry import Registry, load_registry
from workbench.runs.stages import Stage, chain

CONTRAST = "    - {name: contrast, objective: contrastive, tasks: [captions], train: [encoder], steps: 2}\n"
TUNE = "    - {name: tune, train: [encoder, connector, fusion, language_model], steps: 2, batch: 4, precision: fp32}\n"
ADAPT = "    - {name: adapt, train: [adapter], steps: 2}\n"
THREE = SMALL.replace(TUNE, CONTRAST + TUNE + ADAPT)


def data_of(trial: Trial) -> str:
    return build_dataset(trial, small_registry()).fingerprint()


def chains(experiment: Experiment, data: Callable[[Trial], str] = data_of) -> list[list[Stage]]:
    return [chain(trial, small_registry(), data) for trial in experiment.trials]


def keys(experiment: Experiment, data: Callable[[Trial], str] = data_of) -> list[list[str]]:
    return [[stage.key for stage in stages] for stages in chains(experiment, data)]


def shared(experiment: Experiment) -> list[int]:
    """For each stage of the chain, how many different ones the trials have."""
    return [len(set(column)) for column in zip(*keys(experiment), strict=True)]


def test_a_trial_is_its_phases_in_order_and_then_its_evaluation(tmp_path):
    stages = chains(load(tmp_path, text=THREE))[0]
    assert [stage.name for stage in stages] == ["contrast", "tune", "adapt", "evaluate"]
    assert [stage.index for stage in stages] == [0, 1, 2, 3]
    assert [stage.evaluates for stage in stages] == [False, False, False, True]
    assert [stage.encoder_only for stage in stages] == [True, False, False, False]
    assert [stage.before for stage in stages] == [None, *(stage.key for stage in stages[:-1])]


def hashed(made_of: dict[str, str]) -> str:
    text = "\n".join(f"{name}={value}" for name, value in sorted(made_of.items()))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def test_a_key_is_the_hash_of_all_a_stage_is_made_of(tmp_path):
    for stages in chains(load(tmp_path, "grid.quantizer=[none, int8]", text=THREE)):
        for stage in stages:
            own = {name: stage.made_of[name] for name in ("settings", "before")}
            others = {name: value for name, value in stage.made_of.items() if name not in own}
            assert stage.key == hashed({**own, "shared": hashed(others)})
            assert stage.made_of["before"] == (stage.before or "")
            assert f"code:workbench/{'evaluation/evaluate' if stage.evaluates else 'training/loop'}.py" in stage.made_of


def test_keys_are_the_same_each_time(tmp_path):
    assert keys(load(tmp_path, text=THREE)) == keys(load(tmp_path, text=THREE))


def test_a_trial_without_phases_is_evaluated_as_it_starts(tmp_path):
    stages = chains(load(tmp_path, "base.phases=[]"))[0]
    assert [(stage.name, stage.before, stage.evaluates) for stage in stages] == [("evaluate", None, True)]


# What the trials of a grid share: the number of different keys of contrast, tune, adapt, evaluate.
AXES = {
    "grid.quantizer=[none, int8]": [1, 1, 1, 2],
    "grid.adapter=[full, lora]": [1, 1, 2, 2],
    "grid.fusion=[concat_projection, gated]": [1, 2, 2, 2],
    "grid.connector=[linear, mlp]": [1, 2, 2, 2],
    "grid.language_model.depth=[1, 2]": [1, 2, 2, 2],
    "grid.encoder.depth=[1, 2]": [2, 2, 2, 2],
    "grid.dataset.images=[16, 12]": [2, 2, 2, 2],
    "seeds=[0, 1]": [2, 2, 2, 2],
    "grid.phases.contrast.rate=[0.001, 0.01]": [2, 2, 2, 2],
    "grid.phases.tune.rate=[0.001, 0.01]": [1, 2, 2, 2],
    "grid.phases.adapt.rate=[0.001, 0.01]": [1, 1, 2, 2],
    "grid.evaluation.max_new_tokens=[2, 3]": [1, 1, 1, 2],
    "grid.prompt=['<image>{question}', '{question}']": [1, 2, 2, 2],
}


# The same for a quantizer axis, by which phases are quantized.
QUANTIZED = {
    ("adapt",): [1, 1, 2, 2],
    ("tune",): [1, 2, 2, 2],  # and with it what comes after
    ("tune", "adapt"): [1, 2, 2, 2],
}


@pytest.mark.parametrize("phases", QUANTIZED)
def test_a_quantizer_axis_shares_what_comes_before_the_first_quantized_phase(tmp_path, phases):
    settings = [f"base.phases.{phase}.quantized=true" for phase in phases]
    assert shared(load(tmp_path, "grid.quantizer=[none, int8]", *settings, text=THREE)) == QUANTIZED[phases]


@pytest.mark.parametrize("axis", AXES)
def test_an_axis_shares_all_stages_before_the_one_it_changes(tmp_path, axis):
    assert shared(load(tmp_path, axis, text=THREE)) == AXES[axis]


# What one change of the experiment does to the keys of a trial: which of the four stages are the same as before.
CHANGES = {
    "metrics=[loss]": [True, True, True, False],
    "evaluation.limit=4": [True, True, True, False],
    "base.quantizer=int8": [True, True, True, False],
    "question=Something else?": [True, True, True, True],
    "name=another": [True, True, True, True],
    "base.phases.contrast.steps=3": [False, False, False, False],
    "base.phases.tune.precision=bf16": [True, False, False, False],
    "base.phases.adapt.name=fit": [True, True, False, False],
    "base.phases.tune.only={encoder: vit}": [True, True, True, True],
    "base.phases.tune.run=true": [True, True, True, True],
    "base.phases.adapt.quantized=true": [True, True, False, False],
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_makes_new_only_what_it_touches(tmp_path, change):
    before, after = keys(load(tmp_path, text=THREE))[0], keys(load(tmp_path, change, text=THREE))[0]
    assert [old == new for old, new in zip(before, after, strict=True)] == CHANGES[change]


def test_a_contrastive_phase_that_something_came_before_is_of_the_whole_model(tmp_path):
    experiment = load(tmp_path, "grid.fusion=[concat_projection, gated]", text=SMALL.replace(TUNE, TUNE + CONTRAST))
    assert shared(experiment) == [2, 2, 2]
    assert not any(stage.encoder_only for stages in chains(experiment) for stage in stages)


def test_other_data_makes_every_stage_new(tmp_path):
    experiment = load(tmp_path, text=THREE)
    before, after = keys(experiment)[0], keys(experiment, lambda trial: "other data")[0]
    assert not set(before) & set(after)


def test_trials_of_equal_work_share_it_across_experiments(tmp_path):
    first = load(tmp_path, "name=first", "grid.fusion=[concat_projection, gated]", text=THREE)
    second = load(tmp_path, "name=second", "grid.quantizer=[none, int8]", text=THREE)
    assert keys(first)[0] == keys(second)[0]


@pytest.fixture
def own_plugins(tmp_path) -> Path:
    folder = tmp_path / "mine"
    shutil.copytree(PLUGINS, folder, ignore=shutil.ignore_patterns("__pycache__"))
    return folder


def test_a_plugin_whose_source_changed_makes_its_stages_new(tmp_path, own_plugins):
    file = write(tmp_path, THREE.replace("concat_projection", "no_number"))

    def fresh() -> list[str]:
        registry: Registry = load_registry([own_plugins])
        trial = load_experiment(file, registry).trials[0]
        return [stage.key for stage in chain(trial, registry, lambda trial: "data")]

    before = fresh()
    with (own_plugins / "trouble.py").open("a") as source:
        source.write("# a comment makes nothing stale\n")
    assert fresh() == before
    with (own_plugins / "trouble.py").open("a") as source:
        source.write("ANOTHER = 1\n")
    after = fresh()
    assert [old == new for old, new in zip(before, after, strict=True)] == [True, False, False, False]
    with (own_plugins / "squares.py").open("a") as source:
        source.write("ANOTHER = 1\n")
    assert not set(after) & set(fresh())


def with_weights(folder: Path, written: str, value: bytes = b"numbers") -> Experiment:
    """An experiment in `folder/files` whose encoder begins with `folder/weights.pt`, `written` in its way."""
    (folder / "files").mkdir(parents=True, exist_ok=True)
    (folder / "weights.pt").write_bytes(value)
    text = SMALL.replace("{name: vit, image_size: 16, patch_size: 8, width: 16, depth: 1, heads: 2}", "sociable")
    return load(folder / "files", f"base.encoder.weights={written}", text=text)


def test_moving_experiment_and_weights_together_changes_no_key(tmp_path):
    here, there = (with_weights(tmp_path / name, "../weights.pt") for name in ("here", "there"))
    assert keys(here) == keys(there)
    assert [trial.id for trial in here.trials] == [trial.id for trial in there.trials]
    assert "file:../weights.pt" in chains(there)[0][0].made_of
    assert keys(with_weights(tmp_path / "there", "../weights.pt", b"others")) != keys(here)


def test_weights_with_an_absolute_place_may_stay_when_the_experiment_moves(tmp_path):
    weights = tmp_path / "here" / "weights.pt"
    here, there = (with_weights(tmp_path / name, str(weights)) for name in ("here", "there"))
    assert keys(here) == keys(there)
    assert f"file:{weights}" in chains(there)[0][0].made_of
