"""LoRA: a frozen matrix and a trained product of two thin ones beside it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Any

import torch
from pydantic import Field, FiniteFloat, PositiveInt
from torch import Tensor, nn
from torch.nn import functional

from workbench import (
    Adapter,
    UserError,
    adapted_part,
    adapter_files,
    hookimpl,
    part_with,
    read_adapter,
    write_adapter,
)

from ._targets import ATTENTION


class AdapterError(UserError):
    """The adapter does not fit the model."""


class LoraAdapter(Adapter):
    """Low-rank adaptation, W' = W + (alpha / rank) B A (Hu et al. 2021, https://arxiv.org/abs/2106.09685, section 4).

    `targets` are wildcards over the names of linear layers; by default all in the language model's attention.
    A layer that makes queries, keys and values at once gets one A and B over all three, so they share its rank.
    `dropout` is of the layer's input, on the way to A only. `start` is a folder in the format of Hugging Face peft to
    begin with; its rank and alpha have to be these. A and B are kept in fp32 whatever the type of W.
    """

    def __init__(
        self,
        *,
        rank: PositiveInt = 8,
        alpha: Annotated[FiniteFloat, Field(gt=0)] = 16.0,
        dropout: Annotated[FiniteFloat, Field(ge=0, lt=1)] = 0.0,
        targets: tuple[str, ...] = ATTENTION,
        start: Path | None = None,
    ):
        self.rank = rank
        self.alpha = alpha
        self.start = start
        self.scale = alpha / rank
        self.dropout = dropout
        self.targets = targets

    @classmethod
    def files(cls, options: Mapping[str, Any]) -> Sequence[Path]:
        """Those of the adapter it begins with."""
        return adapter_files(options["start"])

    def attach(self, model: nn.Module) -> list[nn.Parameter]:
        """Put A and B beside every target; returns them. B = 0, so the model computes what it did."""
        linear = {name: module for name, module in model.named_modules() if name and type(module) is nn.Linear}
        chosen = {
            name: layer for name, layer in linear.items() if any(fnmatchcase(name, target) for target in self.targets)
        }
        self._check(linear, chosen)
        adapted: dict[nn.Module, LoraLinear] = {
            layer: LoraLinear(layer, self.rank, self.scale, self.dropout) for layer in chosen.values()
        }
        _replace(model, adapted.get)
        if self.start is not None:
            self._read(model, self.start)
        return [parameter for layer in adapted.values() for parameter in (layer.lora_A, layer.lora_B)]

    def merge(self, model: nn.Module) -> None:
        """Put a plain W + (alpha / rank) B A in the place of every adapted layer."""
        _replace(model, lambda module: MergedLinear(module) if isinstance(module, LoraLinear) else None)

    def unmerge(self, model: nn.Module) -> None:
        """Put the adapted layers back, bit for bit."""
        _replace(model, lambda module: module.adapted() if isinstance(module, MergedLinear) else None)

    def save(self, model: nn.Module, folder: Path) -> None:
        """Write A and B as peft does, which can read them."""
        layers = {name: module for name, module in model.named_modules() if isinstance(module, LoraLinear)}
        _, beginning = adapted_part(model, layers)
        named = {name.removeprefix(beginning): layer for name, layer in layers.items()}
        weights = {f"{name}.lora_A.weight": layer.lora_A for name, layer in named.items()}
        weights |= {f"{name}.lora_B.weight": layer.lora_B for name, layer in named.items()}
        alpha = int(self.alpha) if self.alpha == int(self.alpha) else self.alpha
        told = {"peft_type": "LORA", "r": self.rank, "lora_alpha": alpha, "lora_dropout": self.dropout, "bias": "none"}
        write_adapter(folder, {**told, "target_modules": sorted(named), "inference_mode": True}, weights)

    def _read(self, model: nn.Module, folder: Path) -> None:
        """A and B of peft: the layers that it names have to be those adapted here."""
        config, weights = read_adapter(folder)
        kind, rank, alpha = config.get("peft_type"), config.get("r"), config.get("lora_alpha")
        special = [name for name in ("use_dora", "use_rslora", "rank_pattern", "alpha_pattern") if config.get(name)]
        if kind != "LORA" or special:
            raise AdapterError(f"{folder} holds {kind} with {special}: take the adapter 'peft', which knows that")
        if (rank, alpha) != (self.rank, self.alpha):
            raise AdapterError(f"{folder} holds LoRA of rank {rank} and alpha {alpha}: write these in the experiment")
        part = part_with(model, weights, folder)
        own = {
            f"{name}.lora_{side}.weight": getattr(layer, f"lora_{side}")
            for name, layer in part.named_modules()
            if isinstance(layer, LoraLinear)
            for side in "AB"
        }
        different = sorted(own.keys() ^ weights.keys())
        if different:
            raise AdapterError(
                f"{folder} and targets {list(self.targets)} name other layers: {', '.join(different[:4])} in one only"
            )
        with torch.no_grad():
            for name, parameter in own.items():
                parameter.copy_(weights[name])

    def _check(self, linear: dict[str, nn.Linear], chosen: dict[str, nn.Linear]) -> None:
        if not chosen:
            raise AdapterError(
                f"no linear layer matches targets {list(self.targets)} of the adapter 'lora'."
                f" Write wildcards over names such as {', '.join(list(linear)[:8]) or '(no linear layer)'}"
            )
        for name, layer in chosen.items():
            narrow = min(layer.in_features, layer.out_features)
            if self.rank > narrow:
                raise AdapterError(
                    f"rank {self.rank} of the adapter 'lora' is more than the narrow side of {name} ({narrow}), so it"
                    f" would save nothing there: choose a rank of at most {narrow}, or targets without that layer"
                )


class LoraLinear(nn.Linear):
    """A linear layer's own weight and bias, under their own names, with `lora_A` [rank,in] and `lora_B` [out,rank]."""

    def __init__(self, linear: nn.Linear, rank: int, scale: float, dropout: float):
        _share(self, linear)
        kind = torch.float32 if linear.weight.dtype in (torch.bfloat16, torch.float16) else linear.weight.dtype
        self.lora_A = nn.Parameter(linear.weight.new_empty(rank, linear.in_features, dtype=kind))
        self.lora_B = nn.Parameter(linear.weight.new_zeros(linear.out_features, rank, dtype=kind))
        self.scale = scale
        self.dropout = dropout
        nn.init.kaiming_uniform_(self.lora_A, a=math.sqrt(5))

    def forward(self, input: Tensor) -> Tensor:
        """input [..., in] -> [..., out], through the thin side: B A is never made while training.

        The product with B is added to the layer's own output where that lies, without a second tensor as large.
        """
        rows = input.reshape(-1, input.shape[-1])
        if torch.is_autocast_enabled(input.device.type):  # once for both ways, where autocast would do it for each
            rows = rows.to(torch.get_autocast_dtype(input.device.type))
        thin = functional.dropout(rows, self.dropout, self.training)
        thin = functional.linear(thin, self.lora_A.to(thin.dtype))  # [rows, rank]
        wide = super().forward(rows)  # [rows, out]
        wide.addmm_(thin, self.lora_B.to(wide.dtype).T, alpha=self.scale)
        return wide.view(*input.shape[:-1], -1)

    def extra_repr(self) -> str:
        """Sizes, as `nn.Linear` prints them."""
        return f"{super().extra_repr()}, rank={self.lora_A.shape[0]}, scale={self.scale}"


class MergedLinear(nn.Linear):
    """A plain linear layer with what LoRA learned folded in. It keeps the layer it came from, to undo the merge."""

    def __init__(self, adapted: LoraLinear):
        _share(self, adapted)
        with torch.no_grad():
            if adapted.weight.is_meta:  # a plan asks for shapes: there are no numbers
                merged = torch.empty(adapted.weight.shape, dtype=adapted.weight.dtype, device="meta")
            else:
                merged = adapted.weight + adapted.scale * (adapted.lora_B @ adapted.lora_A).to(adapted.weight.dtype)
        self.weight = nn.Parameter(merged, requires_grad=adapted.weight.requires_grad)
        self._adapted = (adapted,)  # in a tuple, so that its weights are not registered here as well

    def adapted(self) -> LoraLinear:
        """The layer before the merge, on the device and in the mode of this one."""
        return self._adapted[0].to(self.weight.device).train(self.training)


def _share(layer: nn.Linear, source: nn.Linear) -> None:
    """Make `layer` a linear layer with the weight and bias of `source`, without allocating others first."""
    nn.Module.__init__(layer)
    layer.in_features, layer.out_features = source.in_features, source.out_features
    layer.weight = source.weight
    layer.register_parameter("bias", source.bias)
    layer.train(source.training)


def _replace(model: nn.Module, replacement: Callable[[nn.Module], nn.Module | None]) -> None:
    """Replace each module for which there is a replacement, wherever it stands: a shared one stays shared."""
    found: dict[nn.Module, nn.Module] = {}
    for module in list(model.modules()):
        new = replacement(module)
        if new is not None:
            found[module] = new
    for parent in list(model.modules()):
        for name, child in parent._modules.items():
            if child in found:
                parent._modules[name] = found[child]


@hookimpl
def register_adapters(register):
    """LoRA."""
    register("lora", LoraAdapter)
