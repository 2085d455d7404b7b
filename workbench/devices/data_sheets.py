"""What the makers of GPUs say these can do: dense peaks of matrix products, and memory.

Where a data sheet gives a peak with sparsity alone, half of it is the dense one, as its footnote says. `fp32` is that
of the cores outside the tensor cores, as torch computes by default; TF32 is not what the workbench asks for.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

GB = 10**9
NVIDIA = "https://www.nvidia.com"
FILES = "https://images.nvidia.com"


@dataclass(frozen=True)
class DataSheet:
    """A GPU: `memory` in bytes, and by precision the dense peak in FLOP/s; a precision it has no products for is not
    there. `source` is the page of the maker."""

    title: str
    memory: int
    peak: Mapping[str, float]
    source: str


def _sheet(title: str, gigabytes: int, source: str, fp32: float, **narrow: float) -> DataSheet:
    """Peaks in TFLOP/s."""
    return DataSheet(
        title, gigabytes * GB, {name: 1e12 * each for name, each in {"fp32": fp32, **narrow}.items()}, source
    )


DATA_SHEETS: Mapping[str, DataSheet] = {
    "a100": _sheet("NVIDIA A100 SXM 80 GB", 80, f"{NVIDIA}/en-us/data-center/a100/", 19.5, bf16=312, fp16=312),
    "a100-40gb": _sheet("NVIDIA A100 SXM 40 GB", 40, f"{NVIDIA}/en-us/data-center/a100/", 19.5, bf16=312, fp16=312),
    "h100": _sheet("NVIDIA H100 SXM 80 GB", 80, f"{NVIDIA}/en-us/data-center/h100/", 67, bf16=989.5, fp16=989.5),
    "h100-pcie": _sheet("NVIDIA H100 PCIe 80 GB", 80, f"{NVIDIA}/en-us/data-center/h100/", 51, bf16=756.5, fp16=756.5),
    "h200": _sheet("NVIDIA H200 SXM 141 GB", 141, f"{NVIDIA}/en-us/data-center/h200/", 67, bf16=989.5, fp16=989.5),
    "l40s": _sheet("NVIDIA L40S 48 GB", 48, f"{NVIDIA}/en-us/data-center/l40s/", 91.6, bf16=362.05, fp16=362.05),
    "rtx4090": _sheet(
        "NVIDIA GeForce RTX 4090 24 GB",
        24,
        f"{FILES}/aem-dam/Solutions/geforce/ada/nvidia-ada-gpu-architecture.pdf",
        82.6,
        bf16=165.2,
        fp16=165.2,
    ),
    "v100": _sheet("NVIDIA V100 SXM2 32 GB", 32, f"{NVIDIA}/en-us/data-center/v100/", 15.7, fp16=125),
}
