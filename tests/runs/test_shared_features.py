"""Which stages read kept features: where an encoder that nothing changes sees the same images again."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from tests.model.test_image_features import FUSIONS, TEXT
from tests.small import PLUGINS, SMALL, CommandLine, load, run_here, run_inside, small_registry
from workbench.config.experiment import Experiment
from workbench.runs.plan import Plan
from workbench.runs.planner import Planner
from workbench.runs.scheduler import RunOptions
from workbench.runs.stages import FeatureStage
from workbench.storage.artifacts import ArtifactStore

LORA = TEXT.replace("adapter: full", "adapter: lora")


def planned(experiment: Experiment, folder: Path, **options: object) -> Plan:
    return Planner(experiment, small_registry(), folder / "results", **options).plan()  # type: ignore[arg-type]


def passes(plan: Plan) -> list[str]:
    """The passes of the encoder over which images, one each."""
    stages = [stage for stage in plan.missing.values() if isinstance(stage, FeatureStage)]
    return sorted(stage.look.split for stage in stages)


def test_features_that_do_not_fit_on_the_disk_are_recomputed_and_the_plan_says_so(tmp_path, monkeypatch, capsys):
    assert passes(planned(load(tmp_path, FUSIONS, text=TEXT), tmp_path)) == ["test", "train"]
    told = CommandLine(tmp_path, monkeypatch, capsys)(
        "plan", "small.yaml", "--plugins", PLUGINS, "--set", FUSIONS, "--features-gb", "0"
    )
    assert "features (" not in told.output
    assert told.output.count("the features of sociable would take 0.0 GB, more than the 0.0 GB that") == 2
    assert "the encoder runs again in each stage that needs them. Give room with --features-gb" in told.output


KEPT = {
    "base.fusion=concat_projection": ["train"],  # two passes of one stage
    "base.phases.tune.epochs=1": [],
    "base.phases.tune.train=[encoder, connector]": [],
    "grid.quantizer=[none, int8]": ["train"],  # quantizing changes what the encoder says
    "grid.quantizer=[none, {name: int8, exclude: ['encoder.*']}]": ["test", "train"],
    "base.dataset=flipped_squares": [],
    "seeds=[0, 1]": ["train", "train"],  # the seed gives the encoder's weights
}


@pytest.mark.parametrize("change", KEPT)
def test_features_are_kept_where_an_encoder_that_does_not_change_passes_twice(tmp_path, change):
    assert passes(planned(load(tmp_path, change, text=TEXT), tmp_path)) == KEPT[change]


def test_an_adapter_inside_the_encoder_uses_no_kept_features(tmp_path):
    for targets, expected in (("encoder.*", []), ("language_model.*", ["test", "train"])):
        adapter = f"base.adapter={{name: lora, targets: ['{targets}']}}"
        experiment = load(tmp_path, FUSIONS, adapter, "base.phases.tune.train=[adapter]", text=TEXT)
        assert passes(planned(experiment, tmp_path)) == expected


def test_an_adapter_behind_the_encoder_shares_what_came_before_it(tmp_path):
    """Both phases and both ranks look at the same images."""
    phases = "    - {name: adapt, train: [adapter], epochs: 1, batch: 9, precision: fp32}\nmetrics:"
    experiment = load(tmp_path, "grid.adapter.rank=[2, 4]", text=LORA.replace("metrics:", phases))
    assert passes(planned(experiment, tmp_path)) == ["test", "train"]


def test_seeds_share_features_when_files_give_the_encoder_its_weights(tmp_path):
    weights = tmp_path / "weights.safetensors"
    save_file({"patches.weight": torch.ones(16, 192), "patches.bias": torch.zeros(16)}, weights)
    experiment = load(tmp_path, "seeds=[0, 1]", f"base.encoder.weights={weights}", text=TEXT)
    plan = planned(experiment, tmp_path)
    assert passes(plan) == ["test", "train"]
    assert len(run_inside(experiment, tmp_path / "results").done) == 2


def test_trials_that_share_nothing_end_with_the_same_answers(tmp_path):
    text = SMALL + "grid:\n  quantizer: [none, int8]\n"
    frozen = text.replace("train: [encoder, ", "train: [").replace("steps: 2", "epochs: 2")
    experiment = load(tmp_path, text=frozen)
    together, apart = tmp_path / "together", tmp_path / "apart"
    run_here(experiment, together)
    run_here(experiment, apart, RunOptions(share=False))
    shared, own = (ArtifactStore(each / "artifacts").names() for each in (together, apart))
    assert len(own) == 2, "a phase for each of the two trials, and no features"
    assert len(shared) > 1 and not set(shared) & set(own)
    for trial in experiment.trials:
        folders = [each / "small/trials" / trial.id for each in (together, apart)]
        first, second = ((folder / "predictions.jsonl").read_bytes() for folder in folders)
        assert first == second
