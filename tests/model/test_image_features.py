"""Kept features of a frozen encoder: who shares them, and that they are the numbers of computing them anew."""

from __future__ import annotations

import json
from pathlib import Path

import torch

from tests.small import SMALL, build, load, run_inside, small_registry
from workbench.data.image_loader import ImageLoader
from workbench.model.image_features import FrozenTokens, encode
from workbench.runs.scheduler import RunOptions

TEXT = (
    SMALL.replace("{name: vit, image_size: 16, patch_size: 8, width: 16, depth: 1, heads: 2}", "sociable")
    .replace("dataset: squares", "dataset: {name: squares, images: 40}")
    .replace("train: [encoder, connector, fusion, language_model], steps: 2, batch: 4",
             "train: [connector, fusion, language_model], epochs: 2, batch: 9")
)  # fmt: skip
FUSIONS = "grid.fusion=[concat_projection, cross_attention]"


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


def test_damaged_features_are_made_again(tmp_path):
    results = tmp_path / "results"
    assert run_inside(load(tmp_path, text=TEXT), results).done
    (file,) = results.glob("artifacts/*/features.safetensors")
    good = file.read_bytes()
    file.write_bytes(good[:-3] + bytes([good[-3] ^ 4]) + good[-2:])
    outcome = run_inside(load(tmp_path, FUSIONS, text=TEXT), results)
    assert (len(outcome.kept), len(outcome.done), outcome.failed) == (1, 1, {})
    assert file.read_bytes() == good


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
