"""A training step on easy-VQA: all questions of a picture in one row against a row for each; bf16 against fp32.

python benchmarks/training.py
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import torch
from side_by_side import compare, print_machine
from torch import nn

from workbench.batches import Batch, Collator
from workbench.compose import build_dataset, build_model, corpus_of
from workbench.experiment import load_experiment
from workbench.model import VisionLanguageModel
from workbench.pictures import Pictures
from workbench.precision import autocast
from workbench.registry import load_registry

EXPERIMENT = Path(__file__).parent.parent / "experiments" / "quickstart.yaml"
PICTURES, QUESTIONS = 32, 5


def main() -> None:
    """Compare for each fusion of the quickstart."""
    torch.set_num_threads(1)
    print_machine(1)
    registry = load_registry()
    experiment = load_experiment(EXPERIMENT, registry, ["grid.encoder=[vit]", "grid.quantizer=[none]"])
    for trial in experiment.trials:
        dataset = build_dataset(trial, registry)
        model = build_model(trial, registry, corpus_of(trial, dataset))
        grouped: dict[str, list] = {}
        for example in dataset.examples("train", "questions"):
            grouped.setdefault(example.picture, []).append(example)
        keys = [key for key, examples in grouped.items() if len(examples) >= QUESTIONS][:PICTURES]
        examples = [grouped[key][:QUESTIONS] for key in keys]
        images = Pictures(dataset, model.encoder.transform).plain(keys)
        tokenizer = model.language_model.tokenizer
        packed = Collator(tokenizer, trial.prompt)(images, examples)
        apart = Collator(tokenizer, trial.prompt, separate=True)(images, examples)
        usual = Collator(tokenizer, trial.prompt)(
            images.repeat_interleave(QUESTIONS, 0), [[each] for row in examples for each in row]
        )
        compare(
            f"{trial.components['fusion'].name}: one step, {PICTURES} pictures with {QUESTIONS} questions each",
            {
                "a picture for every question, fp32": partial(step, model, usual, "fp32"),
                "pictures once, a row for every question, fp32": partial(step, model, apart, "fp32"),
                "pictures once, a row for every picture, fp32": partial(step, model, packed, "fp32"),
                "pictures once, a row for every picture, bf16": partial(step, model, packed, "bf16"),
            },
        )


def step(model: VisionLanguageModel, batch: Batch, precision: str) -> None:
    """Forward and backward."""
    with autocast(torch.device("cpu"), precision):
        loss = model.loss(batch)
    loss.backward()
    nn.Module.zero_grad(model)


if __name__ == "__main__":
    main()
