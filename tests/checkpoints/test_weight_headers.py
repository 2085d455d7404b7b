"""A checkpoint that is not whole is told by its headers, before any weight is read."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from tests.checkpoints.test_weights import save_legacy, save_safetensors, save_sharded, save_torch, weights
from tests.pretrained import reference, save
from tests.tiny import builtin_registry, texts
from workbench.checkpoints.hugging_face import checkpoint_folder
from workbench.checkpoints.tokenizer import Corpus
from workbench.checkpoints.weight_headers import check_weight_file
from workbench.checkpoints.weights import CheckpointError
from workbench.registry import resolve_options
from workbench.runs.meta_device import without_numbers

FIRST, SECOND = (f"model-0000{number}-of-00002.safetensors" for number in (1, 2))


def save_torch_shards(folder: Path) -> Path:
    names = list(weights())
    for number, shard in enumerate((names[:2], names[2:])):
        torch.save({name: weights()[name] for name in shard}, folder / f"pytorch_model-{number}.bin")
    index = folder / "pytorch_model.bin.index.json"
    places = {name: f"pytorch_model-{int(name in names[2:])}.bin" for name in names}
    index.write_text(json.dumps({"weight_map": places}))
    return index


def cut(file: Path, by: int) -> None:
    file.write_bytes(file.read_bytes()[:-by])


@pytest.mark.parametrize("made", [save_sharded, save_safetensors, save_torch, save_legacy, save_torch_shards])
def test_a_whole_file_of_every_format_is_taken(tmp_path, made):
    check_weight_file(made(tmp_path))


@pytest.mark.parametrize("lost", [FIRST, SECOND])
def test_a_missing_shard_is_named_with_its_index(tmp_path, lost):
    index = save_sharded(tmp_path)
    (tmp_path / lost).unlink()
    with pytest.raises(CheckpointError, match=rf"{index.name} names the shard {lost}, which is not there"):
        check_weight_file(index)


@pytest.mark.parametrize("made", [save_safetensors, save_torch])
@pytest.mark.parametrize("by", [1, 30])
def test_a_file_that_was_cut_off_is_named(tmp_path, made, by):
    file = made(tmp_path)
    cut(file, by)
    with pytest.raises(CheckpointError, match=rf"{file.name} is damaged"):
        check_weight_file(file)


@pytest.mark.parametrize("content", [b"", b"PK", b"\xff" * 20, b"\x02" + b"\0" * 7 + b"{}x", b"<html>404</html>"])
def test_what_is_no_safetensors_file_is_named(tmp_path, content):
    (tmp_path / "model.safetensors").write_bytes(content)
    with pytest.raises(CheckpointError, match=r"model\.safetensors is damaged"):
        check_weight_file(tmp_path / "model.safetensors")


def test_a_shard_that_was_cut_off_is_named(tmp_path):
    index = save_sharded(tmp_path)
    cut(tmp_path / SECOND, 1)
    with pytest.raises(CheckpointError, match=rf"{SECOND} is damaged"):
        check_weight_file(index)


@pytest.mark.parametrize("made", [save_sharded, save_torch_shards])
def test_an_index_of_another_checkpoint_is_told_with_what_is_lacking(tmp_path, made):
    index = made(tmp_path)
    content = json.loads(index.read_text())
    content["weight_map"]["head.weight"] = next(iter(content["weight_map"].values()))
    index.write_text(json.dumps(content))
    with pytest.raises(CheckpointError, match=r"holds head\.weight, and it does not"):
        check_weight_file(index)


@pytest.mark.parametrize(
    "text", ["{", "[]", "{}", '{"weight_map": 3}', '{"weight_map": {}}', '{"weight_map": {"a": 3}}']
)
def test_an_index_that_lists_no_shards_is_told_apart(tmp_path, text):
    (tmp_path / "model.safetensors.index.json").write_text(text)
    with pytest.raises(CheckpointError, match="is not an index of shards"):
        check_weight_file(tmp_path / "model.safetensors.index.json")


@pytest.mark.parametrize("harm", ["missing", "cut", "renamed"])
@pytest.mark.parametrize("name", ["huggingface", "llama"])
def test_a_decoder_of_such_a_checkpoint_is_refused_without_its_weights(tmp_path, name, harm):
    model = reference("Llama")
    save(model, tmp_path)
    (tmp_path / "model.safetensors").unlink()
    model.save_pretrained(tmp_path, max_shard_size="30KB")
    shard = sorted(tmp_path.glob("model-*.safetensors"))[1]
    match harm:
        case "missing":
            shard.unlink()
        case "cut":
            cut(shard, 8)
        case "renamed":
            save_file({"other": torch.zeros(2)}, shard)
    plugin = builtin_registry().plugin("language_model", name)
    options = resolve_options(plugin, {"checkpoint": str(tmp_path)})
    with without_numbers(), pytest.raises(CheckpointError, match=shard.name):
        plugin.factory(Corpus(texts), **options)
    with pytest.raises(CheckpointError, match=shard.name):
        checkpoint_folder(str(tmp_path))
