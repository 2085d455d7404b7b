"""Checkpoints in Hugging Face layout: a folder with config.json and weights, here or downloaded once from the hub."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.checkpoints.converted_tokenizer import BESIDE, TOKENIZER, VOCABULARIES
from workbench.checkpoints.end_tokens import GENERATION
from workbench.checkpoints.gguf import GGUF, gguf_folder
from workbench.checkpoints.json_files import read_object
from workbench.checkpoints.weight_headers import check_weight_file
from workbench.checkpoints.weights import CheckpointError, read_weights
from workbench.storage.places import is_file, is_folder, is_there

if TYPE_CHECKING:
    from torch import Tensor

CONFIG = "config.json"
WEIGHTS = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
)
SAFE = (*WEIGHTS[:2], "model-*.safetensors")
TEXTS = (TOKENIZER, *VOCABULARIES, *BESIDE, "chat_template.jinja")
PREPROCESSING = "preprocessor_config.json"
READ = (CONFIG, GENERATION, "*.safetensors", "*.safetensors.index.json", "pytorch_model*", *TEXTS, PREPROCESSING)
WORDS = (CONFIG, GENERATION, *TEXTS, PREPROCESSING, "README.md", "LICEN[SC]E*")  # what a download takes beside weights


_DOWNLOADS: ContextVar[bool] = ContextVar("_DOWNLOADS", default=True)


@contextmanager
def without_downloads() -> Iterator[None]:
    """Within it the hub is not asked: what does not lie here is missing, a `CheckpointError`."""
    before = _DOWNLOADS.set(False)
    try:
        yield
    finally:
        _DOWNLOADS.reset(before)


def checkpoint_folder(checkpoint: str) -> Path:
    """The folder itself; that of a hub id, downloaded once; or what a GGUF file was converted to, once.

    `CheckpointError` where there is none, or a file of its weights is missing or cut off, as headers tell.
    """
    path = Path(checkpoint)
    if path.suffix == GGUF and is_file(path):
        return gguf_folder(path)
    folder = path if is_folder(path) else _from_hub(checkpoint)
    if (file := _weight_file(folder)) is not None:
        check_weight_file(file)
    return folder


def checkpoint_files(checkpoint: str | None) -> list[Path]:
    """What is read of a checkpoint: the file itself, or files of a folder or of a hub id, which is downloaded."""
    if checkpoint is None:
        return []
    path = Path(checkpoint)
    path = path if is_there(path) else _from_hub(checkpoint)
    found = {file for pattern in READ for file in path.glob(pattern)} if path.is_dir() else {path}
    return sorted(file for file in found if file.is_file())


def read_config(folder: Path) -> dict[str, Any]:
    """The object in the config.json of a checkpoint's folder; `CheckpointError` when there is none."""
    return read_object(folder / CONFIG, "which holds the sizes of a Hugging Face checkpoint")


def read_folder(folder: Path) -> dict[str, Tensor]:
    """The weights of a checkpoint's folder by name, from safetensors where there are both; `CheckpointError` without
    any."""
    file = _weight_file(folder)
    if file is None:
        raise CheckpointError(f"the folder {folder} holds no weights: one of {', '.join(WEIGHTS)} is needed")
    return read_weights(file)


def _from_hub(name: str) -> Path:
    return hub_folder(name) if _DOWNLOADS.get() else _fetched_before(name)


def _fetched_before(name: str) -> Path:
    """The folder of a hub id as it was downloaded last."""
    try:
        from huggingface_hub import snapshot_download
    except ImportError as error:
        raise CheckpointError(f"checkpoint '{name}' is not on this machine, nor is the extra 'hf'") from error

    repository, _, revision = name.partition("@")
    try:
        wanted = [*SAFE, *WORDS]
        folder = Path(
            snapshot_download(repository, revision=revision or None, allow_patterns=wanted, local_files_only=True)
        )
    except Exception as error:  # as in `hub_folder`
        raise CheckpointError(f"checkpoint '{name}' is not on this machine") from error
    if _weight_file(folder) is None:
        raise CheckpointError(f"the weights of checkpoint '{name}' are not on this machine")
    return folder


def _weight_file(folder: Path) -> Path | None:
    return next((folder / name for name in WEIGHTS if (folder / name).is_file()), None)


@cache
def hub_folder(name: str) -> Path:
    """The folder of a hub id, as `org/name` or `org/name@revision`, downloaded once by huggingface_hub: weights,
    config, texts and licence. It is called by its commit. A process asks the hub once which one that is."""
    if name.startswith((".", "/", "~")) or name.count("/") > 1 or Path(name).suffix == GGUF:
        raise CheckpointError(
            f"checkpoint '{name}' is no file or folder here. Write its place relative to the experiment file, or in"
            " full"
        )
    try:
        from huggingface_hub import snapshot_download
    except ImportError as error:
        raise CheckpointError(
            f"checkpoint '{name}' is no file or folder here; to take it from the Hugging Face hub, install the extra:"
            " pip install workbench[hf]"
        ) from error
    repository, _, revision = name.partition("@")
    try:
        folder = Path(snapshot_download(repository, revision=revision or None, allow_patterns=[*SAFE, *WORDS]))
        if _weight_file(folder) is None:  # an old repository, without safetensors
            snapshot_download(repository, revision=folder.name, allow_patterns=["pytorch_model*"])
    except Exception as error:  # the hub's client raises many kinds; each means that there is no such checkpoint for us
        raise CheckpointError(
            f"checkpoint '{name}' is no file or folder here, nor could it be had from the hub: {error}"
        ) from error
    return folder
