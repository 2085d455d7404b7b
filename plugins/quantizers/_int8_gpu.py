"""Few rows times an INT8 weight on a GPU, in one kernel that reads the weight as it is.

Imported where it is used: Triton (https://triton-lang.org) comes with torch's builds for GPUs.
"""

from __future__ import annotations

from typing import Any

import torch
import triton  # pyright: ignore[reportMissingImports]
import triton.language as tl  # pyright: ignore[reportMissingImports]
from torch import Tensor

LEAST_ROWS = 16  # of a block that a matrix unit multiplies
OUTPUTS = 32  # of a block
INPUTS = {True: 256, False: 128}  # of a block of the least rows, and of more: three of them fit into a small GPU


@triton.jit
def _multiply(
    hidden,
    weight,
    scale,
    bias,
    product,
    rows,
    outputs,
    inputs,
    biased: tl.constexpr,
    row_block: tl.constexpr,
    output_block: tl.constexpr,
    input_block: tl.constexpr,
):
    row = tl.arange(0, row_block)
    output = tl.program_id(0) * output_block + tl.arange(0, output_block)
    total = tl.zeros((row_block, output_block), dtype=tl.float32)
    for start in range(0, inputs, input_block):
        place = start + tl.arange(0, input_block)
        inside = place[None, :] < inputs
        left = tl.load(hidden + row[:, None] * inputs + place[None, :], (row[:, None] < rows) & inside, 0.0)
        right = tl.load(weight + output[:, None] * inputs + place[None, :], (output[:, None] < outputs) & inside, 0)
        # An int8 weight is a bf16 number: nothing is rounded here but what comes in.
        total += tl.dot(left.to(tl.bfloat16), tl.trans(right.to(tl.bfloat16)))
    total *= tl.load(scale + output, output < outputs, 0.0).to(tl.float32)[None, :]
    if biased:
        total += tl.load(bias + output, output < outputs, 0.0).to(tl.float32)[None, :]
    there = (row[:, None] < rows) & (output[None, :] < outputs)
    tl.store(product + row[:, None] * outputs + output[None, :], total.to(product.dtype.element_ty), there)


def multiply(hidden: Tensor, weight: Tensor, scale: Tensor, bias: Tensor | None, kind: torch.dtype) -> Tensor:
    """hidden [R,I], weight int8 [O,I], scale [O], bias [O] -> [R,O] of that type; hidden is rounded to bf16."""
    hidden = hidden.contiguous()
    rows, (outputs, inputs) = len(hidden), weight.shape
    product = hidden.new_empty(rows, outputs, dtype=kind)
    row_block = max(LEAST_ROWS, 1 << (rows - 1).bit_length())
    kernel: Any = _multiply
    kernel[(-(-outputs // OUTPUTS),)](
        hidden,
        weight,
        scale,
        scale if bias is None else bias,
        product,
        rows,
        outputs,
        inputs,
        bias is not None,
        row_block,
        OUTPUTS,
        INPUTS[row_block == LEAST_ROWS],
        num_warps=4,
        num_stages=3,
    )
    return product
