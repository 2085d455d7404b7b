"""Whether the weight files of a checkpoint are whole, by their headers alone: no weight is read for it."""

from __future__ import annotations

import json
import pickletools
import zipfile
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from workbench.checkpoints.weights import CheckpointError, sharded
from workbench.errors import first_of

AGAIN = "Download or copy the checkpoint again"
MOST_HEADER = 100_000_000  # bytes, as the safetensors library has it
PICKLE = "data.pkl"  # in a PyTorch file, which is a zip archive: the names of its weights


def check_weight_file(file: Path) -> None:
    """A file of weights or an index of shards: each shard is there and as long as its header says, and holds what the
    index names. `CheckpointError` names the file that is not so."""
    if not file.name.endswith(".index.json"):
        _names_in(file)
        return
    for shard, named in sharded(file).items():
        if not (file.parent / shard).is_file():
            raise CheckpointError(f"{file} names the shard {shard}, which is not there. {AGAIN}")
        there = _names_in(file.parent / shard)
        lacking = [] if there is None else sorted(set(named) - set(there))
        if lacking:
            raise CheckpointError(
                f"{file} says that {file.parent / shard} holds {first_of(lacking)}, and it does not:"
                f" they are of different checkpoints. {AGAIN}"
            )


def _names_in(file: Path) -> Collection[str] | None:
    """The names of the weights in a file that is as long as its header says; None where its form does not tell them."""
    if file.suffix == ".safetensors":
        return _names_in_safetensors(file)
    try:
        if file.stat().st_size and not zipfile.is_zipfile(file):
            return _old_pickle(file)
        with zipfile.ZipFile(file) as archive:
            inner = next(name for name in archive.namelist() if name.rpartition("/")[2] == PICKLE)
            return {each for _, each, _ in pickletools.genops(archive.read(inner)) if isinstance(each, str)}
    except (OSError, ValueError, StopIteration, zipfile.BadZipFile, NotImplementedError) as error:
        raise CheckpointError(f"{file} is damaged: it is not as long as it should be, or no checkpoint") from error


def _old_pickle(file: Path) -> None:
    """A form of PyTorch's from before 2020 has no list of its content; a new one that was cut off has lost it."""
    with file.open("rb") as opened:
        if opened.read(2) == b"PK":
            raise zipfile.BadZipFile("its end is missing")


def _names_in_safetensors(file: Path) -> Collection[str]:
    """https://huggingface.co/docs/safetensors: the header's length in 8 bytes, the header as JSON, the weights."""
    try:
        size = file.stat().st_size
        with file.open("rb") as opened:
            length = int.from_bytes(opened.read(8), "little")
            if length > min(MOST_HEADER, size - 8):
                raise ValueError(f"its header has {length} bytes, the file {size}")
            header: Mapping[str, Any] = json.loads(opened.read(length))
        weights = {name: told["data_offsets"] for name, told in header.items() if name != "__metadata__"}
        wanted = 8 + length + max((end for _, end in weights.values()), default=0)
        if wanted != size:
            raise ValueError(f"it has {size} bytes, and its header says {wanted}")
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{file} is damaged or is not a safetensors file: {error}. {AGAIN}") from error
    return weights
