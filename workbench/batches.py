"""Examples to tensors: one row a picture, all its questions in it one after the other.

A row is `[shared beginning of the prompt][rest of prompt 1][answer 1][rest of prompt 2][answer 2] ...`. Each
question with its answer is a segment 1, 2, ...; the shared beginning (with `<image>`) is segment 0, seen by all.
Every question continues the positions of the shared beginning as if it stood alone, so packing changes no number.

A conversation is one segment: its turns follow each other, each question behind the answers before it, which it sees;
no answer sees a later question. Trained are all its answers, each with its end. Under evaluation, and in the rows of a
fusion that reads text (which would carry a later question to an earlier answer), the answers before the last one are
part of the prompt: there a training has a row for each turn.
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
MOST_REMEMBERED = 200_000  # texts, some 100 bytes to 4 kB each


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
    """The token ids of one question: the beginning of the prompt up to `<image>`, its rest, and the answer.

    `before` are the turns before it in a conversation, each with the ids of its prompt and of its answer.
    """

    shared: tuple[int, ...]
    prompt: tuple[int, ...]
    answer: tuple[int, ...]
    before: tuple[tuple[tuple[int, ...], tuple[int, ...]], ...] = ()


class Collator:
    """Turns examples into batches; every text is encoded once and remembered, up to `MOST_REMEMBERED` of them.

    `prompt` is the template of the experiment, with `{question}` in it and possibly `<image>`, or `chat` for the
    tokenizer's own. With `separate`, every question is a row of its own (for a fusion whose picture is changed by the
    text). Each turn of a conversation is put into the template; `<image>` stands in the first one alone.
    """

    def __init__(self, tokenizer: Tokenizer, prompt: str, separate: bool = False):
        self.tokenizer = tokenizer
        self.separate = separate
        prompts = tokenizer.prompts(prompt)
        before, image, after = prompts.first.partition(IMAGE)
        if image and "{question}" not in before:
            self.shared, self.rest = before + image, after
        else:
            self.shared, self.rest = "", prompts.first
        self.later = self.rest.replace(IMAGE, "") if prompts.later is None else prompts.later
        self._shared_ids = (*prompts.start, *(tokenizer.encode(self.shared) if self.shared else ()))
        self._encoded: dict[tuple[str, ...], Encoded] = {}

    def encode(self, question: str, answer: str, first: bool = True) -> Encoded:
        """The ids of one question and answer; the answer ends with the end token. Only a `first` turn has `<image>`."""
        template = self.rest if first else self.later
        key = (question, answer) if template == self.rest else (question, answer, template)
        if key in self._encoded:
            return self._encoded[key]
        # An empty prompt still needs a token of its own, behind which the answer begins.
        prompt = self.tokenizer.encode(template.replace("{question}", question)) or [self.tokenizer.start]
        ids = (*self.tokenizer.encode(answer), self.tokenizer.end)
        encoded = Encoded(self._shared_ids, tuple(prompt), ids)
        if len(self._encoded) < MOST_REMEMBERED:
            self._encoded[key] = encoded
        return encoded

    def __call__(
        self,
        images: Tensor,
        examples: Sequence[Sequence[Example]],
        answered: bool = True,
        history_trains: bool = True,
    ) -> Batch:
        """images [P,3,H,W] and the examples of each picture -> a batch; without answers when they are to be found.

        `history_trains` labels the answers of earlier turns as well, which an evaluation takes as given.
        """
        trains = answered and history_trains
        rows, picture = [], []
        for index, questions in enumerate(examples):
            if self.separate and trains:
                questions = [turn for example in questions for turn in _turns(example)]
            encoded = [self._conversation(example) for example in questions]
            for row in [[each] for each in encoded] if self.separate else [encoded]:
                rows.append(_row(row, answered, trains and not self.separate))
                picture.append(index)
        columns = [_padded([row[column] for row in rows], fill) for column, fill in enumerate(_FILL)]
        ids, positions, segments, labels, prompt = columns
        separate = torch.tensor(picture) if self.separate else None
        return Batch(images, ids, positions, segments, labels, prompt.bool(), separate)

    def _conversation(self, example: Example) -> Encoded:
        """The ids of an example with its earlier turns."""
        last = self.encode(example.question, example.answer, first=not example.history)
        earlier = [self.encode(turn.question, turn.answer, not number) for number, turn in enumerate(example.history)]
        return replace(last, before=tuple((turn.prompt, turn.answer) for turn in earlier)) if earlier else last


# What stands in the padding of ids, positions, segments, labels, prompt.
_FILL = (0, 0, -1, IGNORED, 0)


def _turns(example: Example) -> list[Example]:
    """Each turn of a conversation as the last one of an example of its own."""
    earlier = [
        replace(example, question=turn.question, answers=(turn.answer,), history=example.history[:number])
        for number, turn in enumerate(example.history)
    ]
    return [*earlier, example]


def _row(questions: Sequence[Encoded], answered: bool, history_trains: bool) -> tuple[list[int], ...]:
    """One row as five lists: ids, positions, segments, labels, prompt."""
    shared = questions[0].shared
    ids, positions = list(shared), list(range(len(shared)))
    segments, labels, prompt = [0] * len(shared), [IGNORED] * len(shared), [1] * len(shared)
    for segment, question in enumerate(questions, start=1):
        start = len(ids)
        for asked, answer in question.before:
            ids += asked + answer
            prompt += [1] * len(asked) + [int(not history_trains)] * len(answer)
            labels += _labels(asked, answer, history_trains) + [IGNORED]  # what follows an answer's end is given
        # The last token of the answer is only a label: nothing comes after it.
        ids += question.prompt + (question.answer[:-1] if answered else ())
        prompt += [1] * len(question.prompt) + [0] * (len(ids) - len(prompt) - len(question.prompt))
        labels += _labels(question.prompt, question.answer if answered else (), answered)
        length = len(ids) - start
        positions += range(len(shared), len(shared) + length)
        segments += [segment] * length
    return ids, positions, segments, labels, prompt


def _labels(prompt: Sequence[int], answer: Sequence[int], trains: bool) -> list[int]:
    """What should come after each token from the prompt's first to the answer's last but one."""
    if trains:
        return [IGNORED] * (len(prompt) - 1) + list(answer)
    return [IGNORED] * (len(prompt) - 1 + max(len(answer), 1))


def _padded(rows: Sequence[Sequence[int]], fill: int) -> Tensor:
    """Lists of different lengths -> [R,T], filled at the right."""
    return torch.tensor(list(zip_longest(*rows, fillvalue=fill)), dtype=torch.long).T.contiguous()
