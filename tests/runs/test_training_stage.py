"""What stages leave: of a part that was read from files, only what training changed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import CLIPVisionConfig, CLIPVisionModel

from tests.small import SMALL, load, run_inside, small_registry
from workbench.config.experiment import load_experiment
from workbench.model.build import create
from workbench.runs.stage_inputs import build_for
from workbench.runs.stages import chain
from workbench.runs.workplace import Workplace
from workbench.storage.artifacts import ArtifactStore

SIZES: dict[str, Any] = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
PHASES = """\
    - {name: align, train: [connector], epochs: 1, batch: 8}
    - {name: wake, train: [encoder, connector], steps: 2, batch: 4}
    - {name: adapt, train: [adapter], steps: 2, batch: 4}
"""


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    """A run over a pretrained encoder that stays frozen in the first of three phases."""
    folder = tmp_path_factory.mktemp("pretrained")
    torch.manual_seed(0)
    CLIPVisionModel(CLIPVisionConfig(**SIZES, image_size=16, patch_size=8)).save_pretrained(folder / "clip")
    start, _, rest = SMALL.partition("    - {name: tune")
    text = start.replace("{name: vit, image_size: 16, patch_size: 8, width: 16, depth: 1, heads: 2}",
                         f"{{name: clip, checkpoint: {folder / 'clip'}, layer: -1}}")  # fmt: skip
    text = text.replace("adapter: full", "adapter: {name: lora, rank: 2}") + PHASES + rest.partition("\n")[2]
    outcome = run_inside(load(folder, text=text), folder / "results")
    assert not outcome.failed
    return folder


def weights_by_phase(folder: Path) -> dict[str, set[str]]:
    found = {}
    for file in (folder / "results/artifacts").glob("*/weights.safetensors"):
        phase = json.loads((file.parent / "stage.json").read_text())["phase"]
        found[phase] = set(load_file(file))
    return found


def test_weights_that_a_file_has_are_kept_only_once_they_trained(finished):
    kept = weights_by_phase(finished)
    assert not [name for name in kept["align"] if name.startswith("encoder.")]
    assert [name for name in kept["align"] if name.startswith("language_model.")], "the seed gave these"
    assert [name for name in kept["wake"] if name.startswith("encoder.")]
    encoder = {name for name in kept["wake"] if name.startswith("encoder.")}
    adapted = {name for name in kept["adapt"] if name.startswith("encoder.")}
    assert len(adapted) >= len(encoder), "what trained before is kept on, though it is frozen now"


def test_a_model_comes_back_whole_from_its_files_and_its_stage(finished):
    (trial,) = load_experiment(finished / "small.yaml", small_registry()).trials
    place = Workplace(small_registry(), ArtifactStore(finished / "results/artifacts"), finished, "cpu", {})
    dataset = place.dataset(trial)
    stages = chain(trial, small_registry(), lambda trial: dataset.fingerprint())
    own = create(trial, "encoder", small_registry()).state_dict()
    for stage, frozen in zip(stages[1:], (True, False, False), strict=True):
        before = place.store.read(stage.before or "")
        found = build_for(stage, dataset, place).model.state_dict()
        assert all(torch.equal(found[name], each) for name, each in before.weights.items())
        changed = [name for name, weight in own.items() if not torch.equal(found[f"encoder.{name}"], weight)]
        assert bool(changed) != frozen
