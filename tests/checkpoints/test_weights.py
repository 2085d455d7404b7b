"""Reading weights: every format, and a clear word for each way in which a file is none of them."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from workbench import load_into, read_weights
from workbench.checkpoints.weights import CheckpointError


def weights() -> dict[str, Tensor]:
    return {"up.weight": torch.arange(12.0).view(4, 3), "up.bias": torch.arange(4.0), "down.weight": torch.ones(3, 4)}


class Model(nn.Module):
    """The model of these weights."""

    def __init__(self):
        super().__init__()
        self.up = nn.Linear(3, 4)
        self.down = nn.Linear(4, 3, bias=False)


def save_sharded(folder: Path) -> Path:
    names = list(weights())
    shards = {name: f"model-0000{1 + index % 2}-of-00002.safetensors" for index, name in enumerate(names)}
    for shard in set(shards.values()):
        save_file({name: weights()[name] for name in names if shards[name] == shard}, folder / shard)
    index = folder / "model.safetensors.index.json"
    index.write_text(json.dumps({"metadata": {}, "weight_map": shards}))
    return index


def save_safetensors(folder: Path) -> Path:
    save_file(weights(), folder / "model.safetensors")
    return folder / "model.safetensors"


def save_torch(folder: Path) -> Path:
    torch.save(weights(), folder / "model.bin")
    return folder / "model.bin"


def save_legacy(folder: Path) -> Path:
    torch.save(weights(), folder / "model.pt", _use_new_zipfile_serialization=False)
    return folder / "model.pt"


def save_nested(folder: Path) -> Path:
    torch.save({"epoch": 3, "state_dict": weights()}, folder / "model.pt")
    return folder / "model.pt"


@pytest.mark.parametrize("save", [save_sharded, save_safetensors, save_torch, save_legacy, save_nested])
def test_every_format_gives_the_weights_that_were_saved(tmp_path, save):
    read = read_weights(save(tmp_path))
    assert sorted(read) == sorted(weights())
    for name, weight in weights().items():
        assert torch.equal(read[name], weight)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(CheckpointError, match=r"there is no checkpoint file .*nowhere\.safetensors"):
        read_weights(tmp_path / "nowhere.safetensors")
    with pytest.raises(CheckpointError, match="there is no checkpoint file"):
        read_weights(tmp_path)


@pytest.mark.parametrize("save", [save_safetensors, save_torch, save_legacy])
@pytest.mark.parametrize("kept", [0.0, 0.1, 0.3, 0.6, 0.99])
def test_a_truncated_file_is_told_apart(tmp_path, save, kept):
    file = save(tmp_path)
    content = file.read_bytes()
    file.write_bytes(content[: int(kept * len(content))])
    with pytest.raises(CheckpointError, match=r"model\.\w+ is (damaged|not a plain PyTorch checkpoint)"):
        read_weights(file)


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize("save", [save_torch, save_legacy])
def test_a_file_with_a_changed_byte_is_read_or_told_apart(tmp_path, save):
    file = save(tmp_path)
    content = file.read_bytes()
    chance = random.Random(0)
    refused = 0
    for _ in range(200):
        spoiled = bytearray(content)
        spoiled[chance.randrange(len(content))] = chance.randrange(256)
        file.write_bytes(spoiled)
        try:
            read_weights(file)
        except CheckpointError:
            refused += 1
    assert refused > 20


@pytest.mark.parametrize("name", ["model.safetensors", "model.pt", "model.bin"])
def test_a_file_of_another_kind_is_told_apart(tmp_path, name):
    (tmp_path / name).write_text("<html>404 Not Found</html>")
    with pytest.raises(CheckpointError, match=f"{name} is (damaged|not a plain)"):
        read_weights(tmp_path / name)


class Launcher:
    """Pickles into a call that would write a file."""

    def __init__(self, file: Path):
        self.file = file

    def __reduce__(self):
        return Path.touch, (self.file,)


@pytest.mark.parametrize("zipped", [True, False])
def test_pickled_code_is_refused_and_not_run(tmp_path, zipped):
    torch.save({"up.weight": Launcher(tmp_path / "ran")}, tmp_path / "evil.pt", _use_new_zipfile_serialization=zipped)
    with pytest.raises(CheckpointError, match="holds pickled code, which is not run. Convert it to safetensors"):
        read_weights(tmp_path / "evil.pt")
    assert not (tmp_path / "ran").exists()


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_a_torchscript_archive_says_how_to_convert_it(tmp_path):
    torch.jit.save(torch.jit.script(nn.Linear(2, 2)), str(tmp_path / "script.pt"))
    with pytest.raises(
        CheckpointError, match=r"TorchScript archive.*torch\.save\(torch\.jit\.load\(file\)\.state_dict"
    ):
        read_weights(tmp_path / "script.pt")
    torch.save(torch.jit.load(str(tmp_path / "script.pt")).state_dict(), tmp_path / "plain.pt")
    assert sorted(read_weights(tmp_path / "plain.pt")) == ["bias", "weight"]


@pytest.mark.parametrize("content", [[1, 2], torch.ones(2), {"epoch": 3}, {"weights": weights()}])
def test_a_file_without_weights_by_name_is_told_apart(tmp_path, content):
    torch.save(content, tmp_path / "model.pt")
    with pytest.raises(CheckpointError, match=r"holds no weights by name; save `model\.state_dict\(\)`"):
        read_weights(tmp_path / "model.pt")


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"weight_map": 3}'])
def test_an_index_that_lists_no_shards_is_told_apart(tmp_path, text):
    (tmp_path / "model.safetensors.index.json").write_text(text)
    with pytest.raises(CheckpointError, match="is not an index of shards"):
        read_weights(tmp_path / "model.safetensors.index.json")


def test_a_missing_shard_is_named(tmp_path):
    index = save_sharded(tmp_path)
    (tmp_path / "model-00002-of-00002.safetensors").unlink()
    with pytest.raises(CheckpointError, match="there is no checkpoint file .*00002-of-00002"):
        read_weights(index)


def test_weights_that_fit_are_copied_and_keep_the_models_precision():
    model = Model()
    load_into(model, {name: weight.half() for name, weight in weights().items()}, "here")
    for name, weight in model.state_dict().items():
        assert weight.dtype == torch.float32
        assert torch.equal(weight, weights()[name])


def test_every_misfit_is_told_at_once_and_nothing_is_copied():
    model = Model()
    before = {name: weight.clone() for name, weight in model.state_dict().items()}
    wrong = {"up.weight": torch.zeros(5, 3), "up.bias": torch.zeros(4), "side.bias": torch.zeros(1)}
    with pytest.raises(CheckpointError) as caught:
        load_into(model, wrong, "weights.pt")
    message = str(caught.value)
    assert "weights.pt does not fit" in message
    assert "up.weight is (5, 3) there and (4, 3) here" in message and "options" in message
    assert "lacks down.weight" in message
    assert "does not have: side.bias" in message
    assert "up.bias" not in message
    assert all(torch.equal(weight, before[name]) for name, weight in model.state_dict().items())


def test_a_long_list_of_names_is_cut_and_counted():
    with pytest.raises(CheckpointError, match=r"and 6 more"):
        load_into(nn.ModuleList(nn.Linear(1, 1) for _ in range(5)), {}, "here")


def test_missing_weights_may_be_allowed_by_the_beginning_of_their_names():
    model = Model()
    before = model.down.weight.clone()
    partial = {name: weight for name, weight in weights().items() if name.startswith("up.")}
    load_into(model, partial, "here", allow_missing=("down.",))
    assert torch.equal(model.up.weight, weights()["up.weight"]) and torch.equal(model.down.weight, before)
    with pytest.raises(CheckpointError, match=r"lacks up\.bias$"):
        load_into(model, {"up.weight": partial["up.weight"]}, "here", allow_missing=("down.",))
