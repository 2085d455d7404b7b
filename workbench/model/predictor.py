"""A trained model that answers: questions about images become a batch that it reads, in the way of its evaluation.

Whoever asks a trained model does it through here, be it an evaluation or a page in the browser: so all of them see the
same prompt and compute the same numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from workbench.config.phase import Evaluation
from workbench.contracts.dataset import Dataset
from workbench.contracts.example import Example
from workbench.data.collator import Batch, Collator
from workbench.data.image_loader import ImageLoader, threads_beside
from workbench.data.image_views import Keys, Places, gather
from workbench.devices.precision import autocast
from workbench.layers.prepared_linear import ready_to_answer
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

    def words(self, rows: Sequence[Sequence[Sequence[int]]]) -> list[str]:
        """Generated ids by row and question -> the answers, one after the other."""
        return [self.model.language_model.tokenizer.decode(ids) for row in rows for ids in row]
