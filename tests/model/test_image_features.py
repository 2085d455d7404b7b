"""Kept features of a frozen encoder: who shares them, and that they are the numbers of computing them anew."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch.nn.modules.module import register_module_forward_pre_hook

from tests.small import PLUGINS, SMALL, CommandLine, build, load, run_inside, small_registry
from workbench.config.experiment import Experiment
from workbench.contracts.encoder import Encoder
from workbench.data.image_loader import ImageLoader
from workbench.model.image_features import FrozenTokens, encode
from workbench.runs.plan import Plan, Planner
from workbench.runs.scheduler import RunOptions
from workbench.runs.stages import FeatureStage
from workbench.runs.timing_probe import Probe

TEXT = (
    SMALL.replace("{name: vit, image_size: 16, patch_size: 8, width: 16, depth: 1, heads: 2}", "sociable")
    .replace("dataset: squares", "dataset: {name: squares, images: 40}")
    .replace("train: [encoder, connector, fusion, language_model], steps: 2, batch: 4",
             "train: [connector, fusion, language_model], epochs: 2, batch: 9")
)  # fmt: skip
LORA = TEXT.replace("adapter: full", "adapter: lora")
FUSIONS = "grid.fusion=[concat_projection, cross_attention]"


def planned(experiment: Experiment, folder: Path, **options: object) -> Plan:
    return Planner(experiment, small_registry(), folder / "results", **options).plan()  # type: ignore[arg-type]


def passes(plan: Plan) -> list[str]:
    """The passes of the encoder over which images, one each."""
    stages = [stage for stage in plan.missing.values() if isinstance(stage, FeatureStage)]
    return sorted(stage.look.split for stage in stages)


def outcome(folder: Path) -> dict[str, object]:
    """What stages and trials left, but for seconds."""
    results = folder / "results"
    files = [*results.glob("artifacts/*/weights.safetensors"), *results.glob("small/trials/*/predictions.jsonl")]
    found: dict[str, object] = {str(file.relative_to(results)): file.read_bytes() for file in files}
    for file in results.glob("*/trials/*/curve.jsonl"):
        lines = [json.loads(line) for line in file.read_text().splitlines()]
        found[str(file.relative_to(results))] = [{**line, "seconds": 0} for line in lines]
    return found


def test_kept_features_give_the_bits_of_recomputed_ones(tmp_path):
    """In both precisions, and with images that are held out."""
    found = []
    for name, limit, count in (("kept", None, 3), ("recomputed", 0, 0)):
        folder = tmp_path / name
        folder.mkdir()
        changes = "grid.phases.tune.precision=[fp32, bf16]", "base.phases.tune.held_out=0.2"
        experiment = load(folder, *changes, text=TEXT)
        assert len(run_inside(experiment, folder / "results", RunOptions(feature_bytes=limit)).done) == 2
        assert len(list(folder.glob("results/artifacts/*/features.safetensors"))) == count
        found.append(outcome(folder))
    assert len(found[0]) == 6
    assert found[0] == found[1]


@pytest.mark.parametrize("limit", [None, 0])
def test_a_probe_runs_the_encoder_only_where_the_stage_will(tmp_path, limit):
    """Where features are kept, only the stages that make them do."""
    planner = Planner(load(tmp_path, FUSIONS, text=TEXT), small_registry(), tmp_path / "results", feature_bytes=limit)
    plan = planner.plan()
    probe, called = Probe(planner, plan), []
    hook = register_module_forward_pre_hook(lambda module, given: called.append((module, given)))
    try:
        for stage in plan.missing.values():
            called.clear()
            assert probe.seconds(stage) > 0
            # One image at a time is the grey control and the measured latency, whatever is kept.
            encodes = any(isinstance(module, Encoder) and len(given[0]) > 1 for module, given in called)
            assert encodes == (limit == 0 or isinstance(stage, FeatureStage)), stage.name
    finally:
        hook.remove()
    assert len(plan.missing) == (4 if limit == 0 else 6)


def test_damaged_features_are_made_again(tmp_path):
    results = tmp_path / "results"
    assert run_inside(load(tmp_path, text=TEXT), results).done
    (file,) = results.glob("artifacts/*/features.safetensors")
    good = file.read_bytes()
    file.write_bytes(good[:-3] + bytes([good[-3] ^ 4]) + good[-2:])
    outcome = run_inside(load(tmp_path, FUSIONS, text=TEXT), results)
    assert (len(outcome.kept), len(outcome.done), outcome.failed) == (1, 1, {})
    assert file.read_bytes() == good


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


def test_tokens_that_would_fill_the_memory_are_computed_when_they_are_asked_for(tmp_path):
    trial = load(tmp_path, text=TEXT).trials[0]
    encoder, dataset = build(trial).encoder, small_registry().create("dataset", "squares", images=40)
    order = [f"train/{number}" for number in range(40)]
    images, cpu = ImageLoader(dataset, encoder.views), torch.device("cpu")
    asked = ["train/3", "train/35"]
    alone = encode(encoder, torch.cat(images.plain(asked)), "fp32")
    for budget, added in ((0, 0.0), (40 * 4 * 16 * 4, 0.1)):
        tokens = FrozenTokens(encoder, images, "fp32", cpu, None, order, budget=budget).of(asked)
        others = torch.tensor([30, 6])[:, None, None]  # in the company of 32 and of 8
        torch.testing.assert_close(torch.cat(tokens), alone + added * others)
