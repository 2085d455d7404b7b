"""Weights from files, without running anybody's code, and clear words when they do not fit."""

from __future__ import annotations

import json
import pickle
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from workbench.errors import UserError, first_of

INDEX = ".index.json"


class CheckpointError(UserError):
    """The border to what other people trained: weights, tokenizer, preprocessing or adapter that are missing, damaged,
    unsafe, of another model, or that a package is needed for."""


def read_weights(path: Path | str) -> dict[str, Tensor]:
    """Weights by name from a safetensors file, its index of shards (`*.safetensors.index.json`), or a PyTorch file.

    PyTorch files are read with `weights_only=True`: a pickle that would run code is refused.
    """
    path = Path(path)
    if not path.is_file():
        raise CheckpointError(f"there is no checkpoint file {path}")
    if path.name.endswith(INDEX):
        return _read_shards(path)
    if path.suffix == ".safetensors":
        return _read_safetensors(path)
    return _read_torch(path)


def sharded(index: Path) -> dict[str, list[str]]:
    """By shard, in order, the names of the weights that an index says are in it; `CheckpointError` where it is none, or
    a shard leads out of its folder. A link there is its owner's, as a download of the hub is made of links."""
    try:
        named = dict(json.loads(index.read_text(encoding="utf-8"))["weight_map"])
        faults = {weight: _fault_of(shard) for weight, shard in named.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise CheckpointError(f"{index} is not an index of shards: {error}") from error
    if not named:
        raise CheckpointError(f"{index} is not an index of shards: it names none")
    for weight, fault in faults.items():
        if fault:
            told = f"'weight_map' has '{named[weight]}' for '{weight}', which {fault}"
            raise CheckpointError(f"{index}: {told}. Take the checkpoint with its own shards beside its index")
    found: dict[str, list[str]] = {shard: [] for shard in sorted(set(named.values()))}
    for weight, shard in named.items():
        found[shard].append(weight)
    return found


def load_into(
    module: nn.Module, weights: Mapping[str, Tensor], source: Path | str, allow_missing: Sequence[str] = ()
) -> None:
    """Copy `weights` into `module`: every name there, every shape equal, or `CheckpointError` and nothing copied.

    `allow_missing` are beginnings of names that the checkpoint need not have. A module on the meta device, which has
    no room for weights, is only compared with them.
    """
    own = module.state_dict()
    missing = [name for name in own if name not in weights and not name.startswith(tuple(allow_missing))]
    unexpected = [name for name in weights if name not in own]
    unequal = [
        f"{name} is {tuple(weights[name].shape)} there and {tuple(own[name].shape)} here"
        for name in own
        if name in weights and weights[name].shape != own[name].shape
    ]
    problems = []
    if unequal:
        problems.append(f"shapes differ: {first_of(unequal)}. Set the options to the checkpoint's sizes")
    if missing:
        problems.append(f"it lacks {first_of(missing)}")
    if unexpected:
        problems.append(f"it holds what this model does not have: {first_of(unexpected)}")
    if problems:
        raise CheckpointError(f"the checkpoint {source} does not fit: " + "; ".join(problems))
    if not any(tensor.is_meta for tensor in own.values()):
        module.load_state_dict(dict(weights), strict=False)


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path} is damaged or is not a safetensors file: {error}") from error


def _read_shards(index: Path) -> dict[str, Tensor]:
    weights: dict[str, Tensor] = {}
    for shard in sharded(index):
        weights |= read_weights(index.parent / shard)
    return weights


def _fault_of(shard: str) -> str:
    """Why a name is none of a shard; nothing where it is one."""
    if shard.startswith("/") or ".." in shard.split("/"):
        return "leads out of its folder"
    return "is no file of weights" if shard.endswith(INDEX) or "\0" in shard else ""


def _read_torch(path: Path) -> dict[str, Tensor]:
    if not path.stat().st_size:
        raise CheckpointError(f"{path} is damaged: it is empty")
    if _is_torchscript(path):
        raise CheckpointError(
            f"{path} is a TorchScript archive, which holds code. Save its weights once, where you trust it:"
            " torch.save(torch.jit.load(file).state_dict(), new_file)"
        )
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise CheckpointError(
            f"{path} is not a plain PyTorch checkpoint, or holds pickled code, which is not run. Convert it to"
            " safetensors where you trust it"
        ) from error
    except Exception as error:  # torch's readers raise a dozen kinds, IndexError and struct.error among them
        first = str(error).partition("\n")[0]
        raise CheckpointError(f"{path} is damaged or is not a checkpoint: {first or type(error).__name__}") from error
    if isinstance(content, dict) and isinstance(content.get("state_dict"), dict):
        content = content["state_dict"]
    if not isinstance(content, dict) or not all(isinstance(each, Tensor) for each in content.values()):
        raise CheckpointError(f"{path} holds no weights by name; save `model.state_dict()`")
    return content


def _is_torchscript(path: Path) -> bool:
    try:
        if not zipfile.is_zipfile(path):
            return False
        with zipfile.ZipFile(path) as archive:
            return any("/code/" in name or name.endswith("constants.pkl") for name in archive.namelist())
    except (zipfile.BadZipFile, NotImplementedError, ValueError) as error:
        raise CheckpointError(f"{path} is damaged: {error}") from error
