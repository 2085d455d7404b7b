"""Answers, token by token: all questions of a row at once, from one reading of picture and prompts."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from workbench.batches import Batch
from workbench.model import VisionLanguageModel


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
    sampled from the softmax of logits / temperature.
    """
    language_model = model.language_model
    end = language_model.tokenizer.end
    count = int(batch.segments.max())
    last, asked = _ends(batch.segments, count)  # [R,Q]
    hidden, conversation = model.read(vision, batch, room=count * max_new_tokens)
    positions = conversation.positions.gather(1, last)  # [R,Q]
    hidden = hidden.gather(1, last[..., None].expand(-1, -1, hidden.shape[-1]))  # [R,Q,D]
    numbers = torch.arange(1, count + 1, device=last.device).expand_as(last)
    open_ = asked
    chosen = []
    for step in range(max_new_tokens):
        ids = _choose(language_model.head(hidden).float(), temperature, generator)  # [R,Q]
        ids = ids.masked_fill(~open_, end)
        chosen.append(ids)
        open_ = open_ & (ids != end)
        if step + 1 == max_new_tokens or not open_.any():
            break
        positions = positions + 1
        hidden = model.answer(conversation, ids, positions, numbers.masked_fill(~open_, -1))
    answers = torch.stack(chosen, dim=-1).tolist()
    counts = asked.sum(1).tolist()
    return [[_until(ids, end) for ids in row[:questions]] for row, questions in zip(answers, counts, strict=True)]


def _ends(segments: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """segments [R,T] -> where each question's prompt ends [R,Q], and which questions there are [R,Q]."""
    numbers = torch.arange(1, count + 1, device=segments.device)
    places = torch.arange(segments.shape[1], device=segments.device)
    member = segments[:, None, :] == numbers[None, :, None]  # [R,Q,T]
    return (member * places).amax(-1), member.any(-1)


def _choose(logits: Tensor, temperature: float, generator: torch.Generator | None) -> Tensor:
    """logits [R,Q,V] -> ids [R,Q]."""
    if temperature <= 0:
        return logits.argmax(-1)
    chances = torch.softmax(logits / temperature, dim=-1)
    return torch.multinomial(chances.flatten(0, 1), 1, generator=generator).view(logits.shape[:-1])


def _until(ids: list[int], end: int) -> list[int]:
    return ids[: ids.index(end)] if end in ids else ids
