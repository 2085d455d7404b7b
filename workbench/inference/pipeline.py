"""Images and questions in, answers in words out: a finished trial in use, all at once or token by token."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from PIL import Image
from torch import Tensor

from workbench.config.trial import Trial
from workbench.contracts.example import Example
from workbench.contracts.rgb_images import WHITE, read_image, to_rgb
from workbench.data.annotations import DataError
from workbench.data.collator import Batch
from workbench.data.similar_names import similar_file
from workbench.data.video_frames import UNREADABLE
from workbench.errors import UserError
from workbench.model.generation import generate, stream
from workbench.model.predictor import Predictor
from workbench.model.vision_language_model import VisionLanguageModel
from workbench.storage.places import is_file, is_folder

UNFINISHED = "\ufffd"  # what the first bytes of a letter are decoded to, until the others are there


@dataclass(frozen=True)
class Pipeline:
    """A model that answers as its trial was evaluated: same prompt, precision and greedy choice of tokens."""

    model: VisionLanguageModel
    trial: Trial

    @cached_property
    def predictor(self) -> Predictor:
        """The model with the prompt and the settings of its trial's evaluation."""
        return Predictor(self.model, self.trial.prompt, self.trial.evaluation)

    def answers(
        self, images: Sequence[Image.Image], questions: Sequence[str], max_new_tokens: int | None = None
    ) -> list[str]:
        """The answers to all questions about the images, found together; without images, to each as text alone. Raises
        `UserError` where nothing is asked."""
        with self.predictor.ready():
            tokens, batch = self.read(images, questions)
            vision = self.model.see_tokens(tokens, batch.views)
            return self.predictor.words(generate(self.model, vision, batch, self.length(max_new_tokens)))

    def stream(self, images: Sequence[Image.Image], question: str, max_new_tokens: int | None = None) -> Iterator[str]:
        """The answer in pieces, each as soon as it is whole letters; together they are what `answers` gives."""
        decode = self.model.language_model.tokenizer.decode
        ids: list[int] = []
        told = ""
        with self.predictor.ready():
            tokens, batch = self.read(images, [question])
            vision = self.model.see_tokens(tokens, batch.views)
            for token in stream(self.model, vision, batch, self.length(max_new_tokens)):
                ids.append(token)
                text = decode(ids)
                if text.startswith(told) and not text.endswith(UNFINISHED):
                    yield text[len(told) :]
                    told = text
            rest = decode(ids)
            yield rest[len(told) :]

    def read(self, images: Sequence[Image.Image], questions: Sequence[str]) -> tuple[Tensor, Batch]:
        """The encoder's tokens [P,N,Dv] of all views of the images, and the questions without answers; to be called
        inside `predictor.ready`. Raises `UserError` where nothing is asked, or what is no text."""
        if not questions or not all(question.strip() for question in questions):
            raise UserError('nothing is asked: write a question, as "what color is it?"')
        for question in questions:
            _check_letters(question)
        first, *more = [str(number) for number in range(len(images))] or [""]
        asked = [
            Example(str(number), first, question, ("",), more=tuple(more)) for number, question in enumerate(questions)
        ]
        rows = [asked] if images else [[each] for each in asked]  # as text alone is trained: each by itself
        shown = self.rgb(images) or [_unseen(self.model.encoder.image_size)]
        views = [self.model.encoder.views(image) for image in shown]
        seen, _, batch = self.predictor.read([row[0].row for row in rows], lambda _: views, rows)
        return self.predictor.encode(seen), batch

    def rgb(self, images: Sequence[Image.Image]) -> list[Image.Image]:
        """The images as the trial's dataset would show them, on its background where they are transparent."""
        dataset = self.trial.components.get("dataset")  # an export need not know any
        background = dataset.options.get("background") if dataset else None
        return [to_rgb(image, background if isinstance(background, str) else WHITE) for image in images]

    def length(self, max_new_tokens: int | None) -> int:
        """The longest answer, in tokens; the evaluation's unless said otherwise."""
        return max_new_tokens or self.trial.evaluation.max_new_tokens


def open_image(file: Path) -> Image.Image:
    """The image of any file that Pillow reads, turned as its camera says; `DataError` without one. A pipeline makes it
    RGB as its trial does."""
    if is_folder(file):
        raise DataError(f"{file} is a folder, not an image: give the images in it")
    if not is_file(file):
        raise DataError(f"there is no image {file}.{similar_file(file)}".rstrip("."))
    try:
        return read_image(file)
    except UNREADABLE as error:
        raise DataError(f"{file} is no image that can be read: {error}") from error


def _unseen(size: int) -> Image.Image:
    """What an encoder is given where nothing is shown; nobody looks at it."""
    return Image.new("RGB", (size, size))


def _check_letters(question: str) -> None:
    """Bytes of a command line that are no UTF-8 arrive as halves of a letter, which no tokenizer takes."""
    try:
        question.encode()
    except UnicodeEncodeError as error:
        shown = question.encode(errors="replace").decode()
        raise UserError(f"the question '{shown}' is no UTF-8 text: character {error.start + 1} is none") from error
