"""Generation on real weights (stories15M): with the KV cache against none, and against Hugging Face `generate`.

python benchmarks/generation.py [--cache FOLDER] [--device cuda]

One thread, greedy, 32 prompt tokens and 128 new ones. Then the cache against none for each fusion on a new decoder.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import torch
from side_by_side import compare, native_precisions, print_machine
from stories15m import CACHE, stories15m
from torch import Tensor, nn

from workbench.checkpoints.tokenizer import Corpus
from workbench.contracts.encoder import Encoder, VisionShape
from workbench.contracts.example import Example
from workbench.contracts.fusion import Fusion
from workbench.data.collator import Batch, Collator
from workbench.devices.precision import autocast
from workbench.layers.prepared_linear import ready_to_answer
from workbench.model.generation import generate
from workbench.model.vision_language_model import VisionLanguageModel
from workbench.registry import load_registry

PROMPT, NEW = 32, 128
NAMES = (
    "Lily",
    "Tom",
    "Ben",
    "Anna",
    "Max",
    "Sara",
    "Tim",
    "Mia",
    "Sam",
    "Lucy",
    "Jack",
    "Amy",
    "Bob",
    "Jane",
    "Leo",
    "Sue",
)
STORY = (
    "Once upon a time there was a child named {} who loved to play in the park near the old house."
    " One sunny day, the child met a friendly dog and they went"
)
QUESTION = "what is in the picture and where does it stand?"
NONE, OURS, THEIRS = "ours, without a cache", "ours, with the KV cache", "Hugging Face generate"


class Patches(Encoder):
    """49 tokens of an image, as CLIP ViT-B/32 gives; the encoder itself is not what is measured here."""

    def __init__(self):
        super().__init__()
        self.shape = VisionShape(64, 49)
        self.image_size = 56
        self.patches = nn.Conv2d(3, 64, 8, 8)

    def forward(self, images: Tensor) -> Tensor:
        return self.patches(images).flatten(2).transpose(1, 2)


def main() -> None:
    """Real weights in both precisions, alone and in a batch; then the fusions."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cache", type=Path, default=CACHE, help="where downloads are kept")
    parser.add_argument("--device", default="cpu")
    chosen = parser.parse_args()
    folder = stories15m(chosen.cache)
    torch.set_num_threads(1)
    print_machine(1, chosen.device)
    for precision in native_precisions(chosen.device):
        for rows, repeats in ((1, 7), (16, 3)):
            stories(folder, precision, rows, repeats, chosen.device)
    for plugin in load_registry().plugins("fusion"):
        fusion(plugin.name, chosen.device)


def stories(folder: Path, precision: str, rows: int, repeats: int, device: str) -> None:
    """Print the three ways side by side, what they say of the goals, and whether they tell the same stories."""
    model, theirs = storyteller(folder).to(device), transformers_model(folder, precision).to(device)
    batch = prompts(model, rows).to(device)
    vision = torch.empty(rows, 0, device=device)  # there is no image, and the fusion is one that changes nothing
    seconds: list[float] = []
    with answering(model, precision) as ours:
        ways: dict[str, Callable[[], list[list[int]]]] = {
            NONE: ours(partial(without_cache, model, vision, batch, NEW)),
            OURS: ours(lambda: [row[0] for row in generate(model, vision, batch, NEW)]),
            THEIRS: lambda: theirs.generate(batch.ids, max_new_tokens=NEW, do_sample=False)[:, PROMPT:].tolist(),
        }
        told = {name: way() for name, way in ways.items()}
        ways[OURS] = timed(ways[OURS], seconds)
        ratios = compare(f"stories15M, {precision}, batch {rows}: {PROMPT} + {NEW} tokens", ways, repeats)
        bandwidth = memory_bandwidth(device)
    read = (2 if precision == "bf16" else 4) * sum(each.numel() for each in model.parameters())
    speed = read * NEW / statistics.median(seconds) / 1e9
    print(f"  cache over none {ratios[OURS]:.2f} x (goal: at least 3.9 x)")
    print(f"  ours over Hugging Face {ratios[OURS] / ratios[THEIRS]:.2f} x (goal: at least 1.3 x)")
    print(f"  {speed:.1f} GB/s of weights, {speed / bandwidth:.0%} of the {bandwidth:.1f} GB/s of a plain read")
    same = {
        name: statistics.fmean(a == b for a, b in zip(flat(told[OURS]), flat(each), strict=True))
        for name, each in told.items()
    }
    print("  the same tokens: " + ", ".join(f"{share:.1%} ({name})" for name, share in same.items() if name != OURS))
    if precision == "fp32" and set(same.values()) != {1.0}:
        raise SystemExit("in fp32 all ways have to tell the same story")


def storyteller(folder: Path) -> VisionLanguageModel:
    """The decoder as evaluation runs it, with a fusion that adds nothing. No story ends early."""
    decoder = load_registry().create("language_model", "llama", Corpus(list), checkpoint=str(folder))
    decoder.tokenizer.end = -1
    return VisionLanguageModel(Patches(), nn.Identity(), Fusion(), decoder).eval()  # pyright: ignore[reportArgumentType]


def transformers_model(folder: Path, precision: str) -> Any:
    """The same weights in transformers."""
    from transformers import LlamaForCausalLM

    kind = torch.bfloat16 if precision == "bf16" else torch.float32
    model = LlamaForCausalLM.from_pretrained(folder, dtype=kind).eval()
    model.generation_config.eos_token_id = None
    model.generation_config.pad_token_id = 0
    return model


def prompts(model: VisionLanguageModel, rows: int) -> Batch:
    """The beginnings of `rows` stories, 32 tokens each with that for the start."""
    tokenizer = model.language_model.tokenizer
    texts = [tokenizer.decode(tokenizer.encode(STORY.format(name))[: PROMPT - 1]) for name in NAMES[:rows]]
    examples = [[Example(text, text, text, ("",))] for text in texts]
    batch = Collator(tokenizer, "{question}")(torch.empty(0), examples, answered=False)
    assert batch.ids.shape == (rows, PROMPT)
    return batch


@contextmanager
def answering(model: VisionLanguageModel, precision: str) -> Iterator[Callable[[Callable], Callable]]:
    """What an evaluation puts around its questions; gives what puts a way of ours under its precision."""
    device = next(model.parameters()).device

    def under_precision(way: Callable) -> Callable:
        def run() -> Any:
            with autocast(device, precision):
                return way()

        return run

    with torch.inference_mode(), ExitStack() as stack:
        with autocast(device, precision):
            stack.enter_context(ready_to_answer(model))
        yield under_precision


def without_cache(model: VisionLanguageModel, vision: Any, batch: Batch, new: int) -> list[list[int]]:
    """Append the most likely token of each row and run the whole sequence again."""
    ids, positions, segments, prompt = batch.ids, batch.positions, batch.segments, batch.prompt
    for _ in range(new):
        longer = Batch(batch.images, ids, positions, segments, ids, prompt, batch.image_set)
        token = model.language_model.head(model.hidden(vision, longer)[:, -1]).float().argmax(-1, keepdim=True)
        ids, positions = torch.cat([ids, token], 1), torch.cat([positions, positions[:, -1:] + 1], 1)
        segments = torch.cat([segments, torch.ones_like(token)], 1)
        prompt = torch.cat([prompt, torch.zeros_like(token, dtype=torch.bool)], 1)
    return ids[:, batch.ids.shape[1] :].tolist()


def timed(way: Callable[[], list], seconds: list[float]) -> Callable[[], list]:
    """The same, and how long it took each time."""

    def run() -> list:
        started = time.perf_counter()
        found = way()
        seconds.append(time.perf_counter() - started)
        return found

    return run


def memory_bandwidth(device: str) -> float:
    """GB/s at which one thread, or the GPU, adds up 256 MB."""
    numbers, seconds = torch.ones(64 * 2**20, device=device), []
    for _ in range(7):
        started = time.perf_counter()
        numbers.sum().item()
        seconds.append(time.perf_counter() - started)
    return numbers.nbytes / statistics.median(seconds) / 1e9


def flat(rows: list[list[int]]) -> list[int]:
    return [id_ for row in rows for id_ in row]


def fusion(name: str, device: str, new: int = 64) -> None:
    """The cache against none with an image, fp32, batch 1."""
    registry, encoder = load_registry(), Patches()
    decoder = registry.create("language_model", "gpt", Corpus(lambda: [QUESTION]), width=256, depth=6, heads=8)
    decoder.tokenizer.end = -1
    connector = registry.create("connector", "linear", encoder.shape, 256)
    chosen = registry.create("fusion", name, connector.shape, decoder.shape)
    model = VisionLanguageModel(encoder, connector, chosen, decoder).eval().to(device)
    images = torch.randn(1, 3, 56, 56).to(device)
    collate = Collator(decoder.tokenizer, "<image>{question}\n", chosen.reads_text)
    batch = collate(images, [[Example("0", "0", QUESTION, ("x",))]], answered=False).to(device)
    with answering(model, "fp32"):
        vision = model.see(images)
        ways = {
            NONE: partial(without_cache, model, vision, batch, new),
            OURS: partial(generate, model, vision, batch, new),
        }
        compare(f"{name}: {new} new tokens, batch 1, fp32", ways, repeats=3)


if __name__ == "__main__":
    main()
