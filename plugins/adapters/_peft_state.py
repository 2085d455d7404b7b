"""What peft writes of an adapter and reads again: by its names, and with the matrices that layers have in common.

peft keeps such matrices, as VeRA's and UniLoRA's, beside the model in a wrapper of its own, under names that begin with
`base_model.`; those of the layers begin with `base_model.model.`, which is left out here as in the project's files.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Size, Tensor, nn

NAME = "default"  # what peft calls an adapter that has no name
MODEL = "model"
BEFORE = f"base_model.{MODEL}."


def in_common(tuner: nn.Module) -> dict[str, nn.Module]:
    """What a tuner of peft holds beside the model that it was put on."""
    return {name: each for name, each in tuner.named_children() if name != MODEL}


class PeftState:
    """An adapted part of a model, wrapped for a moment as peft's own models are, with what its layers have `common`."""

    def __init__(self, part: nn.Module, common: Mapping[str, nn.Module], config: Any):
        import peft.mapping

        base: Any = object.__new__(peft.mapping.PEFT_TYPE_TO_TUNER_MAPPING[config.peft_type])
        nn.Module.__init__(base)  # a tuner, by which peft knows what is its own, that puts nothing on the part
        self.model = nn.Module()
        self.model.add_module("base_model", base)
        base.add_module(MODEL, part)
        for name, each in common.items():
            base.add_module(name, each)
            vars(self.model)[name] = each  # where peft looks for it, and not as a part once more
        vars(self.model)["peft_config"] = {NAME: config}

    def weights(self) -> dict[str, Tensor]:
        """All that peft would write, by its names."""
        import peft

        found = peft.get_peft_model_state_dict(self.model, adapter_name=NAME, save_embedding_layers=False)
        return {name.removeprefix(BEFORE): each for name, each in found.items()}

    def shapes(self) -> dict[str, Size]:
        """Those of all that is there, by the names of peft's files."""
        return {in_files(name): each.shape for name, each in self.model.state_dict().items()}

    def load(self, weights: Mapping[str, Tensor]) -> tuple[list[str], set[str]]:
        """Read what `weights` gave; returns the names that nothing is there for, and those that lacked."""
        import peft

        whole = {name if name.startswith("base_model.") else BEFORE + name: each for name, each in weights.items()}
        report = peft.set_peft_model_state_dict(self.model, whole, adapter_name=NAME)
        unexpected = [in_files(name) for name in report.unexpected_keys]
        return unexpected, set(report.missing_keys)


def less_its_beginning(
    weights: Mapping[str, Tensor], beginning: Mapping[str, Tensor], config: Mapping[str, Any]
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """A LoRA of weights that were taken out of the decoder by chance, as one on the decoder as it was, and its config:
    B A - B0 A0 = [B, -B0] [A; A0], of twice the rank."""
    wide = {
        name: torch.cat([each.cpu(), beginning[name].cpu()])
        if ".lora_A." in name
        else torch.cat([each.cpu(), -beginning[name].cpu()], 1)
        if ".lora_B." in name
        else each
        for name, each in weights.items()
    }
    more = math.sqrt(2) if config["use_rslora"] else 2  # so that the scale is what it was
    ranks = {"r": 2 * config["r"], "lora_alpha": more * config["lora_alpha"], "init_lora_weights": True}
    return wide, {**config, **ranks}


def in_files(name: str) -> str:
    """The name of a weight in peft's files, from that in a model."""
    return name.removeprefix(BEFORE).replace(".modules_to_save", "").replace(f".{NAME}", "")
