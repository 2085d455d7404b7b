"""Training on easy-VQA: one step on identical batches, and questions a second end to end, against two peers.

The peers are transformers' LlavaForConditionalGeneration and a loop written by hand; all have the same weights, the
same AdamW and the same clipping. Then: what packing the questions of an image gives for each fusion.

python benchmarks/training.py [--repeats 9] [--device cuda]
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import torch
from by_hand import ByHand
from llava import Size, build_both, llava_batch
from side_by_side import compare, native_precisions, print_machine
from torch import Tensor, nn

from workbench.config.experiment import load_experiment
from workbench.config.phase import Phase
from workbench.contracts.dataset import Dataset
from workbench.contracts.example import Example
from workbench.data.collator import Batch, Collator
from workbench.data.image_loader import ImageLoader
from workbench.devices.precision import autocast
from workbench.model.build import build_dataset, build_model, corpus_of
from workbench.model.vision_language_model import VisionLanguageModel
from workbench.registry import Registry, load_registry
from workbench.training.loop import train
from workbench.training.objectives import TrainingData

EXPERIMENT = Path(__file__).parent.parent / "experiments" / "quickstart.yaml"
SIZES = (
    Size("1.6 M parameters", 128, 344, 4, 3, 4, 16, 384),
    Size("10 M parameters", 256, 688, 6, 6, 4, 8, 512),
)
PROMPT = "<image>{question}\n"
IMAGES, QUESTIONS = 32, 5
STEPS = 2  # of a measured stretch end to end


def main() -> None:
    """Both comparisons for both sizes, then packing for each fusion."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--device", default="cpu")
    chosen = parser.parse_args()
    repeats = chosen.repeats
    torch.set_num_threads(1)
    print_machine(1, chosen.device)
    registry = load_registry()
    dataset = registry.create("dataset", "easy_vqa", shift=8, flip=True)
    for size in SIZES:
        against_peers(size, registry, dataset, repeats, chosen.device)
    packing(registry, repeats, chosen.device)


def against_peers(size: Size, registry: Registry, dataset: Dataset, repeats: int, device: str) -> None:
    """One size of model."""

    def texts() -> list[str]:
        examples = [each for task in dataset.tasks() for each in dataset.examples("train", task)]
        return [text for each in examples for text in (each.question, *each.answers)]

    ours, llava = (each.to(device) for each in build_both(size, registry, texts))
    hand = ByHand(size, ours.language_model.tokenizer.size).train().to(device)
    with torch.no_grad():
        for mine, theirs in zip(hand.parameters(), ours.parameters(), strict=True):
            mine.copy_(theirs)
    counts = [sum(each.numel() for each in model.parameters()) for model in (ours, llava, hand)]
    print(f"\n{size.name}: {counts[0]:,} parameters, Llava {counts[1]:,}, by hand {counts[2]:,}")
    assert max(counts) <= 1.03 * min(counts)
    grouped: dict[str, list[Example]] = {}
    for example in dataset.examples("train", "questions"):
        grouped.setdefault(example.image, []).append(example)
    same_batches(size, ours, llava, hand, dataset, grouped, repeats)
    end_to_end(size, ours, llava, dataset, grouped, repeats)


def same_batches(
    size: Size,
    ours: VisionLanguageModel,
    llava: Any,
    hand: ByHand,
    dataset: Dataset,
    grouped: dict[str, list[Example]],
    repeats: int,
) -> None:
    """One optimizer step on 32 images with one question each: the same tokens for all three."""
    keys = list(grouped)[:IMAGES]
    device = next(ours.parameters()).device
    images = torch.cat(ImageLoader(dataset, ours.encoder.views).plain(keys)).to(device)
    tokenizer = ours.language_model.tokenizer
    collate = Collator(tokenizer, PROMPT)
    questions = [grouped[key][:1] for key in keys]
    batch = collate(images, questions).to(device)
    texts = [collate.encode(each.question, each.answers[0]) for [each] in questions]
    usual = on(device, llava_batch(images, texts, size.image_tokens, tokenizer.image))
    losses: dict[str, tuple[nn.Module, Callable[[], Tensor]]] = {
        "Llava": (llava, lambda: llava(**usual).loss),
        "by hand": (hand, lambda: hand.loss(images, batch.ids, batch.labels)),
        "ours": (ours, lambda: ours.loss(batch)),
    }
    with torch.no_grad():
        values = [loss() for _, loss in losses.values()]
    torch.testing.assert_close(values[1:], values[:1] * 2, rtol=1e-5, atol=1e-5)
    for precision in native_precisions(str(device)):
        ways = {name: Step(model, precision, loss) for name, (model, loss) in losses.items()}
        ratios = compare(f"{size.name}, {precision}: one step, {IMAGES} images with a question each", ways, repeats)
        print(f"  ours against Llava: {ratios['ours']:.2f} (goal: at least 1.1)")
        print(f"  ours against by hand: {ratios['ours'] / ratios['by hand']:.2f} (goal: at least 0.97)")


class Step:
    """One optimizer step, the same for every model."""

    def __init__(self, model: nn.Module, precision: str, loss: Callable[[], Tensor]):
        self.parameters = list(model.parameters())
        self.optimizer = torch.optim.AdamW(self.parameters, lr=1e-5, fused=True)
        self.precision = precision
        self.loss = loss

    def __call__(self) -> None:
        with autocast(self.parameters[0].device, self.precision):
            loss = self.loss()
        loss.item()
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.parameters, 1.0)
        self.optimizer.step()


def end_to_end(
    size: Size,
    ours: VisionLanguageModel,
    llava: Any,
    dataset: Dataset,
    grouped: dict[str, list[Example]],
    repeats: int,
) -> None:
    """Images opened, changed, batched, trained on: 32 images with 5 questions each, against 160 images with one.

    Ours is the workbench's own `train`, its start included. Llava's images are as quick to open as ours.
    """
    collate = Collator(ours.language_model.tokenizer, PROMPT)
    images = ImageLoader(dataset, ours.encoder.views)
    plenty = [key for key, examples in grouped.items() if len(examples) >= QUESTIONS]
    some = Subset(dataset, [each for key in plenty for each in grouped[key]])
    data = TrainingData(some, images, collate)
    for precision in native_precisions(str(next(ours.parameters()).device)):
        phase = Phase(
            name="tune",
            train=("encoder", "connector", "fusion", "language_model"),
            steps=STEPS,
            batch=IMAGES,
            questions=QUESTIONS,
            precision=precision,
            rate=1e-5,
        )
        usual = Usual(size, llava, images, collate, some.questions, precision)
        ways = {"Llava": usual, "ours": partial(train, ours, [], phase, data, 0, ignore)}
        ratios = compare(f"{size.name}, {precision}: {STEPS} steps of {IMAGES * QUESTIONS} questions", ways, repeats)
        print(f"  questions a second against Llava: {ratios['ours']:.2f} (goal: at least 3)")


class Usual:
    """Llava's training: each question is a row with its own image, in random order."""

    def __init__(
        self,
        size: Size,
        llava: Any,
        images: ImageLoader,
        collate: Collator,
        examples: list[Example],
        precision: str,
    ):
        self.size, self.images, self.collate = size, images, collate
        self.chance = random.Random(0)
        self.device = next(llava.parameters()).device
        self.batches = self._batches(examples)
        self.step = Step(llava, precision, lambda: llava(**next(self.batches)).loss)

    def _batches(self, examples: list[Example]) -> Iterator[dict[str, Tensor]]:
        while True:
            chosen = self.chance.sample(examples, IMAGES * QUESTIONS)
            texts = [self.collate.encode(each.question, each.answers[0]) for each in chosen]
            images = torch.cat(self.images.augmented([each.image for each in chosen], lambda _: self.chance))
            yield on(self.device, llava_batch(images, texts, self.size.image_tokens, self.collate.tokenizer.image))

    def __call__(self) -> None:
        for _ in range(STEPS):
            self.step()


def on(device: torch.device, batch: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: each.to(device) for name, each in batch.items()}


class Subset(Dataset):
    """Some questions of a dataset: those of images that have enough of them."""

    def __init__(self, whole: Dataset, questions: list[Example]):
        self.whole, self.questions = whole, questions

    def examples(self, split: str, task: str) -> list[Example]:
        return self.questions

    @property
    def augments(self) -> bool:
        return self.whole.augments


def ignore(step: object) -> None:
    """Nobody reads the curve here."""


def packing(registry: Registry, repeats: int, device: str) -> None:
    """Forward and backward of the quickstart's vit models: a row for every image against a row for every question."""
    experiment = load_experiment(EXPERIMENT, registry, ["grid.encoder=[vit]", "grid.quantizer=[none]"])
    for trial in experiment.trials:
        dataset = build_dataset(trial, registry)
        model = build_model(trial, registry, corpus_of(trial, dataset)).to(device)
        grouped: dict[str, list[Example]] = {}
        for example in dataset.examples("train", "questions"):
            grouped.setdefault(example.image, []).append(example)
        keys = [key for key, examples in grouped.items() if len(examples) >= QUESTIONS][:IMAGES]
        examples = [grouped[key][:QUESTIONS] for key in keys]
        images = torch.cat(ImageLoader(dataset, model.encoder.views).plain(keys))
        tokenizer = model.language_model.tokenizer
        packed = Collator(tokenizer, trial.prompt)(images, examples).to(device)
        apart = Collator(tokenizer, trial.prompt, separate=True)(images, examples).to(device)
        usual = Collator(tokenizer, trial.prompt)(
            images.repeat_interleave(QUESTIONS, 0), [[each] for row in examples for each in row]
        ).to(device)
        with torch.no_grad():  # packing changes no number
            losses = [model.loss(batch) for batch in (usual, apart, packed)]
        torch.testing.assert_close(losses[1:], losses[:1] * 2, rtol=1e-4, atol=1e-5)
        compare(
            f"{trial.components['fusion'].name}: one pass, {IMAGES} images with {QUESTIONS} questions each",
            {
                "an image for every question, fp32": partial(one_pass, model, usual, "fp32"),
                "images once, a row for every question, fp32": partial(one_pass, model, apart, "fp32"),
                **{
                    f"images once, a row for every image, {each}": partial(one_pass, model, packed, each)
                    for each in native_precisions(device)
                },
            },
            repeats,
        )


def one_pass(model: VisionLanguageModel, batch: Batch, precision: str) -> None:
    """Forward and backward."""
    with autocast(batch.ids.device, precision):
        loss = model.loss(batch)
    loss.backward()
    nn.Module.zero_grad(model)


if __name__ == "__main__":
    main()
