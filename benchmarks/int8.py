"""INT8 against fp32 and against torchao's INT8, on real weights: stories15M in the `llama` decoder, one thread.

python benchmarks/int8.py [--cache FOLDER] [--device cuda]
"""

from __future__ import annotations

import argparse
import copy
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from side_by_side import compare, print_machine
from stories15m import CACHE, stories15m
from torch import Tensor, nn

from workbench.checkpoints.tokenizer import Corpus
from workbench.contracts.language_model import LanguageModel
from workbench.layers.prepared_linear import ready_to_answer
from workbench.model.build import count_bytes
from workbench.registry import load_registry

PROMPT_TOKENS, NEW_TOKENS = 32, 128
ROWS, LENGTH = 32, 64
STORIES = 16
LAYERS, CALLS = ((4096, 4096), (11008, 4096), (4096, 11008), (32000, 4096)), 100
OPENING = "Once upon a time, there was a little"
SUBJECTS = ("girl", "boy", "dog", "cat", "bird", "bear", "frog", "fish", "tree", "car", "mouse", "duck", "cow", "king",
            "rabbit", "train")  # fmt: skip


@torch.inference_mode()
def main() -> None:
    """Print every figure with its goal."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cache", type=Path, default=CACHE, help="where the weights are kept")
    parser.add_argument("--device", default="cpu")
    chosen = parser.parse_args()
    device = chosen.device
    torch.set_num_threads(1)
    print_machine(1, device)
    registry = load_registry()
    fp32: LanguageModel = registry.create(
        "language_model", "llama", Corpus(list), checkpoint=str(stories15m(chosen.cache))
    )
    fp32.eval().to(device)
    int8 = copy.deepcopy(fp32)
    registry.create("quantizer", "int8").quantize(int8)
    peer = torchao_int8(fp32)
    stories = prompts(fp32)
    told("bytes, of those of fp32", count_bytes(int8) / count_bytes(fp32), "at most 0.30", " x")
    print_agreement(fp32, int8, stories)
    with_peer = {} if peer is None else {"torchao INT8, cache": partial(decode, peer, stories[:1])}
    ratios = compare(
        f"decode: {PROMPT_TOKENS} + {NEW_TOKENS} tokens, batch 1",
        {
            "fp32, cache": partial(decode, fp32, stories[:1]),
            "INT8, cache": partial(decode, int8, stories[:1]),
            "INT8, cache, bf16 between layers": in_bf16(device, partial(decode, int8, stories[:1])),
            **with_peer,
        },
        repeats=5,
    )
    print_ratios(ratios, "INT8, cache", "torchao INT8, cache", "at least 2.7", "at least 4")
    ratios = compare(
        "the same as an evaluation does it, within ready_to_answer",
        {
            "fp32, cache, ready": ready(fp32, stories[:1]),
            "INT8, cache, ready": ready(int8, stories[:1]),
            "plain, cache, ready, bf16 between layers": in_bf16(device, ready(fp32, stories[:1])),
            "INT8, cache, ready, bf16 between layers": in_bf16(device, ready(int8, stories[:1])),
            **with_peer,
        },
        repeats=5,
    )
    print_ratios(ratios, "INT8, cache, ready", "torchao INT8, cache", "at least 2.7", "at least 4")
    ids = fitting(fp32, stories).repeat(ROWS // STORIES, 1)
    with_peer = {} if peer is None else {"torchao INT8": partial(logits, peer, ids)}
    ratios = compare(
        f"prefill: {ROWS} rows x {LENGTH} tokens to their logits",
        {
            "fp32": partial(logits, fp32, ids),
            "INT8": partial(logits, int8, ids),
            "INT8, bf16 between layers": in_bf16(device, partial(logits, int8, ids)),
            **with_peer,
        },
        repeats=5,
    )
    print_ratios(ratios, "INT8", "torchao INT8", "at least 1.9", "at least 1.9")
    print_against_no_cache(fp32, int8, stories[:1], device)
    if device.startswith("cuda"):
        layers_on_a_gpu(device)


def print_against_no_cache(fp32: LanguageModel, int8: LanguageModel, prompt: Tensor, device: str) -> None:
    """What S1 compares: fp32 that runs everything again for each token, and INT8 with the cache.

    The baseline is the plain loop `logits = model(ids); ids += argmax(logits[-1])`: the head runs at every position.
    The one that runs it at the last position only is told too; the goal is the same.
    """
    for title, everywhere in {"logits at every position": True, "logits at the last position only": False}.items():
        ratios = compare(
            f"fp32 without cache, {title}, batch 1, {PROMPT_TOKENS} + {NEW_TOKENS} tokens",
            {
                "fp32, no cache": partial(without_cache, fp32, prompt, everywhere),
                "INT8, cache": partial(decode, int8, prompt),
                "INT8, cache, bf16 between layers": in_bf16(device, partial(decode, int8, prompt)),
            },
            repeats=3,
        )
        for name in list(ratios)[1:]:
            told(f"{name} : fp32, no cache", ratios[name], "at least 14")


def layers_on_a_gpu(device: str) -> None:
    """Single layers of the sizes of a Llama with 7 B parameters, in bf16: what the GPU takes, without what Python takes
    to ask for it."""
    for outputs, inputs in LAYERS:
        plain = nn.Sequential(nn.Linear(inputs, outputs, bias=False)).to(device, torch.bfloat16)
        int8 = copy.deepcopy(plain)
        load_registry().create("quantizer", "int8").quantize(int8)
        for rows in (1, 16, 64, 512):
            hidden = torch.randn(rows, inputs, dtype=torch.bfloat16, device=device)
            ways = {"bf16": recorded(partial(plain, hidden)), "INT8": recorded(partial(int8, hidden))}
            ratios = compare(f"{outputs} x {inputs}, {rows} rows, {CALLS} times", ways)
            told("INT8 : bf16", ratios["INT8"], "")


def recorded(way: Callable[[], object]) -> Callable[[], None]:
    """`CALLS` calls as one CUDA graph."""
    way()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        for _ in range(CALLS):
            way()
    return graph.replay


def torchao_int8(model: LanguageModel) -> LanguageModel | None:
    """torchao's weight-only INT8 of the linear layers, eager, in fp32; None where it is not installed."""
    try:
        from torchao.quantization import Int8WeightOnlyConfig, quantize_  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        print(f"torchao is left out: {error}. It comes with `pip install -e .[benchmark]`")
        return None
    peer = copy.deepcopy(model)
    for module in peer.modules():
        if isinstance(module, nn.Linear):  # what it makes of a weight would otherwise reach a tied embedding
            module.weight = nn.Parameter(module.weight.detach().clone(), requires_grad=False)
    quantize_(peer, Int8WeightOnlyConfig())
    return peer


def prompts(model: LanguageModel) -> Tensor:
    """The first tokens of stories that the model tells itself [STORIES, PROMPT_TOKENS]."""
    openings = [[1, *model.tokenizer.encode(f"{OPENING} {subject}")] for subject in SUBJECTS[:STORIES]]
    shortest = min(len(ids) for ids in openings)
    ids = torch.tensor([ids[:shortest] for ids in openings], device=next(model.parameters()).device)
    return torch.cat([ids, decode(model, ids, PROMPT_TOKENS - shortest)], dim=1)


def fitting(model: LanguageModel, ids: Tensor) -> Tensor:
    """The stories told on to the length of the prefill."""
    return torch.cat([ids, decode(model, ids, LENGTH - ids.shape[1])], dim=1)


def decode(model: LanguageModel, ids: Tensor, new: int = NEW_TOKENS) -> Tensor:
    """ids [R,T] -> the `new` most likely tokens [R,new], with the KV cache; none of them ends a story."""
    rows, length = ids.shape
    cache = model.new_cache(rows, length + new)
    hidden = read(model, ids, cache)
    chosen = []
    for position in range(length, length + new):
        chosen.append(model.head(hidden[:, -1:]).argmax(-1))  # [R,1]
        if len(chosen) < new:
            hidden = model(model.embed(chosen[-1]), at(position, ids), None, cache)
    return torch.cat(chosen, dim=1)


def at(position: int, ids: Tensor) -> Tensor:
    """The position [R,1] of one token a row, beside ids [R,T]."""
    return torch.full((len(ids), 1), position, device=ids.device)


def ready(model: LanguageModel, ids: Tensor) -> Callable[[], object]:
    """`decode` as an evaluation runs it; making the layers ready counts, for one answer, though it serves many."""

    def run() -> object:
        with ready_to_answer(model):
            return decode(model, ids)

    return run


def without_cache(model: LanguageModel, ids: Tensor, everywhere: bool) -> Tensor:
    """ids [R,T] -> [R,T+new], running everything again for each token; the head at every position or the last."""
    for _ in range(NEW_TOKENS):
        hidden = read(model, ids)
        ids = torch.cat([ids, model.head(hidden if everywhere else hidden[:, -1:])[:, -1:].argmax(-1)], dim=1)
    return ids


def read(model: LanguageModel, ids: Tensor, cache: object = None) -> Tensor:
    """ids [R,T] -> hidden [R,T,D]."""
    rows, length = ids.shape
    positions = torch.arange(length, device=ids.device).expand(rows, -1)
    mask = torch.ones(length, length, dtype=torch.bool, device=ids.device).tril().expand(rows, 1, -1, -1)
    return model(model.embed(ids), positions, mask, cache)


def logits(model: LanguageModel, ids: Tensor) -> Tensor:
    """ids [R,T] -> logits [R,T,V]."""
    return model.head(read(model, ids))


def in_bf16(device: str, way: Callable[[], object]) -> Callable[[], object]:
    """The same at the evaluation precision bf16."""

    def run() -> object:
        with torch.autocast(torch.device(device).type, torch.bfloat16):
            return way()

    return run


def print_agreement(fp32: LanguageModel, int8: LanguageModel, stories: Tensor) -> None:
    """How many tokens of fp32's stories INT8 would have chosen too, reading at once and one at a time."""
    story = torch.cat([stories, decode(fp32, stories)], dim=1)  # [STORIES,T]
    told_on = story[:, PROMPT_TOKENS:]
    print(f"\ngreedy tokens equal to fp32, {told_on.numel()} tokens of {STORIES} stories")
    told("read at once", agreement(logits(int8, story)[:, PROMPT_TOKENS - 1 : -1], told_on), "at least 0.985", "")
    one_at_a_time = torch.cat([stepwise(int8, row[None]) for row in story])
    told("one at a time, with the cache", agreement(one_at_a_time, told_on), "at least 0.985", "")
    with torch.autocast(stories.device.type, torch.bfloat16):
        one_at_a_time = torch.cat([stepwise(int8, row[None]) for row in story])
        plain = torch.cat([stepwise(fp32, row[None]) for row in story])
    told("one at a time, bf16 between layers", agreement(one_at_a_time, told_on), "at least 0.985", "")
    told("for comparison: bf16 without INT8", agreement(plain, told_on), "", "")


def stepwise(model: LanguageModel, story: Tensor) -> Tensor:
    """The logits of each token behind the prompt [1,T-P,V], read one at a time."""
    cache = model.new_cache(1, story.shape[1])
    hidden = [read(model, story[:, :PROMPT_TOKENS], cache)[:, -1:]]
    for position in range(PROMPT_TOKENS, story.shape[1] - 1):
        token = story[:, position : position + 1]
        hidden.append(model(model.embed(token), at(position, token), None, cache))
    return torch.cat([model.head(each) for each in hidden], dim=1)


def agreement(logits: Tensor, ids: Tensor) -> float:
    """logits [R,T,V] and ids [R,T] -> the share of ids with the highest logit."""
    return float((logits.argmax(-1) == ids).float().mean())


def print_ratios(ratios: dict[str, float], own: str, peer: str, goal: str, peer_goal: str) -> None:
    """INT8, and INT8 with bf16 between layers, against fp32 and against the peer."""
    for name in [name for name in ratios if name.startswith(own)]:
        told(f"{name} : fp32", ratios[name], goal)
        if peer in ratios:
            told(f"{name} : torchao", ratios[name] / ratios[peer], peer_goal)


def told(name: str, figure: float, goal: str, unit: str = " x") -> None:
    """One figure beside its goal."""
    print(f"    {name:<50} {figure:6.3f}{unit}" + (f"   goal: {goal}{unit}" if goal else ""))


if __name__ == "__main__":
    main()
