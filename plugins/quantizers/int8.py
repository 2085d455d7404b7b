"""INT8 weights: a quarter of the bytes, the arithmetic as before."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from workbench import Quantizer, UserError, hookimpl

LARGEST = 127  # -128 is left out, so that the range is symmetric


class QuantizerError(UserError):
    """There is nothing to quantize, or a weight that cannot be."""


class Int8Quantizer(Quantizer):
    """Weight-only INT8, symmetric, one scale for each output channel: W_int8 = round(W / scale), scale = max |W| / 127.

    Covers linear layers, 2-D convolutions and embeddings (one scale a token). What stays in fp32: biases and
    normalisations (vectors, a few per cent of the bytes), parameters that belong to no such layer (positions,
    class tokens, gates), and layers of a kind that computes in a way of its own.

    `include` and `exclude` are wildcards over names of layers, such as `encoder.*` and `language_model.*`.
    """

    bits = 8.0

    def __init__(self, *, include: tuple[str, ...] = ("*",), exclude: tuple[str, ...] = ()):
        self.include = include
        self.exclude = exclude

    def quantize(self, model: nn.Module) -> None:
        """Put INT8 layers in the place of those chosen."""
        layers = {name: module for name, module in model.named_modules() if name and _fits(module)}
        chosen = {name: module for name, module in layers.items() if self._chooses(name)}
        if not chosen:
            raise QuantizerError(
                f"the quantizer 'int8' finds no layer with include {list(self.include)} and exclude"
                f" {list(self.exclude)}. Write wildcards over names such as {', '.join(list(layers)[:8]) or '(none)'}"
            )
        shared: dict[Tensor, tuple[Tensor, Tensor]] = {}
        replacements = {module: _int8_layer(name, module, shared) for name, module in chosen.items()}
        for parent in list(model.modules()):
            for name, child in parent._modules.items():
                if child in replacements:
                    parent._modules[name] = replacements[child]

    def _chooses(self, name: str) -> bool:
        included = any(fnmatchcase(name, pattern) for pattern in self.include)
        return included and not any(fnmatchcase(name, pattern) for pattern in self.exclude)


class Int8Layer(nn.Module):
    """A weight as int8 [O, ...] and its scales [O]; `weight` reads it as numbers of the scales' type."""

    weight_int8: Tensor
    scale: Tensor
    bias: nn.Parameter | None

    def __init__(self, weight_int8: Tensor, scale: Tensor, bias: nn.Parameter | None = None):
        super().__init__()
        self.register_buffer("weight_int8", weight_int8)
        self.register_buffer("scale", scale)
        self.register_parameter("bias", bias)

    @property
    def weight(self) -> Tensor:
        """The weight dequantized [O, ...], for code that shares it, such as a tied output head."""
        return self.weight_int8.to(self.scale.dtype) * self.scale.view(-1, *[1] * (self.weight_int8.ndim - 1))

    def extra_repr(self) -> str:
        """Sizes."""
        return f"{tuple(self.weight_int8.shape)}, bias={self.bias is not None}"


class Int8Linear(Int8Layer):
    """A linear layer on INT8 weights."""

    def forward(self, hidden: Tensor) -> Tensor:
        """hidden [..., in] -> [..., out]. The scale belongs to an output, so it can be applied after the product."""
        product = functional.linear(hidden, self.weight_int8.to(hidden.dtype))
        scale = self.scale.to(product.dtype)  # under autocast the product is narrower than what went in
        return product * scale if self.bias is None else torch.addcmul(self.bias.to(product.dtype), product, scale)


class Int8Embedding(Int8Layer):
    """An embedding on INT8 weights, one scale a token."""

    def forward(self, ids: Tensor) -> Tensor:
        """ids [...] -> embeddings [..., D]."""
        rows = functional.embedding(ids, self.weight_int8)  # [..., D] int8: only the rows asked for are dequantized
        return rows.to(self.scale.dtype) * self.scale[ids].unsqueeze(-1)


class Int8Conv2d(Int8Layer):
    """A 2-D convolution on INT8 weights."""

    def __init__(self, weight_int8: Tensor, scale: Tensor, bias: nn.Parameter | None, like: nn.Conv2d):
        super().__init__(weight_int8, scale, bias)
        self.stride, self.dilation, self.groups = like.stride, like.dilation, like.groups
        self.padding: Any = like.padding

    def forward(self, images: Tensor) -> Tensor:
        """images [P,C,H,W] -> [P,O,H',W']."""
        weight = self.weight.to(images.dtype)
        return functional.conv2d(images, weight, self.bias, self.stride, self.padding, self.dilation, self.groups)


def quantized(weight: Tensor) -> tuple[Tensor, Tensor]:
    """weight [O, ...] -> int8 weight [O, ...] and its scales [O]; a row of zeros has scale 1."""
    weight = weight.detach()
    rows = weight.flatten(1)
    largest = rows.abs().amax(dim=1)
    scale = torch.where(largest > 0, largest / LARGEST, torch.ones_like(largest))
    whole = (rows / scale[:, None]).round().clamp(-LARGEST, LARGEST)
    return whole.to(torch.int8).view(weight.shape), scale


def _fits(module: nn.Module) -> bool:
    """Whether a module computes exactly as a layer that can be replaced: a subclass may do something of its own."""
    if isinstance(module, nn.Linear):
        return type(module).forward is nn.Linear.forward
    if isinstance(module, nn.Embedding):
        return type(module).forward is nn.Embedding.forward and module.max_norm is None
    if isinstance(module, nn.Conv2d):
        return type(module).forward is nn.Conv2d.forward and module.padding_mode == "zeros"
    return False


def _int8_layer(name: str, module: nn.Module, shared: dict[Tensor, tuple[Tensor, Tensor]]) -> Int8Layer:
    """The INT8 layer in place of `module`. `shared` keeps what was made of each weight: tied weights stay tied."""
    weight = module.get_parameter("weight")
    if not weight.isfinite().all():
        raise QuantizerError(f"{name}.weight holds NaN or infinity and has no scale: train it again at a lower rate")
    if weight not in shared:
        shared[weight] = quantized(weight)
    bias = module._parameters.get("bias")
    if isinstance(module, nn.Conv2d):
        layer: Int8Layer = Int8Conv2d(*shared[weight], bias, module)
    elif isinstance(module, nn.Embedding):
        layer = Int8Embedding(*shared[weight])
    else:
        layer = Int8Linear(*shared[weight], bias)
    return layer.train(module.training)


@hookimpl
def register_quantizers(register):
    """INT8."""
    register("int8", Int8Quantizer)
