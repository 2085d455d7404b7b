"""Asks a finished trial about images from files: the answers, one after the other or token by token."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from workbench.config.trial import Trial
from workbench.contracts.example import Example
from workbench.data.annotations import DataError
from workbench.data.collator import Batch, Collator
from workbench.data.image_files import ImageFiles
from workbench.data.image_views import Keys, Places, gather
from workbench.devices.precision import autocast
from workbench.errors import UserError
from workbench.layers.prepared_linear import ready_to_answer
from workbench.model.generation import generate, stream
from workbench.model.image_features import encode
from workbench.model.vision_language_model import VisionLanguageModel

UNFINISHED = "\ufffd"  # what the first bytes of a letter are decoded to, until the others are there


@dataclass(frozen=True)
class Asked:
    """A model that answers as its trial was evaluated: same prompt, precision and greedy choice of tokens."""

    model: VisionLanguageModel
    trial: Trial

    @property
    def collate(self) -> Collator:
        """Questions to batches, in the trial's prompt."""
        return Collator(self.model.language_model.tokenizer, self.trial.prompt, self.model.fusion.reads_text)

    def answers(
        self, images: Sequence[Image.Image], questions: Sequence[str], max_new_tokens: int | None = None
    ) -> list[str]:
        """The answers to all questions about the images, found together."""
        with self.ready():
            vision, batch = self.prepare(images, questions)
            rows = generate(self.model, vision, batch, self.length(max_new_tokens))
        return [self.model.language_model.tokenizer.decode(ids) for row in rows for ids in row]

    def stream(self, images: Sequence[Image.Image], question: str, max_new_tokens: int | None = None) -> Iterator[str]:
        """The answer in pieces, as they come."""
        tokenizer = self.model.language_model.tokenizer
        ids: list[int] = []
        told = ""
        with self.ready():
            for token in stream(self.model, *self.prepare(images, [question]), self.length(max_new_tokens)):
                ids.append(token)
                text = tokenizer.decode(ids)
                if text.startswith(told) and not text.endswith(UNFINISHED):
                    yield text[len(told) :]
                    told = text
            rest = tokenizer.decode(ids)
            yield rest[len(told) :]

    @contextmanager
    def ready(self) -> Iterator[None]:
        """Inside, the model computes as in its evaluation."""
        precision = self.trial.evaluation.precision
        with torch.inference_mode(), autocast(self.device, precision), ready_to_answer(self.model):
            yield

    def prepare(self, images: Sequence[Image.Image], questions: Sequence[str]) -> tuple[Any, Batch]:
        """What the fusion needs of the images, and the prompts."""
        tokens, places = self.tokens(images)
        batch = self.batch(questions, places)
        return self.model.see_tokens(tokens, batch.views), batch

    def tokens(self, images: Sequence[Image.Image]) -> tuple[Tensor, list[Places]]:
        """The encoder's tokens [P,N,Dv] of all views of the images, and which are whose."""
        encoder = self.model.encoder
        views, places = gather([_keys(len(images))], lambda _: [encoder.views(image) for image in images])
        return encode(encoder, views.to(self.device), self.trial.evaluation.precision), places

    def batch(self, questions: Sequence[str], places: list[Places]) -> Batch:
        """The prompts of these questions about images at these places, without answers."""
        if not questions or not all(question.strip() for question in questions):
            raise UserError('nothing is asked: write a question, as "what color is it?"')
        first, *more = _keys(len(places[0]))
        examples = [
            Example(str(number), first, question, ("",), more=tuple(more)) for number, question in enumerate(questions)
        ]
        return self.collate(torch.empty(0), [examples], answered=False, places=places).to(self.device)

    def length(self, max_new_tokens: int | None) -> int:
        """The longest answer, in tokens; the evaluation's unless said otherwise."""
        return max_new_tokens or self.trial.evaluation.max_new_tokens

    @property
    def device(self) -> torch.device:
        """Where the model lies."""
        return next(self.model.parameters()).device


def _keys(count: int) -> Keys:
    return tuple(map(str, range(count)))


def open_image(file: Path) -> Image.Image:
    """The RGB image of any file that Pillow reads, turned as its camera says."""
    if not file.is_file():
        raise DataError(f"there is no image {file}")
    try:
        return ImageFiles(file.parent).open(file.name)
    except DataError as error:
        raise DataError(f"{file} is no image that can be read: {error.__cause__}") from error
