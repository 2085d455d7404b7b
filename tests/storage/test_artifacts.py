"""A kept stage comes back as it was written, and a damaged one is told, not used."""

from __future__ import annotations

import json
import multiprocessing
import os
import resource
import shutil
import signal
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.processes import forked
from workbench.storage.artifacts import ArtifactError, ArtifactStore
from workbench.storage.atomic import StorageError
from workbench.storage.stage_summary import _checksum_of

WEIGHTS = {
    "matrix": torch.randn(3, 4, generator=torch.Generator().manual_seed(0)),
    "half": torch.arange(6).to(torch.bfloat16).view(2, 3),
    "whole": torch.tensor([[-127, 127]], dtype=torch.int8),
    "count": torch.tensor(7),
    "empty": torch.zeros(0, 2),
    "strided": torch.arange(6.0).view(2, 3).T,
}
CURVE = [{"phase": "tune", "step": 1, "loss": 0.1 + 0.2}, {"phase": "tune", "step": 2, "loss": 1e-30}]
SUMMARY = {"seconds": 1.5, "examples": 12, "adapter": False}


def written(folder: Path, key: str = "abc") -> ArtifactStore:
    store = ArtifactStore(folder / "artifacts")
    store.write(key, WEIGHTS, '{"words": "é"}', SUMMARY, CURVE)
    return store


def test_what_a_stage_left_comes_back_to_the_last_bit(tmp_path):
    found = written(tmp_path).read("abc")
    assert set(found.weights) == set(WEIGHTS)
    for name, weight in WEIGHTS.items():
        assert found.weights[name].dtype == weight.dtype
        assert torch.equal(found.weights[name], weight)
    assert found.curve == CURVE
    assert found.summary == SUMMARY
    assert found.tokenizer_file is not None
    assert found.tokenizer_file.read_text(encoding="utf-8") == '{"words": "é"}'


def test_a_weight_under_two_names_is_kept_under_both(tmp_path):
    store = ArtifactStore(tmp_path)
    embedding = torch.randn(4, 2)
    store.write("tied", {"embedding": embedding, "head": embedding}, None, SUMMARY, CURVE)
    found = store.read("tied").weights
    assert torch.equal(found["embedding"], embedding)
    assert torch.equal(found["head"], embedding)


def test_weights_that_need_gradients_are_kept_as_plain_numbers(tmp_path):
    store = ArtifactStore(tmp_path)
    layer = torch.nn.Linear(2, 2)
    store.write("abc", layer.state_dict(keep_vars=True), None, {}, [])
    assert torch.equal(store.read("abc").weights["weight"], layer.weight.detach())


def test_a_stage_of_the_encoder_alone_has_no_tokenizer(tmp_path):
    store = ArtifactStore(tmp_path)
    store.write("abc", WEIGHTS, None, SUMMARY, [])
    assert store.read("abc").tokenizer_file is None
    assert store.read("abc").curve == []


def test_a_store_knows_what_it_has(tmp_path):
    store = written(tmp_path)
    assert store.has("abc")
    assert not store.has("abd")
    assert not ArtifactStore(tmp_path / "nowhere").has("abc")


def test_a_stage_written_again_replaces_the_earlier_one(tmp_path):
    store = written(tmp_path)
    store.write("abc", {"matrix": torch.ones(1)}, None, {"seconds": 9.0}, [])
    assert store.read("abc").summary == {"seconds": 9.0}
    assert list(store.read("abc").weights) == ["matrix"]
    assert [folder.name for folder in store.folder.iterdir()] == ["abc"]


def test_a_write_that_breaks_off_leaves_nothing(tmp_path):
    store = ArtifactStore(tmp_path / "artifacts")
    with pytest.raises(TypeError):
        store.write("abc", WEIGHTS, None, {"seconds": object()}, CURVE)
    assert not store.has("abc")
    assert list(store.folder.iterdir()) == []


def test_a_killed_write_is_not_taken_for_a_stage(tmp_path):
    """The process is killed between the weights and the summary."""
    process = forked(write_and_be_killed, tmp_path)
    process.join(60)
    assert process.exitcode == -signal.SIGKILL
    assert list(tmp_path.rglob("weights.safetensors")), "it was killed in the middle"
    store = ArtifactStore(tmp_path)
    assert not store.has("abc")
    store.write("abc", WEIGHTS, None, SUMMARY, CURVE)
    assert store.read("abc").summary == SUMMARY


def write_and_be_killed(root: Path) -> None:
    def curve() -> Any:
        yield {"step": 1}
        os.kill(os.getpid(), signal.SIGKILL)

    ArtifactStore(root).write("abc", {"a": torch.ones(5)}, "{}", {}, curve())  # pyright: ignore[reportArgumentType]


DAMAGE = {
    "truncated weights": lambda folder: _cut(folder / "weights.safetensors"),
    "empty weights": lambda folder: (folder / "weights.safetensors").write_bytes(b""),
    "no weights": lambda folder: (folder / "weights.safetensors").unlink(),
    "foreign weights": lambda folder: (folder / "weights.safetensors").write_bytes(os.urandom(100)),
    "truncated summary": lambda folder: _cut(folder / "stage.json"),
    "truncated curve": lambda folder: _cut(folder / "curve.jsonl"),
    "no curve": lambda folder: (folder / "curve.jsonl").unlink(),
    "a flipped bit in the weights": lambda folder: _flip(folder / "weights.safetensors"),
    "a flipped bit in the summary": lambda folder: _flip(folder / "stage.json"),
    "a flipped bit in the curve": lambda folder: _flip(folder / "curve.jsonl"),
    "summary in another encoding": lambda folder: (folder / "stage.json").write_bytes(b'{"a": "\xff"}'),
}


def _cut(file: Path) -> None:
    content = file.read_bytes()
    file.write_bytes(content[: len(content) - 9])


def _flip(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(bytes(content))


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_stage_is_told_with_its_folder_and_key(tmp_path, damage):
    store = written(tmp_path)
    DAMAGE[damage](store.folder / "abc")
    with pytest.raises(ArtifactError, match=rf"{store.folder / 'abc'} is damaged: ") as raised:
        store.read("abc")
    assert raised.value.key == "abc"


def test_a_stage_in_the_place_of_another_is_none(tmp_path):
    store = written(tmp_path)
    written(tmp_path, "def")
    shutil.rmtree(store.folder / "abc")
    (store.folder / "def").rename(store.folder / "abc")
    assert not store.has("abc")
    with pytest.raises(ArtifactError, match="is damaged: stage.json is that of another stage"):
        store.read("abc")


def test_a_stage_of_an_earlier_version_that_does_not_say_its_key_is_read(tmp_path):
    store = written(tmp_path)
    file = store.folder / "abc/stage.json"
    summary = json.loads(file.read_text())
    del summary["key"], summary["checksum"]
    file.write_text(json.dumps({**summary, "checksum": _checksum_of(summary)}))
    assert store.read("abc").summary == SUMMARY


def test_a_full_disk_leaves_no_half_stage_and_is_told_in_plain_words(tmp_path):
    """A child process may write files of 4 kB at most: the system refuses the rest, as a full disk would."""
    ours, theirs = multiprocessing.Pipe(duplex=False)
    process = forked(write_too_much, tmp_path, theirs)
    theirs.close()
    assert f"cannot write {tmp_path / 'abc'}: the file would be larger than the system allows here" in ours.recv()
    process.join(60)
    assert list(tmp_path.iterdir()) == []


def write_too_much(root: Path, told: Connection) -> None:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
    try:
        ArtifactStore(root).write("abc", {"a": torch.ones(5000)}, None, {}, [])
    except StorageError as error:
        told.send(str(error))


def test_a_store_below_a_file_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="a part of that path is a file"):
        ArtifactStore(tmp_path / "file" / "artifacts").write("abc", WEIGHTS, None, {}, [])


def test_what_forbids_a_stage_leaves_nothing_of_it(tmp_path: Path):
    store, asked = ArtifactStore(tmp_path), []

    def check() -> None:
        asked.append([file.name for file in tmp_path.glob(".*.tmp/*")])
        raise ValueError("it is another one's now")

    store.partial("abc").mkdir(parents=True)
    with pytest.raises(ValueError, match="another one's"):
        store.write("abc", WEIGHTS, None, {}, [], check=check)
    with pytest.raises(ValueError, match="another one's"):
        store.write_features("def", ["a"], torch.ones(1, 1, 1), {}, check)
    assert [sorted(names) for names in asked] == [
        ["curve.jsonl", "stage.json", "weights.safetensors"],
        ["features.safetensors", "stage.json"],
    ], "it is asked when all is written"
    assert [file.name for file in tmp_path.iterdir()] == ["abc.partial"]
