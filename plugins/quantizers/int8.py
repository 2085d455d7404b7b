"""INT8 weights: a quarter of the bytes, multiplied in a way that fits the number of rows and the machine."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from workbench import (
    QuantizedLinear,
    Quantizer,
    embedding_factor,
    has_int8_rows,
    hookimpl,
    is_conv1d,
    is_plain_linear,
    multiplies,
    product_type,
    replace_modules,
)

from ._experts import Stack, stacks_of_experts
from ._int8_weights import Int8Experts, Int8Layer, numbers, quantized
from ._layers import Exclude, Include, chosen

FEW_ROWS = 16  # up to here reading the weights takes the time, beyond it the arithmetic
FEW_ROWS_ON_GPU = 64
OUTPUTS_AT_ONCE = 2048


class Int8Quantizer(Quantizer):
    """Weight-only INT8, symmetric, one scale for each output channel: W_int8 = round(W / scale), scale = max |W| / 127.

    Covers linear layers, also those of GPT-2 in transformers, the experts of a mixture there, 2-D convolutions, and
    embeddings, also Gemma's (one scale a token). What stays as it was: biases and normalisations (vectors, a few per
    cent of the bytes), parameters that belong to no such layer (positions, class tokens, gates), and layers of a kind
    that computes in a way of its own.
    """

    bits = 8.0
    differentiable = True

    def __init__(
        self,
        *,
        include: Include = ("*",),
        exclude: Exclude = (),
        embeddings: Annotated[
            bool, Field(description="quantize embeddings too, and an output head that shares their weights")
        ] = True,
    ):
        self.include = include
        self.exclude = exclude
        self.embeddings = embeddings

    def quantize(self, model: nn.Module) -> None:
        """Put INT8 layers in the place of those chosen."""
        layers = {name: module for name, module in model.named_modules() if name and _fits(module)}
        if not self.embeddings:
            kept = {module.weight for module in layers.values() if isinstance(module, nn.Embedding)}
            layers = {name: module for name, module in layers.items() if module.weight not in kept}
        layers |= dict(stacks_of_experts(model))
        named = chosen(layers, self.include, self.exclude, "int8")
        shared: dict[Tensor, tuple[Tensor, Tensor]] = {}
        narrow = {module: _int8_layer(module, shared) for module in named.values()}
        replace_modules(model, narrow)
        for module, layer in narrow.items():
            if isinstance(module, Stack):
                module.replace(layer)


class Int8Linear(Int8Layer, QuantizedLinear):
    """A linear layer on INT8 weights. How it multiplies depends on the number of rows and on the machine alone.

    - Up to `FEW_ROWS` rows on a CPU with AVX2 or AVX-512: a kernel that reads the int8 weights as they are. Reading
      them is what takes the time, and they are a quarter as long.
    - More rows: dequantized for this one product, in bf16 where the CPU multiplies bf16 in hardware. The arithmetic
      is what takes the time, and in bf16 it is half as long; dequantizing is spread over the rows.
    - Up to `FEW_ROWS_ON_GPU` rows on a GPU: a kernel of ours that reads the int8 weights as they are (`_int8_gpu.py`).
      More rows: the integers are multiplied in the type of the input, and the scales come last.
    - Without bf16 in hardware: dequantized in fp32. Where a gradient is asked for: in the type of the input.

    Measured on one thread of a busy Zen 4 CPU (AVX-512 with bf16 and VNNI, torch 2.13) against fp32, at 1, 4, 16, 64,
    256 and 2,048 rows, with weights of 288x288, 768x288, 288x768, 32,000x288, 896x896, 4,864x896 and 896x4,864: the
    kernel is 1.1 to 8 times as fast up to 4 rows and 0.5 to 0.95 times from 256 on; dequantizing meets it at about 16
    rows and is 1.6 to 3 times as fast as fp32 from 256 on. fp32 or bf16 comes out as a plain layer would give it. On an
    NVIDIA H200 our kernel takes 0.6 to 0.9 of the time of bf16 up to 16 rows of a 7-billion decoder's layers, and 1.3
    to 2.2 times as long at 64; small layers take what Python takes to ask for them (docs/performance.md).
    """

    def __init__(self, weight_int8: Tensor, scale: Tensor, like: Tensor, bias: nn.Parameter | None):
        super().__init__(weight_int8, scale, like, bias)
        self.out_features, self.in_features = weight_int8.shape

    def joined_with(self, others: Sequence[Int8Linear]) -> Int8Linear:
        """One layer that makes the outputs of all, one behind the other."""
        layers = [self, *others]
        bias = None if self.bias is None else nn.Parameter(torch.cat([each.get_parameter("bias") for each in layers]))
        weight, scale = (torch.cat([each.get_buffer(name) for each in layers]) for name in ("weight_int8", "scale"))
        return Int8Linear(weight, scale, self.like, bias)

    def forward(self, input: Tensor) -> Tensor:
        """input [..., in] -> [..., out]."""
        # For one token a cast costs a third of a product by a 288 x 288 weight: nothing is done that need not be.
        buffers: dict[str, Any] = self._buffers
        weight, scale, bias = buffers["weight_int8"], buffers["scale"], self._parameters["bias"]
        shape, kind = input.shape, product_type(input)
        if input.requires_grad and torch.is_grad_enabled():
            return self._many_rows(input, kind, kind)
        if input.is_cuda:
            return self._on_gpu(input, kind)
        if input.numel() > FEW_ROWS * shape[-1] or not input.is_cpu or not _has_kernel_for(shape[-1]):
            if multiplies(input.device, torch.bfloat16):
                return self._many_rows(input, torch.bfloat16, kind)
            with torch.autocast(input.device.type, enabled=False):  # which would have the product in bf16 after all
                return self._many_rows(input, torch.float32, kind)
        # With fp32 rows the kernel is many times slower, and others than one behind the other it does not take.
        rows = input.reshape(-1, shape[-1]).bfloat16().contiguous()
        product = torch._weight_int8pack_mm(rows, weight, scale.bfloat16())  # pyright: ignore[reportPrivateImportUsage]
        if bias is not None:
            product = product + bias
        return product.to(kind).view(*shape[:-1], weight.shape[0])

    def _on_gpu(self, hidden: Tensor, kind: torch.dtype) -> Tensor:
        multiply = _gpu_kernel()
        trains = torch.is_grad_enabled() and self.bias is not None and self.bias.requires_grad
        if 0 < hidden.numel() <= FEW_ROWS_ON_GPU * hidden.shape[-1] and multiply is not None and not trains:
            product = multiply(hidden.reshape(-1, hidden.shape[-1]), self.weight_int8, self.scale, self.bias, kind)
            return product.view(*hidden.shape[:-1], self.out_features)
        product = functional.linear(hidden.to(kind), self.weight_int8.to(kind))
        scale = self.scale.to(kind)
        return product.mul_(scale) if self.bias is None else torch.addcmul(self.bias.to(kind), product, scale)

    def _many_rows(self, hidden: Tensor, kind: torch.dtype, expected: torch.dtype) -> Tensor:
        hidden, bias = hidden.to(kind), None if self.bias is None else self.bias.to(kind)
        if kind == expected or self.out_features <= OUTPUTS_AT_ONCE:
            return functional.linear(hidden, self.dequantized(kind), bias).to(expected)
        # An output head: weights and logits of the other type are kept for a part at a time, near the processor.
        product = hidden.new_empty((*hidden.shape[:-1], self.out_features), dtype=expected)
        for start in range(0, self.out_features, OUTPUTS_AT_ONCE):
            part = slice(start, start + OUTPUTS_AT_ONCE)
            weight = numbers(self.weight_int8[part], self.scale[part], kind)
            product[..., part] = functional.linear(hidden, weight, None if bias is None else bias[part])
        return product


class Int8Embedding(Int8Layer):
    """An embedding on INT8 weights, one scale a token; Gemma multiplies its rows by a `factor`, most do not."""

    factor: Tensor | None

    def __init__(self, weight_int8: Tensor, scale: Tensor, like: Tensor, factor: Tensor | None):
        super().__init__(weight_int8, scale, like)
        self.register_buffer("factor", factor, persistent=False)

    def forward(self, ids: Tensor) -> Tensor:
        """ids [...] -> embeddings [..., D]."""
        rows = functional.embedding(ids, self.weight_int8)  # [..., D] int8: only the rows asked for are dequantized
        scale = functional.embedding(ids, self.scale[:, None])  # [..., 1]
        rows = rows.to(self.like.dtype).mul_(scale)
        return rows if self.factor is None else rows * self.factor.to(rows.dtype)


class Int8Conv2d(Int8Layer):
    """A 2-D convolution on INT8 weights."""

    def __init__(self, weight_int8: Tensor, scale: Tensor, like: Tensor, bias: nn.Parameter | None, plain: nn.Conv2d):
        super().__init__(weight_int8, scale, like, bias)
        self.stride, self.dilation, self.groups = plain.stride, plain.dilation, plain.groups
        self.padding: Any = plain.padding

    def forward(self, images: Tensor) -> Tensor:
        """images [P,C,H,W] -> [P,O,H',W']."""
        weight = self.dequantized(images.dtype)
        return functional.conv2d(images, weight, self.bias, self.stride, self.padding, self.dilation, self.groups)


def _fits(module: nn.Module) -> bool:
    """Whether a module computes exactly as a layer that can be replaced: a subclass may do something of its own."""
    if isinstance(module, nn.Embedding):
        plain = type(module).forward is nn.Embedding.forward or embedding_factor(module) is not None
        return plain and module.max_norm is None
    if isinstance(module, nn.Conv2d):
        return type(module).forward is nn.Conv2d.forward and module.padding_mode == "zeros"
    return is_plain_linear(module)


def _int8_layer(module: nn.Module, shared: dict[Tensor, tuple[Tensor, Tensor]]) -> Int8Layer:
    """The INT8 layer in place of `module`. `shared` keeps what was made of each weight: tied weights stay tied."""
    weight = module.get_parameter("weight")
    if isinstance(module, Stack):
        whole, scale = quantized(module.matrices.flatten(0, 1))
        count = len(weight)
        stack = Int8Experts(whole.unflatten(0, (count, -1)), scale.unflatten(0, (count, -1)), weight, module.turned)
        return stack.train(module.training)
    if weight not in shared:
        shared[weight] = quantized(weight.T.contiguous() if is_conv1d(module) else weight)
    bias = module._parameters.get("bias")
    if isinstance(module, nn.Conv2d):
        layer: Int8Layer = Int8Conv2d(*shared[weight], weight, bias, module)
    elif isinstance(module, nn.Embedding):
        layer = Int8Embedding(*shared[weight], weight, embedding_factor(module))
    else:
        layer = Int8Linear(*shared[weight], weight, bias)
    return layer.train(module.training)


@cache
def _has_kernel_for(width: int) -> bool:
    """Whether this CPU has the kernel for few rows. At widths that 16 does not divide it reads past the end."""
    return width % 16 == 0 and has_int8_rows()


@cache
def _gpu_kernel() -> Callable[..., Tensor] | None:
    """Our kernel for few rows; None where there is no Triton, as on Windows."""
    try:
        from ._int8_gpu import multiply
    except ImportError:
        return None
    return multiply


@hookimpl
def register_quantizers(register):
    """INT8 weights in plain PyTorch, and in Triton on a GPU."""
    register("int8", Int8Quantizer)
