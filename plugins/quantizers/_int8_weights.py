"""Weights as int8 numbers with a scale for each output: how they are made, kept, and read as numbers again."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

LARGEST = 127  # -128 is left out, so that the range is symmetric


def quantized(weight: Tensor) -> tuple[Tensor, Tensor]:
    """weight [O, ...] -> int8 weight [O, ...] and its scales [O]; a row of zeros has scale 1.

    A scale is a bf16 number, so that arithmetic in bf16 and in fp32 starts from the same weights. Rounding it moves a
    quotient by at most 0.4 %: the largest of a row is still 127, and none is off by more than half a scale.
    """
    if weight.is_meta:  # a plan asks for shapes: there are no numbers
        scale = torch.empty(len(weight), dtype=torch.bfloat16, device=weight.device)
        return torch.empty(weight.shape, dtype=torch.int8, device=weight.device), scale
    rows = weight.detach().flatten(1).float()
    scale = (rows.abs().amax(dim=1) / LARGEST).to(torch.bfloat16)
    scale = torch.where(scale > 0, scale, torch.ones_like(scale))
    whole = (rows / scale[:, None]).round().clamp(-LARGEST, LARGEST)
    return whole.to(torch.int8).view(weight.shape), scale


def numbers(weight_int8: Tensor, scale: Tensor, kind: torch.dtype) -> Tensor:
    """int8 weight [O, ...] and scales [O] -> the weight [O, ...] as numbers of that type."""
    return weight_int8.to(kind).mul_(scale.to(kind).view(-1, *[1] * (weight_int8.ndim - 1)))


class Int8Layer(nn.Module):
    """A weight as int8 [O, ...] and its scales [O]; `weight` reads it as numbers of the type it had."""

    weight_int8: Tensor
    scale: Tensor
    like: Tensor
    bias: nn.Parameter | None

    def __init__(self, weight_int8: Tensor, scale: Tensor, like: Tensor, bias: nn.Parameter | None = None):
        nn.Module.__init__(self)
        self.register_buffer("weight_int8", weight_int8)
        self.register_buffer("scale", scale)
        # Empty: its type, which follows `model.to(...)`, is that of the weight read as numbers.
        self.register_buffer("like", like.detach().new_empty(0), persistent=False)
        self.register_parameter("bias", bias)

    @property
    def weight(self) -> Tensor:
        """The weight dequantized [O, ...], for code that shares it and multiplies by itself."""
        return self.dequantized(self.like.dtype)

    def dequantized(self, kind: torch.dtype) -> Tensor:
        """The weight [O, ...] as numbers of that type, made anew and kept nowhere."""
        return numbers(self.weight_int8, self.scale, kind)

    def extra_repr(self) -> str:
        """The sizes of the layer that it stands for."""
        return f"{tuple(self.weight_int8.shape)}, bias={self.bias is not None}"


class Int8Experts(Int8Layer):
    """The matrices of experts on INT8 weights [experts,out,in], with scales [experts,out].

    An expert's matrix is made anew when it is asked for by its number, for that product alone.
    """

    def __init__(self, weight_int8: Tensor, scale: Tensor, like: Tensor, turned: bool):
        super().__init__(weight_int8, scale, like)
        self.turned = turned

    def dequantized(self, kind: torch.dtype) -> Tensor:
        """All matrices, as the parameter had them."""
        return self._matrices(slice(None), kind)

    def __getitem__(self, expert: Any) -> Tensor:
        """The matrix of an expert [out,in], or [in,out] where the parameter had it so."""
        return self._matrices(expert, self.like.dtype)

    def _matrices(self, which: Any, kind: torch.dtype) -> Tensor:
        matrices = self.weight_int8[which].to(kind).mul_(self.scale[which].to(kind).unsqueeze(-1))
        return matrices.transpose(-1, -2) if self.turned else matrices
