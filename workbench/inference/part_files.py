"""What an exported folder holds of a trial's pretrained parts: their files, or their files without the weights.

Without weights, names and shapes stand in their place: a file of a few kilobytes that every reader of checkpoints
takes, and a part of the same form is built from it.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from workbench.checkpoints.gguf import GGUF
from workbench.checkpoints.hugging_face import WEIGHTS, checkpoint_files, checkpoint_folder, hub_folder, read_folder
from workbench.checkpoints.weights import read_weights
from workbench.config.component import Component
from workbench.config.component_files import CARD, LICENCES, PARTS, files_of
from workbench.config.trial import Trial
from workbench.registry import Registry
from workbench.storage.places import is_there

CHECKPOINT = "checkpoint"  # the option with which a part names its pretrained files, on disk or on the hub
READABLE = (GGUF, ".safetensors", ".bin", ".pt", ".pth")
SHAPES = "pytorch_model.bin"  # of all formats only PyTorch's can say of a weight that it is one number everywhere
WEIGHT_FILES = ("*.safetensors", "*.safetensors.index.json", "pytorch_model*")


@dataclass(frozen=True)
class PartFiles:
    """The files of a part, their folder or the one file, and the option that names it."""

    option: str
    files: Sequence[Path]
    source: Path


def copy_parts(
    trial: Trial, registry: Registry, folder: Path, weights: bool
) -> tuple[dict[str, Any], dict[str, tuple[str, str]]]:
    """Write `folder/KIND` for each part with files; returns the spec that names these, and (option, place) by kind.

    Without `weights`, encoder and decoder get the shapes of theirs.
    """
    spec, parts = dict(trial.spec()), {}
    for kind in PARTS:
        found = _files(trial.components[kind], registry)
        if found is None:
            continue
        (folder / kind).mkdir()
        _copy_words(found.source, folder / kind)
        hollow = not weights and kind != "adapter" and _has_weights(found.source)
        copy = _copy_shapes if hollow else _copy
        place = str(Path(kind) / copy(found, folder / kind))
        spec[kind] = {**spec[kind], found.option: place}
        parts[kind] = (found.option, place)
    return spec, parts


def make_room(model: nn.Module) -> None:
    """Give each number of a weight its own place, so that others can be loaded: of shapes alone they share one."""
    for parameter in model.parameters():
        parameter.data = parameter.data.contiguous()


def _files(component: Component, registry: Registry) -> PartFiles | None:
    """Those of an option that names a file or folder here, or a `checkpoint` of the hub."""
    files = files_of(component, registry)
    for name, value in component.arguments().items():
        if isinstance(value, (str, Path)) and files:
            path = Path(value)
            if all(path == file or path in file.parents for file in files):
                return PartFiles(name, files, path)
    hub = component.arguments().get(CHECKPOINT)
    if not isinstance(hub, str) or is_there(hub):
        return None
    return PartFiles(CHECKPOINT, files, hub_folder(hub))


def _copy_words(source: Path, folder: Path) -> None:
    """The part's licence and model card."""
    own = source if source.is_dir() else source.parent
    for file in (*sorted(own.glob(LICENCES)), own / CARD):
        if file.is_file():
            shutil.copyfile(file, folder / file.name)


def _has_weights(source: Path) -> bool:
    """Whether they can be read here: a part of your own may keep its weights in any format."""
    return source.suffix in READABLE if source.is_file() else any((source / name).is_file() for name in WEIGHTS)


def _copy(found: PartFiles, folder: Path) -> str:
    """Every file; returns where in `folder` the option leads."""
    for file in found.files:
        shutil.copyfile(file, folder / file.name)
    return found.source.name if found.source.is_file() else ""


def _copy_shapes(found: PartFiles, folder: Path) -> str:
    """The files of a checkpoint with shapes in place of weights; returns where in `folder` the option leads."""
    if found.source.is_file() and found.source.suffix != GGUF:
        file = Path(found.source.name).with_suffix(".pt")
        _save_shapes(read_weights(found.source), folder / file)
        return str(file)
    source = checkpoint_folder(str(found.source))
    for file in checkpoint_files(str(source)):
        if not any(file.match(pattern) for pattern in WEIGHT_FILES):
            shutil.copyfile(file, folder / file.name)
    _save_shapes(read_folder(source), folder / SHAPES)
    return ""


def _save_shapes(weights: Mapping[str, Tensor], file: Path) -> None:
    """Zeros of these names, types and shapes; all weights of a type are one number."""
    import torch

    zeros = {kind: torch.zeros((), dtype=kind) for kind in {each.dtype for each in weights.values()}}
    torch.save({name: zeros[each.dtype].expand(each.shape) for name, each in weights.items()}, file)
