"""An index of shards names files beside it, and nothing else."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from workbench.checkpoints.transformers_models import read_pretrained
from workbench.checkpoints.weights import CheckpointError, read_weights


def index_of(folder: Path, shard: object) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    index = folder / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"wte.weight": shard}}))
    return index


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    """Weights that are none of the checkpoint's."""
    save_file({"wte.weight": torch.zeros(2)}, tmp_path / "secret.safetensors")
    return tmp_path / "secret.safetensors"


@pytest.mark.parametrize("name", ["../secret.safetensors", "a/../../secret.safetensors", "{absolute}"])
def test_a_shard_that_leads_out_of_the_folder_is_refused_with_its_weight(tmp_path, elsewhere, name):
    index = index_of(tmp_path / "checkpoint", name.format(absolute=elsewhere))
    for read in (
        lambda: read_weights(index),
        lambda: read_pretrained("AutoModelForCausalLM", index.parent),
    ):
        with pytest.raises(CheckpointError, match="has .* for 'wte.weight', which leads out of its folder") as told:
            read()
        assert str(told.value).startswith(f"{index}: 'weight_map'")


def test_a_link_beside_the_index_is_its_owners(tmp_path, elsewhere):
    """As in the hub's cache, where a snapshot is links to blobs."""
    index = index_of(tmp_path / "snapshots/abc", "model-00001-of-00001.safetensors")
    (index.parent / "model-00001-of-00001.safetensors").symlink_to(elsewhere)
    assert set(read_weights(index)) == {"wte.weight"}


@pytest.mark.parametrize("shard", ["model.safetensors.index.json", "a\0b", 3, None, ["a"]])
def test_what_is_no_name_of_weights_is_told(tmp_path, shard):
    with pytest.raises(CheckpointError, match="is no file of weights|is not an index of shards"):
        read_weights(index_of(tmp_path, shard))
