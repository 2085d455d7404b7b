"""What a device can do: asked of torch and of oneDNN, or tried. Every fast path asks here, and where the answer is no
the plain one is taken.

`WORKBENCH_CPU` takes away what a lesser processor has not got, to see how one fares: `avx2` (most laptops: neither
AVX-512 nor native bf16), or `plain` (another architecture: no kernel that only x86 has). It adds nothing.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import cache

import torch
from torch import Tensor
from torch.nn import functional

from workbench.errors import UserError

OVERRIDE = "WORKBENCH_CPU"
LESSER = ("avx2", "plain")

# Instructions that multiply matrices of a type; those of Arm are called otherwise.
PRODUCTS = {
    torch.bfloat16: ("avx512_bf16", "amx_bf16", "avx10_2", "bf16", "sve_bf16"),
    torch.float16: ("avx512_fp16", "amx_fp16", "avx10_2", "fp16_arith"),
}
TRIED_ROWS, TRIED_WIDTH = 2, 64


def check_processor() -> None:
    """`UserError` where `WORKBENCH_CPU` names a processor that nobody knows: before anything begins."""
    _override()


def multiplies(device: torch.device | str, kind: torch.dtype) -> bool:
    """Whether the device multiplies matrices of that type by instructions of its own. Narrow types need some; without
    them numbers are converted one by one, which may take 30 times as long."""
    if kind not in PRODUCTS:
        return True
    name = torch.device(device).type
    if name == "cuda":
        return kind == torch.float16 or torch.cuda.is_bf16_supported(including_emulation=False)
    return name == "cpu" and _cpu_multiplies(kind)


def instructions() -> str:
    """The widest instructions that torch and its products use here, as `AVX2` or `AVX512, bf16`."""
    found = _override() or torch.backends.cpu.get_cpu_capability()
    return ", ".join([found.upper(), *(["bf16"] if _cpu_multiplies(torch.bfloat16) else [])])


@cache
def packs(kind: torch.dtype) -> bool:
    """Whether oneDNN multiplies by a weight of that type which it has laid out for itself."""
    there = kind == torch.float32 or (kind in PRODUCTS and _has_any(PRODUCTS[kind]))
    return there and _override() != "plain" and _works(_packed, kind)


@cache
def has_int8_rows() -> bool:
    """Whether torch has a vectorised kernel that multiplies a few rows of bf16 by int8 weights as they are. For rows of
    fp32, and on processors with neither AVX2 nor AVX-512, it takes numbers one by one."""
    vectorised = torch.backends.cpu.get_cpu_capability() in ("AVX2", "AVX512") and _override() != "plain"
    return vectorised and _works(_int8_rows, torch.bfloat16)


@cache
def multiplies_int8() -> bool:
    """Whether the processor multiplies int8 by int8 without losing anything. Without dot products of int8 (VNNI, or
    those of Arm) oneDNN adds pairs in 16 bits, which overflow without a word: results are wrong by a third and more
    (https://uxlfoundation.github.io/oneDNN/dev_guide_int8_computations.html)."""
    return _override() is None and _works(_int8_by_int8, torch.int8)


@cache
def _cpu_multiplies(kind: torch.dtype) -> bool:
    """The processor has the instructions, and oneDNN, which may be told to leave some alone, uses them."""
    asked = {torch.bfloat16: "_is_mkldnn_bf16_supported", torch.float16: "_is_mkldnn_fp16_supported"}
    if not torch.backends.mkldnn.is_available() or not _has_any(PRODUCTS[kind]):
        return False
    uses: Callable[[], bool] = getattr(torch.ops.mkldnn, asked[kind], bool)
    return uses()


def _has_any(features: tuple[str, ...]) -> bool:
    there = torch.cpu.get_capabilities()
    return _override() is None and any(there.get(each, False) for each in features)


@cache
def _override() -> str | None:
    name = os.environ.get(OVERRIDE) or None
    if name is not None and name not in LESSER:
        raise UserError(f"{OVERRIDE}={name}: there is no such processor. Write {' or '.join(LESSER)}, or unset it")
    return name


def _works(kernel: Callable[[Tensor, Tensor], Tensor], kind: torch.dtype) -> bool:
    """Whether a kernel is there, runs, and multiplies right: hidden [R,I] by whole numbers [O,I]."""
    numbers = torch.arange(TRIED_WIDTH * TRIED_WIDTH).view(TRIED_WIDTH, TRIED_WIDTH)
    weight = (numbers * 37 % 255 - 127).float()
    weight[0] = 127  # with a row of the largest, where a sum overflows soonest
    hidden = (numbers[:TRIED_ROWS] * 11 % 17 - 8).to(kind)
    hidden[0] = 127
    with torch.autocast("cpu", enabled=False):
        try:
            found = kernel(hidden, weight.to(kind))
        except (RuntimeError, AttributeError):  # another build of torch, or another processor
            return False
        expected = functional.linear(hidden.float(), weight.to(kind).float())
    return torch.allclose(found.float(), expected, rtol=1e-2, atol=1e-1)


def _packed(hidden: Tensor, weight: Tensor) -> Tensor:
    blocks = torch.ops.mkldnn._reorder_linear_weight(weight, TRIED_ROWS)
    return torch.ops.mkldnn._linear_pointwise(hidden, blocks, None, "none", [], "")


def _int8_by_int8(hidden: Tensor, weight: Tensor) -> Tensor:
    return torch._int_mm(hidden, weight.T)  # pyright: ignore[reportPrivateImportUsage]


def _int8_rows(hidden: Tensor, weight: Tensor) -> Tensor:
    ones = torch.ones(len(weight), dtype=hidden.dtype)
    return torch._weight_int8pack_mm(hidden, weight.to(torch.int8), ones)  # pyright: ignore[reportPrivateImportUsage]
