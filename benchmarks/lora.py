"""Our LoRA against peft's on the same decoder, of the shape of GPT-2 small: step, peak memory, merged inference.

python benchmarks/lora.py [--repeats 9]
"""

from __future__ import annotations

import argparse
import resource
import statistics
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from side_by_side import compare, native_precisions, print_machine
from torch import nn

from workbench.contracts.adapter import Adapter
from workbench.devices.peak_memory import UNIT
from workbench.devices.precision import autocast
from workbench.registry import load_registry

VOCABULARY, WIDTH, DEPTH, HEADS = 50_257, 768, 12, 12
ROWS, LENGTH = 4, 128
RANK, ALPHA = 8, 16
TARGETS = ("q_proj", "k_proj", "v_proj", "o_proj")
MEBIBYTE = 2**20


def main() -> None:
    """Everything, or in a process of its own the peak memory of one way."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--memory-of", nargs=2, metavar=("WAY", "PRECISION"))
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    if chosen.memory_of:
        print(peak_memory(*chosen.memory_of))
        return
    print_machine(1)
    precisions = native_precisions("cpu")
    for precision in precisions:
        memory(precision)
    for precision in precisions:
        steps(precision, chosen.repeats)
    inference(chosen.repeats)


def steps(precision: str, repeats: int) -> None:
    """One optimizer step of each way, on the same ids."""
    models = {name: attach(build()) for name, attach in WAYS.items()}
    with torch.no_grad():
        losses = [loss_of(model) for model in models.values()]
    torch.testing.assert_close(losses[0], losses[1], rtol=1e-6, atol=0)  # LoRA begins as nothing
    if precision == "fp32":
        whole = sum(each.numel() for each in build().parameters())
        for name, model in models.items():
            count = sum(each.numel() for each in model.parameters() if each.requires_grad)
            print(f"{name}: {count:,} of {whole:,} trainable, down by {100 - 100 * count / whole:.2f} % (goal: 98 %)")
    ways = {name: Step(model, precision) for name, model in models.items()}
    ratios = compare(f"{precision}: one step, {ROWS} x {LENGTH} tokens", ways, repeats)
    print(f"  step time of ours by peft's: {1 / ratios['ours']:.3f} (goal: at most 1.0)")


def memory(precision: str) -> None:
    """The high-water mark of processes of their own, the median of three for each way.

    On Linux a process starts with the mark of the one that started it, so this comes before any model is built here.
    """
    peaks = {name: statistics.median(measured(name, precision) for _ in range(3)) for name in WAYS}
    assert min(peaks.values()) > high_water_mark(), "these are the marks of this process, not of those it started"
    print(f"{precision}: peak memory of a process, MiB: {', '.join(f'{name} {peaks[name]:.0f}' for name in WAYS)}")
    print(f"  ours by peft's: {peaks['ours'] / peaks['peft']:.3f} (goal: at most 1.0)")


def inference(repeats: int) -> None:
    """Merged layers against those of the base. The base against a copy of itself shows the noise."""
    base, copied, merged, merged_peft = build(), build(), build(), build()
    adapter = lora()
    trained = adapter.attach(merged)
    with torch.no_grad():
        for parameter in trained:
            parameter.add_(0.01)
    adapter.merge(merged)
    merged_peft = with_peft(merged_peft)
    for module in merged_peft.modules():
        if hasattr(module, "merge") and hasattr(module, "lora_A"):
            module.merge()
    models = {"base": base, "base again": copied, "ours, merged": merged, "peft, merged": merged_peft}
    with torch.inference_mode():
        ways: dict[str, Callable[[], object]] = {
            name: partial(model.eval(), input_ids=ids()) for name, model in models.items()
        }
        ratios = compare(f"fp32: forward pass of {ROWS} x {LENGTH} tokens", ways, repeats)
    noise = ratios["base again"]
    print(f"  base by merged: {ratios['ours, merged']:.3f} (goal: equal within noise; base by its copy: {noise:.3f})")


class Step:
    """One optimizer step of the parameters that train."""

    def __init__(self, model: nn.Module, precision: str):
        self.model = model.train()
        self.precision = precision
        trained = [each for each in model.parameters() if each.requires_grad]
        self.optimizer = torch.optim.AdamW(trained, lr=1e-4, fused=True)

    def __call__(self) -> None:
        with autocast(torch.device("cpu"), self.precision):
            loss = loss_of(self.model)
        loss.item()
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()


def measured(name: str, precision: str) -> float:
    """Peak memory of one way in a process of its own, in MiB."""
    command = [sys.executable, __file__, "--memory-of", name, precision]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return float(done.stdout.split()[-1])


def peak_memory(name: str, precision: str) -> float:
    """The peak of this process after three steps, in MiB. All ways import peft: its code is not what is compared."""
    import peft  # noqa: F401  # pyright: ignore[reportUnusedImport]

    step = Step(WAYS[name](build()), precision)
    for _ in range(3):
        step()
    return high_water_mark()


def high_water_mark() -> float:
    """The most memory this process has held, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * UNIT / MEBIBYTE


def build() -> Any:
    """A Llama as wide and deep as GPT-2 small, weights random: peft and we both look for `nn.Linear`."""
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=WIDTH,
        intermediate_size=WIDTH * 8 // 3,
        num_hidden_layers=DEPTH,
        num_attention_heads=HEADS,
        max_position_embeddings=1024,
        tie_word_embeddings=True,
    )
    return LlamaForCausalLM(config)


def with_peft(model: Any) -> Any:
    from peft import LoraConfig, inject_adapter_in_model

    config = LoraConfig(r=RANK, lora_alpha=ALPHA, target_modules=list(TARGETS), lora_dropout=0.0)
    return inject_adapter_in_model(config, model)


def with_ours(model: Any) -> Any:
    trained = lora().attach(model)
    model.requires_grad_(False)
    for parameter in trained:
        parameter.requires_grad_(True)
    return model


def lora() -> Adapter:
    targets = tuple(f"*.{name}" for name in TARGETS)
    return load_registry().create("adapter", "lora", rank=RANK, alpha=float(ALPHA), targets=targets)


def loss_of(model: Any) -> torch.Tensor:
    return model(input_ids=ids(), labels=ids()).loss


def ids() -> torch.Tensor:
    return torch.randint(VOCABULARY, (ROWS, LENGTH), generator=torch.Generator().manual_seed(1))


WAYS: dict[str, Callable[[Any], Any]] = {"peft": with_peft, "ours": with_ours}


if __name__ == "__main__":
    main()
