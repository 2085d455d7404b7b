"""Answers, token by token: all questions of a row at once, from one reading of image and prompts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from workbench.data.collator import Batch
from workbench.layers.tensors import pick
from workbench.model.vision_language_model import Conversation, VisionLanguageModel


@torch.no_grad()
def generate(
    model: VisionLanguageModel,
    vision: Any,
    batch: Batch,
    max_new_tokens: int,
    temperature: float = 0.0,
    generator: torch.Generator | None = None,
) -> list[list[list[int]]]:
    """Answer every question of every row: token ids without the end token, as [row][question].

    vision: what `model.see` gave; batch: prompts without answers. Prompts of different lengths need no padding at
    the left: each question continues at its own position and sees its own segment. Greedy at temperature 0, else
    sampled from the softmax of logits / temperature. Each of the tokenizer's end tokens ends an answer.
    """
    room = _most_questions(batch) * max_new_tokens
    hidden, conversation = model.read(vision, batch, room, max_new_tokens)
    return _answers(model, hidden, conversation, batch, max_new_tokens, temperature, generator)


@torch.no_grad()
def stream(model: VisionLanguageModel, vision: Any, batch: Batch, max_new_tokens: int) -> Iterator[int]:
    """The greedy answer to the one question of a batch, each token as soon as it is known, without the end token."""
    hidden, conversation = model.read(vision, batch, max_new_tokens, max_new_tokens)
    for _, _, ids, _ in _steps(model, hidden, conversation, batch, max_new_tokens):
        token = int(ids[0, 0])
        if token in model.language_model.tokenizer.ends:
            return
        yield token


@dataclass(frozen=True)
class Judged:
    """Greedy answers as token ids, and the log-probability that the model gives to exactly each, in nats, the end that
    was chosen included (one that is cut off has none): both as [row][question]. `losses` are those of each token of the
    right answers [answer tokens]."""

    answers: list[list[list[int]]]
    log_probabilities: list[list[float]]
    losses: Tensor


@torch.no_grad()
def generate_and_judge(model: VisionLanguageModel, vision: Any, batch: Batch, max_new_tokens: int) -> Judged:
    """Greedy answers as `generate` gives them, how probable each was, and the loss of the right ones.

    batch: prompts with their right answers. All comes from one reading: what is generated cannot see the right
    answers, which are forgotten before the first token.
    """
    room = _most_questions(batch) * max_new_tokens
    hidden, conversation = model.read(vision, batch, room, max_new_tokens)
    losses = model.losses_of(hidden, batch)
    conversation.forget(~batch.prompt)
    likely = torch.zeros(len(batch.ids), _most_questions(batch), max_new_tokens, device=batch.ids.device)
    answers = _answers(model, hidden, conversation, batch, max_new_tokens, likely=likely)
    totals = likely.sum(-1).tolist()
    return Judged(answers, [row[: len(given)] for row, given in zip(totals, answers, strict=True)], losses)


@torch.no_grad()
def first_logits(model: VisionLanguageModel, vision: Any, batch: Batch) -> Tensor:
    """The logits of the first token of each answer [questions,V], row by row. batch: prompts without answers."""
    last, there = _ends(batch)  # [R,Q]
    return model.language_model.head(pick(model.hidden(vision, batch), last)[there])


def _answers(
    model: VisionLanguageModel,
    hidden: Tensor,
    conversation: Conversation,
    batch: Batch,
    max_new_tokens: int,
    temperature: float = 0.0,
    generator: torch.Generator | None = None,
    likely: Tensor | None = None,
) -> list[list[list[int]]]:
    """The tokens of all steps, as [row][question]. Their log-probabilities go into `likely` [R,Q,steps] of zeros."""
    tokenizer = model.language_model.tokenizer
    last, there = _ends(batch)  # [R,Q]
    chosen = torch.full((*last.shape, max_new_tokens), tokenizer.end, device=last.device)
    ends = torch.tensor(tokenizer.ends, device=last.device)
    steps = _steps(model, hidden, conversation, batch, max_new_tokens, temperature, generator)
    for step, (rows, numbers, ids, logits) in enumerate(steps):
        if likely is not None:
            ended = torch.isin(chosen[rows, numbers, :step], ends).any(-1)
            likely[rows, numbers, step] = _log_probabilities(logits, ids).masked_fill(ended, 0)
        chosen[rows, numbers, step] = ids
    counts = there.sum(1).tolist()
    answers = zip(chosen.tolist(), counts, strict=True)
    return [[_until(ids, tokenizer.ends) for ids in row[:count]] for row, count in answers]


def _steps(
    model: VisionLanguageModel,
    hidden: Tensor,
    conversation: Conversation,
    batch: Batch,
    max_new_tokens: int,
    temperature: float = 0.0,
    generator: torch.Generator | None = None,
) -> Iterator[tuple[Tensor, Tensor, Tensor, Tensor]]:
    """Token by token until every question is answered; rows whose questions all are drop out.

    Each step gives the rows that are left [R',1], for each the numbers of its questions and their tokens [R',Q'], and
    the logits [R',Q',V] that these were chosen by.
    """
    end = model.language_model.tokenizer.end
    last, there = _ends(batch)  # [R,Q]
    ends = torch.tensor(model.language_model.tokenizer.ends, device=last.device)
    hidden = pick(hidden, last)  # [R,Q,D]
    questions = _Questions.all_of(conversation.positions.gather(1, last), closed=~there)
    for step in range(max_new_tokens):
        logits = model.language_model.head(hidden).float()
        ids = _choose(logits, temperature, generator).masked_fill(questions.closed, end)  # [R',Q']
        yield questions.rows, questions.numbers, ids, logits
        if step + 1 == max_new_tokens:
            break
        if not torch.equal(ended := torch.isin(ids, ends), questions.closed):
            left = (~ended).any(1).nonzero()[:, 0]
            if not len(left):
                break
            if len(left) < len(ids):
                conversation = conversation.keep(left, model.language_model)
            questions, ids = questions.narrowed(left, ended[left], ids[left])
        questions.positions = questions.positions + 1
        hidden = model.answer(conversation, ids, questions.positions, questions.segments)


@dataclass
class _Questions:
    """The questions of the rows that are left: `rows` [R',1] says which rows, `numbers` [R',Q'] which of each row's
    questions, `positions` [R',Q'] of their last tokens. Those that are `closed` fill up rows with fewer open ones."""

    rows: Tensor
    numbers: Tensor
    positions: Tensor
    closed: Tensor
    segments: Tensor = field(init=False)  # [R',Q'], which nothing sees where a question is closed

    def __post_init__(self) -> None:
        self.segments = (self.numbers + 1).masked_fill(self.closed, -1)

    @classmethod
    def all_of(cls, positions: Tensor, closed: Tensor) -> _Questions:
        """Every question of every row [R,Q]."""
        count, most = positions.shape
        rows = torch.arange(count, device=positions.device)[:, None]
        return cls(rows, torch.arange(most, device=positions.device).expand_as(positions), positions, closed)

    def narrowed(self, left: Tensor, closed: Tensor, ids: Tensor) -> tuple[_Questions, Tensor]:
        """The rows `left` [R'], their open questions first, in as many columns as the row with most of them needs; and
        of the tokens `ids` [R',Q'] of these rows those of the same questions."""
        open_ = ~closed
        order = open_.int().argsort(dim=1, descending=True, stable=True)[:, : int(open_.sum(1).max())]
        numbers, positions = (each[left].gather(1, order) for each in (self.numbers, self.positions))
        questions = _Questions(self.rows[left], numbers, positions, closed.gather(1, order))
        return questions, ids.gather(1, order)


def _most_questions(batch: Batch) -> int:
    """How many questions the fullest row has: its segments count them from 1."""
    return int(batch.segments.max())


def _ends(batch: Batch) -> tuple[Tensor, Tensor]:
    """Where the prompt of each question ends [R,Q], and which questions there are [R,Q]."""
    numbers = torch.arange(1, _most_questions(batch) + 1, device=batch.ids.device)
    places = torch.arange(batch.ids.shape[1], device=batch.ids.device)
    member = (batch.segments[:, None, :] == numbers[None, :, None]) & batch.prompt[:, None, :]  # [R,Q,T]
    return (member * places).amax(-1), member.any(-1)


def _choose(logits: Tensor, temperature: float, generator: torch.Generator | None) -> Tensor:
    """logits [R,Q,V] -> ids [R,Q]."""
    if temperature <= 0:
        return logits.argmax(-1)
    probabilities = torch.softmax(logits / temperature, dim=-1)
    return torch.multinomial(probabilities.flatten(0, 1), 1, generator=generator).view(logits.shape[:-1])


def _log_probabilities(logits: Tensor, ids: Tensor) -> Tensor:
    """logits [R,Q,V], ids [R,Q] -> [R,Q], in nats."""
    return logits.gather(-1, ids[..., None])[..., 0] - logits.logsumexp(-1)


def _until(ids: list[int], ends: Sequence[int]) -> list[int]:
    return ids[: next((place for place, id_ in enumerate(ids) if id_ in ends), len(ids))]
