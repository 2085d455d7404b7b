"""Phases over the squares of the tests, and what they changed."""

from __future__ import annotations

from collections import Counter
from typing import Any

from torch import nn

from tests.small import small_registry
from workbench.config.phase import Phase
from workbench.contracts.dataset import Dataset
from workbench.data.collator import Collator
from workbench.data.image_loader import ImageLoader
from workbench.model.vision_language_model import VisionLanguageModel
from workbench.training.curve import Step
from workbench.training.held_out_answers import ScoredQuestions
from workbench.training.loop import Trained, train
from workbench.training.objectives import TrainingData

ALL = ("encoder", "connector", "fusion", "language_model")


def phase_of(**settings: Any) -> Phase:
    usual = {"name": "tune", "train": ALL, "steps": 1, "batch": 4, "precision": "fp32"}
    return Phase.model_validate({**usual, **settings})


class Squares:
    """The dataset of the tests, counting which images it opens."""

    def __init__(self, dataset: Dataset):
        self.dataset = dataset
        self.opened: Counter[str] = Counter()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.dataset, name)

    def image(self, key: str) -> Any:
        self.opened[key] += 1
        return self.dataset.image(key)


def data_for(model: VisionLanguageModel, dataset: Any = None) -> TrainingData:
    dataset = dataset or small_registry().create("dataset", "squares")
    collate = Collator(model.language_model.tokenizer, "<image>{question}\n", model.fusion.reads_text)
    return TrainingData(dataset, ImageLoader(dataset, model.encoder.views), collate)


def trained(
    model: VisionLanguageModel,
    seed: int = 0,
    adapted: list[nn.Parameter] | None = None,
    scored: ScoredQuestions | None = None,
    **settings: Any,
) -> tuple[Trained, list[Step]]:
    steps: list[Step] = []
    phase, data = phase_of(**settings), data_for(model)
    summary = train(model, adapted or [], phase, data, seed, steps.append, questions=scored)
    return summary, steps


def moved(before: VisionLanguageModel, after: VisionLanguageModel) -> dict[str, float]:
    """By parameter name, the largest change of any entry."""
    old = dict(before.named_parameters())
    return {name: float((new - old[name]).abs().max().detach()) for name, new in after.named_parameters()}
