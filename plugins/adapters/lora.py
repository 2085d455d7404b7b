"""LoRA: a frozen matrix and a trained product of two thin ones beside it."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping, Sequence
from fnmatch import fnmatchcase
from itertools import chain
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
    is_adaptable,
    is_conv1d,
    linear_sizes,
    part_with,
    read_adapter,
    replace_modules,
    write_adapter,
)

from ._targets import ATTENTION
from ._vocabulary import tokens_of, with_new_tokens

BEFORE = "_adapted"  # in a merged layer: the one it came from
# What a config of peft may hold while A and B mean what they do here: with any value, or with these alone.
ANY_VALUE = (
    *("peft_type", "r", "lora_alpha", "lora_dropout", "target_modules", "fan_in_fan_out", "exclude_modules"),
    *("layers_to_transform", "layers_pattern", "task_type", "base_model_name_or_path", "revision", "inference_mode"),
    *("auto_mapping", "peft_version", "megatron_core", "qalora_group_size", "runtime_config", "eva_config"),
)
VALUES = {"bias": ("none",), "init_lora_weights": (True, "gaussian", "orthogonal", "eva")}


class LoraAdapter(Adapter):
    """Low-rank adaptation, W' = W + (alpha / rank) B A (Hu et al. 2021, https://arxiv.org/abs/2106.09685, section 4).

    Adapts linear layers, also quantized ones and those of GPT-2 in transformers; by default all in the language model's
    attention. Beside a quantized layer A and B stay when others are merged. A layer that makes queries, keys and values
    at once gets one A and B over all three, so they share its rank. A and B are kept in fp32 whatever the type of W.
    """

    def __init__(
        self,
        *,
        rank: Annotated[PositiveInt, Field(description="rank of the update B A")] = 8,
        alpha: Annotated[FiniteFloat, Field(gt=0, description="the update is scaled by alpha / rank")] = 16.0,
        dropout: Annotated[
            FiniteFloat,
            Field(ge=0, lt=1, description="share of a layer's input that is dropped on the way to A, in training"),
        ] = 0.0,
        targets: Annotated[
            tuple[str, ...], Field(description="wildcards over names of linear layers: those that are adapted")
        ] = ATTENTION,
        start: Annotated[
            Path | None, Field(description="folder in peft's format to begin with, of the same rank and alpha")
        ] = None,
    ):
        self.rank = rank
        self.alpha = alpha
        self.start = start
        self.scale = alpha / rank
        self.dropout = dropout
        self.targets = targets

    @classmethod
    def files(cls, options: Mapping[str, Any]) -> Sequence[Path]:
        """What peft wrote of the adapter it begins with; none where it begins anew."""
        return adapter_files(options["start"])

    def attach(self, model: nn.Module) -> list[nn.Parameter]:
        """Put A and B beside every target; returns them. B = 0, so the model computes what it did."""
        linear = {name: module for name, module in model.named_modules() if name and is_adaptable(module)}
        chosen = {
            name: layer for name, layer in linear.items() if any(fnmatchcase(name, target) for target in self.targets)
        }
        self._check(linear, chosen)
        adapted = {layer: _adapted(layer, self.rank, self.scale, self.dropout) for layer in chosen.values()}
        replace_modules(model, adapted)
        if self.start is not None:
            self._read(model, self.start)
        return [parameter for layer in adapted.values() for parameter in (layer.lora_A, layer.lora_B)]

    def merge(self, model: nn.Module) -> None:
        """Put a plain W + (alpha / rank) B A in the place of every adapted layer that is not quantized."""
        found = [module for module in model.modules() if isinstance(module, LoraLinear | LoraBeside)]
        replace_modules(model, {layer: _merged(layer) for layer in found if _can_merge(layer)})

    def unmerge(self, model: nn.Module) -> None:
        """Put the adapted layers back, bit for bit."""
        merged = {module: vars(module)[BEFORE][0] for module in model.modules() if BEFORE in vars(module)}
        for plain, layer in merged.items():
            layer.to(plain.get_parameter("weight").device).train(plain.training)
        replace_modules(model, merged)

    def save(self, model: nn.Module, folder: Path) -> None:
        """Write A and B as peft does, which can read them."""
        layers = _layers(model)
        _, beginning = adapted_part(model, layers)
        named = {name.removeprefix(beginning): layer for name, layer in layers.items()}
        weights = {f"{name}.lora_A.weight": layer.lora_A for name, layer in named.items()}
        weights |= {f"{name}.lora_B.weight": layer.lora_B for name, layer in named.items()}
        alpha = int(self.alpha) if self.alpha == int(self.alpha) else self.alpha
        told = {"peft_type": "LORA", "r": self.rank, "lora_alpha": alpha, "lora_dropout": self.dropout, "bias": "none"}
        turned = any(is_conv1d(layer.base) for layer in layers.values() if isinstance(layer, LoraBeside))
        told |= {"target_modules": sorted(named), "fan_in_fan_out": turned, "inference_mode": True}
        write_adapter(folder, told, weights)

    def _read(self, model: nn.Module, folder: Path) -> None:
        """A and B of peft: the layers that it names have to be those adapted here."""
        config, weights = read_adapter(folder)
        kind, rank, alpha = config.get("peft_type"), config.get("r"), config.get("lora_alpha")
        special = [f"{name}: {value}" for name, value in config.items() if value and not _is_plain(name, value)]
        if kind != "LORA" or special:
            more = f" with {', '.join(special)}" if special else ""
            raise UserError(f"{folder} holds {kind}{more}: take the adapter 'peft', which knows that or says why not")
        if (rank, alpha) != (self.rank, self.alpha):
            raise UserError(f"{folder} holds LoRA of rank {rank} and alpha {alpha}: write these in the experiment")
        part = part_with(model, weights, folder)
        own = {
            f"{name}.lora_{side}.weight": getattr(layer, f"lora_{side}")
            for name, layer in _layers(part).items()
            for side in "AB"
        }
        others = sorted(name for name in weights if ".lora_A." not in name and ".lora_B." not in name)
        if others:
            raise UserError(
                f"{folder} holds more than A and B, {', '.join(others[:4])}: take the adapter 'peft', which reads that"
            )
        different = sorted(own.keys() ^ weights.keys())
        if different:
            raise UserError(
                f"{folder} and targets {list(self.targets)} name other layers: {', '.join(different[:4])} in one only"
            )
        tokens = tokens_of(part)
        full = {name: with_new_tokens(weight, own[name].shape, tokens) for name, weight in weights.items()}
        unequal = [name for name, weight in full.items() if weight.shape != own[name].shape]
        if unequal:
            name = unequal[0]
            raise UserError(
                f"{folder} is of another model: {name} is {tuple(full[name].shape)} there and"
                f" {tuple(own[name].shape)} here"
            )
        with torch.no_grad():
            for name, parameter in own.items():
                parameter.copy_(full[name])

    def _check(self, linear: dict[str, nn.Module], chosen: dict[str, nn.Module]) -> None:
        if not chosen:
            raise UserError(
                f"no linear layer matches targets {list(self.targets)} of the adapter 'lora'."
                f" Write wildcards over names such as {', '.join(list(linear)[:8]) or '(no linear layer)'}"
            )
        for name, layer in chosen.items():
            narrow = min(linear_sizes(layer))
            if self.rank > narrow:
                raise UserError(
                    f"rank {self.rank} of the adapter 'lora' is more than the narrow side of {name} ({narrow}), so it"
                    f" would save nothing there: choose a rank of at most {narrow}, or targets without that layer"
                )


class LoraLinear(nn.Linear):
    """A linear layer's own weight and bias, under their own names, with `lora_A` [rank,in] and `lora_B` [out,rank]."""

    lora_A: nn.Parameter
    lora_B: nn.Parameter

    def __init__(self, linear: nn.Linear, rank: int, scale: float, dropout: float):
        _share(self, linear)
        _start(self, linear, rank)
        self.scale = scale
        self.dropout = dropout

    def forward(self, input: Tensor) -> Tensor:
        """input [..., in] -> [..., out]."""
        return _with_product(self, super().forward, input)

    def extra_repr(self) -> str:
        """Sizes, as `nn.Linear` prints them."""
        return f"{super().extra_repr()}, rank={self.lora_A.shape[0]}, scale={self.scale}"


class LoraBeside(nn.Module):
    """Another kind of linear layer as `base`, quantized or GPT-2's, with `lora_A` [rank,in] and `lora_B` [out,rank]."""

    lora_A: nn.Parameter
    lora_B: nn.Parameter

    def __init__(self, base: nn.Module, rank: int, scale: float, dropout: float):
        super().__init__()
        self.base = base
        _start(self, base, rank)
        self.scale = scale
        self.dropout = dropout
        self.train(base.training)

    def forward(self, input: Tensor) -> Tensor:
        """input [..., in] -> [..., out]."""
        return _with_product(self, self.base, input)

    def extra_repr(self) -> str:
        """Rank and scale, behind what the layer itself prints."""
        return f"rank={self.lora_A.shape[0]}, scale={self.scale}"


def _adapted(layer: nn.Module, rank: int, scale: float, dropout: float) -> LoraLinear | LoraBeside:
    if type(layer) is nn.Linear:
        return LoraLinear(layer, rank, scale, dropout)
    return LoraBeside(layer, rank, scale, dropout)


def _is_plain(name: str, value: Any) -> bool:
    return name in ANY_VALUE or value in VALUES.get(name, ())


def _layers(model: nn.Module) -> dict[str, LoraLinear | LoraBeside]:
    return {name: module for name, module in model.named_modules() if isinstance(module, LoraLinear | LoraBeside)}


def _start(layer: Any, linear: nn.Module, rank: int) -> None:
    """Give `layer` the A and B of `linear`: as the reference starts them, and no narrower than fp32."""
    inputs, outputs = linear_sizes(linear)
    like = next(chain(linear.parameters(), linear.buffers()))
    kind = torch.promote_types(like.dtype, torch.float32)
    layer.lora_A = nn.Parameter(like.new_empty(rank, inputs, dtype=kind))
    layer.lora_B = nn.Parameter(like.new_zeros(outputs, rank, dtype=kind))
    nn.init.kaiming_uniform_(layer.lora_A, a=math.sqrt(5))


def _with_product(layer: Any, own: Callable[[Tensor], Tensor], input: Tensor) -> Tensor:
    """input [..., in] -> [..., out]: what the layer's own weight makes of it, and A and B beside it.

    Through the thin side: B A is never made while training. The product with B is added to the layer's own output where
    that lies, without a second tensor as large.
    """
    rows = input.reshape(-1, input.shape[-1])
    if torch.is_autocast_enabled(input.device.type):  # once for both ways, where autocast would do it for each
        rows = rows.to(torch.get_autocast_dtype(input.device.type))
    thin = functional.dropout(rows, layer.dropout, layer.training)
    thin = functional.linear(thin, layer.lora_A.to(thin.dtype))  # [rows, rank]
    wide = own(rows)  # [rows, out]
    wide.addmm_(thin, layer.lora_B.to(wide.dtype).T, alpha=layer.scale)
    return wide.view(*input.shape[:-1], -1)


def _can_merge(layer: LoraLinear | LoraBeside) -> bool:
    return isinstance(layer, LoraLinear) or is_conv1d(layer.base)


def _merged(layer: LoraLinear | LoraBeside) -> nn.Module:
    """A plain layer with what was learned folded in. It keeps the adapted one it came from, to undo the merge."""
    if isinstance(layer, LoraLinear):
        plain = nn.Linear.__new__(nn.Linear)
        _share(plain, layer)
    else:
        plain = copy.copy(layer.base)  # a class of transformers, which is not imported here
        vars(plain)["_parameters"] = dict(layer.base._parameters)
        plain.train(layer.training)
    weight = plain.get_parameter("weight")
    with torch.no_grad():
        if weight.is_meta:  # a plan asks for shapes: there are no numbers
            merged = torch.empty(weight.shape, dtype=weight.dtype, device="meta")
        else:
            product = layer.scale * (layer.lora_B @ layer.lora_A).to(weight.dtype)
            merged = weight + (product if isinstance(layer, LoraLinear) else product.T)
    plain.register_parameter("weight", nn.Parameter(merged, requires_grad=weight.requires_grad))
    vars(plain)[BEFORE] = (layer,)  # in a tuple, so that its weights are not registered here as well
    return plain


def _share(layer: nn.Linear, source: nn.Linear) -> None:
    """Make `layer` a linear layer with the weight and bias of `source`, without allocating others first."""
    nn.Module.__init__(layer)
    layer.in_features, layer.out_features = source.in_features, source.out_features
    layer.weight = source.weight
    layer.register_parameter("bias", source.bias)
    layer.train(source.training)


@hookimpl
def register_adapters(register):
    """LoRA in plain PyTorch, with files as peft writes them."""
    register("lora", LoraAdapter)
