"""Whatever other people wrote beside their weights ends in words that name the file."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from workbench.checkpoints.end_tokens import end_tokens
from workbench.checkpoints.json_files import object_if_there, read_object
from workbench.checkpoints.peft_adapters import read_adapter
from workbench.checkpoints.weights import CheckpointError

FAULTS = {"a list": "[1]", "half a file": '{"a": ', "thousands of brackets": '{"a":' + "[" * 200_000, "no text": None}
READERS: dict[str, tuple[str, Callable[[Path], Any]]] = {
    "an object": ("config.json", lambda folder: read_object(folder / "config.json")),
    "an object if there": ("config.json", lambda folder: object_if_there(folder / "config.json")),
    "ends of answers": ("generation_config.json", lambda folder: end_tokens(folder / "generation_config.json")),
    "an adapter": ("adapter_config.json", read_adapter),
}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("name", READERS)
def test_a_file_that_holds_no_object_is_told(name, fault, tmp_path):
    file, read = READERS[name]
    content = FAULTS[fault]
    (tmp_path / file).write_bytes(b"\xff\xfe\xff" if content is None else content.encode())
    with pytest.raises(CheckpointError, match=rf"cannot read .*{file}, which"):
        read(tmp_path)


@pytest.mark.parametrize("name", READERS)
def test_nobody_waits_for_a_pipe(name, tmp_path):
    file, read = READERS[name]
    os.mkfifo(tmp_path / file)
    with pytest.raises(CheckpointError, match="it is no regular file"):
        read(tmp_path)


def test_what_is_not_there_is_empty(tmp_path):
    assert object_if_there(tmp_path / "config.json") == {}
