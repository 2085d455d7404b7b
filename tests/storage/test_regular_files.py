"""A pipe in the place of a file that a run left is told as damage: nobody waits for what never comes."""

from __future__ import annotations

import os
import signal

import pytest

from workbench.checkpoints.hugging_face import read_config
from workbench.checkpoints.tokenizer import read_tokenizer
from workbench.checkpoints.weights import CheckpointError
from workbench.inference.export import is_exported
from workbench.runs.auto_precision import begun_with
from workbench.storage.artifacts import ArtifactError, ArtifactStore
from workbench.storage.askings import read_asked
from workbench.storage.checksums import measured
from workbench.storage.places import regular
from workbench.storage.record_outline import read_outline
from workbench.storage.result_files import ResultsError, read_json
from workbench.storage.whole_trials import damage_of


@pytest.fixture(autouse=True)
def _in_time():
    """What waits for a pipe is ended."""

    def end(*_: object) -> None:
        raise TimeoutError("it waits for the pipe")

    before = signal.signal(signal.SIGALRM, end)
    signal.alarm(5)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def pipe(folder, name):
    folder.mkdir(exist_ok=True)
    os.mkfifo(folder / name)
    return folder / name


def test_a_regular_file_is_that_file(tmp_path):
    file = tmp_path / "a.txt"
    file.write_text("a")
    assert regular(file) == file
    assert regular(str(file)) == str(file)


def test_what_is_no_file_is_an_error_of_the_system(tmp_path):
    with pytest.raises(OSError, match="it is no regular file"):
        regular(pipe(tmp_path, "a.txt"))
    with pytest.raises(FileNotFoundError):
        regular(tmp_path / "missing")


def test_results_that_are_pipes_are_damaged(tmp_path):
    record = pipe(tmp_path, "record.json")
    with pytest.raises(ResultsError, match=r"record.json cannot be read: .*it is no regular file"):
        read_json(record)
    assert read_outline(tmp_path) is None
    assert damage_of(tmp_path) == "record.json is damaged"
    with pytest.raises(OSError, match="it is no regular file"):
        measured(record)
    pipe(tmp_path, "test_split.jsonl")
    with pytest.raises(ResultsError, match="it is no regular file"):
        read_asked(tmp_path)


def test_a_stage_with_a_pipe_is_damaged(tmp_path):
    pipe(tmp_path / "key", "stage.json")
    store = ArtifactStore(tmp_path)
    assert not store.has("key")
    assert store.summary("key") is None
    with pytest.raises(ArtifactError, match="it is no regular file"):
        store.read("key")


def test_a_folder_with_a_pipe_is_no_experiment_and_no_export(tmp_path):
    pipe(tmp_path, "experiment.json")
    pipe(tmp_path, "config.json")
    assert begun_with(tmp_path) is None
    assert not is_exported(tmp_path)


def test_a_folder_whose_config_is_nested_too_deeply_is_no_export(tmp_path):
    (tmp_path / "config.json").write_text("[" * 100_000)
    assert not is_exported(tmp_path)


def test_a_checkpoint_or_tokenizer_that_is_a_pipe_cannot_be_read(tmp_path):
    with pytest.raises(CheckpointError, match="no regular file"):
        read_config(pipe(tmp_path, "config.json").parent)
    with pytest.raises(CheckpointError, match="no regular file"):
        read_tokenizer(pipe(tmp_path, "tokenizer.json"))
