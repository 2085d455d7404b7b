"""LoRA: a frozen matrix and a trained product of two thin ones beside it."""

from __future__ import annotations

import math
from collections.abc import Callable
from fnmatch import fnmatchcase
from typing import Annotated

import torch
from pydantic import Field, FiniteFloat, PositiveInt
from torch import Tensor, nn
from torch.nn import functional

from workbench import Adapter, UserError, hookimpl


class AdapterError(UserError):
    """The adapter does not fit the model."""


class LoraAdapter(Adapter):
    """Low-rank adaptation, W' = W + (alpha / rank) B A (Hu et al. 2021, https://arxiv.org/abs/2106.09685, section 4).

    `targets` are wildcards over the names of linear layers; by default all in the language model's attention.
    A layer that makes queries, keys and values at once gets one A and B over all three, so they share its rank.
    `dropout` is of the layer's input, on the way to A only.
    """

    def __init__(
        self,
        *,
        rank: PositiveInt = 8,
        alpha: Annotated[FiniteFloat, Field(gt=0)] = 16.0,
        dropout: Annotated[FiniteFloat, Field(ge=0, lt=1)] = 0.0,
        targets: tuple[str, ...] = ("language_model.*attention.*", "language_model.*attn.*"),
    ):
        self.rank = rank
        self.scale = alpha / rank
        self.dropout = dropout
        self.targets = targets

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
        return [parameter for layer in adapted.values() for parameter in (layer.lora_A, layer.lora_B)]

    def merge(self, model: nn.Module) -> None:
        """Put a plain W + (alpha / rank) B A in the place of every adapted layer."""
        _replace(model, lambda module: MergedLinear(module) if isinstance(module, LoraLinear) else None)

    def unmerge(self, model: nn.Module) -> None:
        """Put the adapted layers back, bit for bit."""
        _replace(model, lambda module: module.adapted() if isinstance(module, MergedLinear) else None)

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
        self.lora_A = nn.Parameter(linear.weight.new_empty(rank, linear.in_features))
        self.lora_B = nn.Parameter(linear.weight.new_zeros(linear.out_features, rank))
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
        thin = functional.linear(functional.dropout(rows, self.dropout, self.training), self.lora_A)  # [rows, rank]
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
                merged = adapted.weight + adapted.scale * (adapted.lora_B @ adapted.lora_A)
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
