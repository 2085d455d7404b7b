"""A trained model that answers: questions about images become a batch that it reads, in the way of its evaluation.

Whoever asks a trained model does it through here, be it an evaluation or a page in the browser: so all of them see the
same prompt and compute the same numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from workbench.config.phase import Evaluation
from workbench.contracts.dataset import Dataset
from workbench.contracts.example import Example, Prediction
from workbench.data.collator import Batch, Collator
from workbench.data.image_loader import ImageLoader, threads_beside
from workbench.data.image_views import Keys, Places, gather
from workbench.devices.precision import autocast
from workbench.layers.prepared_linear import ready_to_answer
from workbench.model.generation import generate_and_judge
from workbench.model.image_features import encode
from workbench.model.vision_language_model import VisionLanguageModel


@dataclass(frozen=True)
class Predictor:
    """A model with what its answers depend on: the trial's prompt, and the precision and length of its evaluation."""

    model: VisionLanguageModel
    prompt: str
    settings: Evaluation

    @cached_property
    def collate(self) -> Collator:
        """Makes batches in the prompt; what it has encoded once it remembers."""
        return self.model.collator(self.prompt)

    @property
    def device(self) -> torch.device:
        """Where the model lies, and what it reads has to."""
        return next(self.model.parameters()).device

    @contextmanager
    def ready(self) -> Iterator[None]:
        """Inside, the model answers: without dropout and gradients, in its precision, with its layers prepared for it.
        Do not change weights meanwhile."""
        self.model.eval()
        with torch.inference_mode(), autocast(self.device, self.settings.precision), ready_to_answer(self.model):
            yield

    def images(self, dataset: Dataset) -> ImageLoader:
        """The images of a dataset as the model's encoder takes them."""
        return ImageLoader(dataset, self.model.encoder.views, threads=threads_beside(self.device))

    def read(
        self,
        sets: Sequence[Keys],
        load: Callable[[list[str]], list[Tensor]],
        questions: Sequence[Sequence[Example]],
        answered: bool = False,
    ) -> tuple[Tensor, list[Places], Batch]:
        """What is asked about each set of images -> what `load` gives for all of them [P,...], still where that left
        it; which of it belongs to which image; and the questions, with their right answers or without."""
        seen, places = gather(sets, load)
        batch = self.collate(torch.empty(0), questions, answered, history_trains=False, places=places)
        return seen, places, batch.to(self.device)

    def encode(self, views: Tensor) -> Tensor:
        """views [P,3,H,W] -> the encoder's tokens [P,N,Dv]."""
        return encode(self.model.encoder, views.to(self.device), self.settings.precision)

    def predict(self, vision: Any, questions: Sequence[Sequence[Example]], batch: Batch) -> Iterator[Prediction]:
        """What the model answers to each question, how probable that was, and the loss of the right answer.

        vision: what `model.see_tokens` gave; batch: the questions with their right answers.
        """
        judged = generate_and_judge(self.model, vision, batch, self.settings.max_new_tokens)
        flat = (example for examples in questions for example in examples)
        losses = _losses_by_question(judged.losses, batch.labels, batch.segments)
        likely = (each for row in judged.log_probabilities for each in row)
        tokens = (tokens_written(ids, self.settings.max_new_tokens) for row in judged.answers for ids in row)
        for given in zip(flat, self.words(judged.answers), losses, likely, tokens, strict=True):
            yield Prediction(*given)

    def words(self, rows: Sequence[Sequence[Sequence[int]]]) -> list[str]:
        """Generated ids by row and question -> the answers, one after the other."""
        return [self.model.language_model.tokenizer.decode(ids) for row in rows for ids in row]


def tokens_written(answer: Sequence[int], most: int) -> int:
    """How many tokens a model wrote for an answer (ids without its end) of so many at most: its end is one as well."""
    return min(len(answer) + 1, most)


def _losses_by_question(losses: Tensor, labels: Tensor, segments: Tensor) -> list[float]:
    """losses [answer tokens] in the order of labels >= 0 [R,T] -> the mean of each question, row by row."""
    labelled = labels >= 0
    rows = torch.arange(labels.shape[0], device=labels.device)[:, None].expand_as(labels)[labelled]
    question = rows * (int(segments.max()) + 1) + segments[labelled]
    _, which, counts = question.unique_consecutive(return_inverse=True, return_counts=True)
    sums = torch.zeros(len(counts), device=losses.device).index_add_(0, which, losses.float())
    return (sums / counts).tolist()
