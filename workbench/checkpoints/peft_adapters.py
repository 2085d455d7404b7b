"""Adapters in the format of Hugging Face peft: `adapter_config.json` and `adapter_model.safetensors`, or the older
`adapter_model.bin`, in a folder.

Names there begin with `base_model.model.` and go on as in the model that was adapted. An adapter that touches the
language model alone is kept under the decoder's own names, so that peft can put it on that decoder by itself.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from workbench.checkpoints.json_files import read_object
from workbench.checkpoints.weights import CheckpointError, read_weights
from workbench.storage.atomic import write_text

CONFIG, WEIGHTS, OLDER_WEIGHTS = "adapter_config.json", "adapter_model.safetensors", "adapter_model.bin"
OF_ALL = "base_model."
BEFORE = f"{OF_ALL}model."
DECODER = "language_model."


def write_adapter(folder: Path, config: Mapping[str, Any], weights: Mapping[str, Tensor]) -> None:
    """Write an adapter; weights by the names that peft has for them, without the beginning. What is of no layer, as
    matrices that all have in common, has a name that begins with `base_model.`."""
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    tensors = {name if name.startswith(OF_ALL) else BEFORE + name: weight for name, weight in weights.items()}
    copies = {name: weight.detach().cpu().clone().contiguous() for name, weight in tensors.items()}  # some may be one
    save_file(copies, folder / WEIGHTS, metadata={"format": "pt"})
    write_text(folder / CONFIG, json.dumps(config, indent=2, sort_keys=True))


def read_adapter(folder: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """The config of an adapter and its weights, without the beginning of their names; `CheckpointError` when a file is
    missing or damaged."""
    try:
        config = read_object(folder / CONFIG, "which an adapter has")
    except CheckpointError as error:
        raise CheckpointError(f"{folder} holds no adapter of peft: {error}") from error
    return config, {name.removeprefix(BEFORE): weight for name, weight in read_weights(_weights_of(folder)).items()}


def adapter_files(folder: Path | None) -> list[Path]:
    """The files whose content decides what an adapter from that folder begins with; none without a folder."""
    return [] if folder is None else [folder / CONFIG, _weights_of(folder)]


def adapted_part(model: nn.Module, layers: Iterable[str]) -> tuple[nn.Module, str]:
    """The part that an adapter of these layers belongs to, and how its names begin in the whole model."""
    within = all(name.startswith(DECODER) for name in layers)
    return (model.get_submodule(DECODER[:-1]), DECODER) if within else (model, "")


def part_with(model: nn.Module, weights: Iterable[str], folder: Path) -> nn.Module:
    """The part that has the layers these weights of an adapter are for: the whole model, or its decoder by itself."""
    names = [name for name in weights if not name.startswith(OF_ALL)]
    lacking = ""
    for part in (model, dict(model.named_children()).get(DECODER[:-1])):
        modules = part.named_modules() if part is not None else ()
        layers = {name for name, module in modules if name and (module._parameters or not module._modules)}
        lacking = next((name for name in names if not _begins_with_one_of(name, layers)), "")
        if part is not None and not lacking:
            return part
    raise CheckpointError(f"the adapter in {folder} is of another model: there is no layer for {lacking}")


def _weights_of(folder: Path) -> Path:
    """The file with the weights; where there is none, the one that there should be."""
    older = folder / OLDER_WEIGHTS
    return older if older.is_file() and not (folder / WEIGHTS).is_file() else folder / WEIGHTS


def _begins_with_one_of(name: str, layers: set[str]) -> bool:
    words = name.split(".")
    return any(".".join(words[:count]) in layers for count in range(1, len(words)))
