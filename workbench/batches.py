"""Examples to tensors: one row a picture, all its questions in it one after the other.

A row is `[shared beginning of the prompt][rest of prompt 1][answer 1][rest of prompt 2][answer 2] ...`. Each
question with its answer is a segment 1, 2, ...; the shared beginning (with `<image>`) is segment 0, seen by all.
Every question continues the positions of the shared beginning as if it stood alone, so packing changes no number.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from itertools import zip_longest

import torch
from torch import Tensor

from workbench.contracts import Example
from workbench.tokenizer import IMAGE, Tokenizer

IGNORED = -100


@dataclass(frozen=True)
class Batch:
    """P pictures and R rows of T text tokens.

    images [P,3,H,W]; ids, positions, segments, labels [R,T] (segments: -1 padding; labels: the token that should
    come next, or -100); prompt [R,T] bool; picture [R], the picture of each row, or None when row i has picture i.
    """

    images: Tensor
    ids: Tensor
    positions: Tensor
    segments: Tensor
    labels: Tensor
    prompt: Tensor
    picture: Tensor | None = None

    def to(self, device: torch.device | str) -> Batch:
        """The same batch on another device."""
        moved = {each.name: getattr(self, each.name) for each in fields(self)}
        return replace(self, **{name: value.to(device) for name, value in moved.items() if value is not None})


@dataclass(frozen=True)
class Encoded:
    """The token ids of one question: the beginning of the prompt up to `<image>`, its rest, and the answer."""

    shared: tuple[int, ...]
    prompt: tuple[int, ...]
    answer: tuple[int, ...]


class Collator:
    """Turns examples into batches; every text is encoded once and remembered.

    `prompt` is the template of the experiment, with `{question}` in it and possibly `<image>`. With `separate`,
    every question is a row of its own (for a fusion whose picture is changed by the text).
    """

    def __init__(self, tokenizer: Tokenizer, prompt: str, separate: bool = False):
        self.tokenizer = tokenizer
        self.separate = separate
        before, image, after = prompt.partition(IMAGE)
        if image and "{question}" not in before:
            self.shared, self.rest = before + image, after
        else:
            self.shared, self.rest = "", prompt
        self._shared_ids = (tokenizer.start, *(tokenizer.encode(self.shared) if self.shared else ()))
        self._encoded: dict[tuple[str, str], Encoded] = {}

    def encode(self, question: str, answer: str) -> Encoded:
        """The ids of one question and answer; the answer ends with the end token."""
        key = question, answer
        if key not in self._encoded:
            # An empty prompt still needs a token of its own, behind which the answer begins.
            prompt = self.tokenizer.encode(self.rest.replace("{question}", question)) or [self.tokenizer.start]
            ids = (*self.tokenizer.encode(answer), self.tokenizer.end)
            self._encoded[key] = Encoded(self._shared_ids, tuple(prompt), ids)
        return self._encoded[key]

    def __call__(self, images: Tensor, examples: Sequence[Sequence[Example]], answered: bool = True) -> Batch:
        """images [P,3,H,W] and the examples of each picture -> a batch; without answers when they are to be found."""
        rows, picture = [], []
        for index, questions in enumerate(examples):
            encoded = [self.encode(example.question, example.answers[0]) for example in questions]
            for row in [[each] for each in encoded] if self.separate else [encoded]:
                rows.append(_row(row, answered))
                picture.append(index)
        columns = [_padded([row[column] for row in rows], fill) for column, fill in enumerate(_FILL)]
        ids, positions, segments, labels, prompt = columns
        separate = torch.tensor(picture) if self.separate else None
        return Batch(images, ids, positions, segments, labels, prompt.bool(), separate)


# What stands in the padding of ids, positions, segments, labels, prompt.
_FILL = (0, 0, -1, IGNORED, 0)


def _row(questions: Sequence[Encoded], answered: bool) -> tuple[list[int], ...]:
    """One row as five lists: ids, positions, segments, labels, prompt."""
    shared = questions[0].shared
    ids, positions = list(shared), list(range(len(shared)))
    segments, labels, prompt = [0] * len(shared), [IGNORED] * len(shared), [1] * len(shared)
    for segment, question in enumerate(questions, start=1):
        # The last token of the answer is only a label: nothing comes after it.
        text = question.prompt + (question.answer[:-1] if answered else ())
        ids += text
        positions += range(len(shared), len(shared) + len(text))
        segments += [segment] * len(text)
        prompt += [1] * len(question.prompt) + [0] * (len(text) - len(question.prompt))
        unlabelled = len(question.prompt) - 1
        labels += [IGNORED] * unlabelled + list(question.answer if answered else (IGNORED,))
    return ids, positions, segments, labels, prompt


def _padded(rows: Sequence[Sequence[int]], fill: int) -> Tensor:
    """Lists of different lengths -> [R,T], filled at the right."""
    return torch.tensor(list(zip_longest(*rows, fillvalue=fill)), dtype=torch.long).T.contiguous()
