"""The rule for generation: token by token from the cache gives what one pass over the whole row gives."""

from __future__ import annotations

from itertools import product

import torch
from torch import Tensor

from workbench.conformance.model_parts import CLOSE
from workbench.conformance.reference_model import batch_for, gap, trained
from workbench.conformance.reference_questions import PROMPTS, QUESTIONS, SEVERAL
from workbench.conformance.rules import Subject, expect
from workbench.data.collator import Batch


def answers_from_the_cache_equal_the_full_pass(subject: Subject) -> None:
    """Prompts of different lengths, several questions a row, every answer fed token by token."""
    model, _ = subject.once(trained)
    for prompt, questions in product(PROMPTS, (QUESTIONS, SEVERAL)):
        full, prompts = batch_for(model, prompt, questions), batch_for(model, prompt, questions, answered=False)
        hidden = model.hidden(model.see(full.images, full.views), full)  # [R,T,D]
        places, ends = _answers(full), _prompt_ends(prompts)  # [R,Q,A], [R,Q]
        rows, count, length = places.shape
        vision = model.see(prompts.images, prompts.views)
        read, conversation = model.read(vision, prompts, room=count * length)
        worst = gap(_take(read, ends), _take(hidden, _prompt_ends(full)))
        expect(worst < CLOSE, f"reading a prompt into the cache differs from a plain pass by {worst:.2g}")
        segments = torch.arange(1, count + 1).expand(rows, -1)
        first = conversation.positions.gather(1, ends) + 1
        for step in range(length):
            at = places[..., step]
            got = model.answer(conversation, full.ids.gather(1, at), first + step, segments)
            worst = max(worst, gap(got, _take(hidden, at)))
        expect(
            worst < CLOSE,
            f"answering from the cache differs from the full pass by {worst:.2g}. While answering, a pass holds only"
            " the new tokens, `prompt` is None and `vision` is what this block saw while the prompt was read; a token's"
            " place is in `positions`, not in its index",
        )


def _answers(batch: Batch) -> Tensor:
    """Where the answer tokens of each question stand [R,Q,A]; A is the length of the shortest answer."""
    count = int(batch.segments.max())
    found = [
        [((batch.segments[row] == number) & ~batch.prompt[row]).nonzero().flatten() for number in range(1, count + 1)]
        for row in range(len(batch.segments))
    ]
    shortest = min(len(places) for row in found for places in row)
    return torch.stack([torch.stack([places[:shortest] for places in row]) for row in found])


def _prompt_ends(batch: Batch) -> Tensor:
    """Where the prompt of each question ends [R,Q]."""
    numbers = torch.arange(1, int(batch.segments.max()) + 1)
    mine = (batch.segments[:, None] == numbers[:, None]) & batch.prompt[:, None]  # [R,Q,T]
    return (mine * torch.arange(batch.segments.shape[1])).amax(-1)


def _take(hidden: Tensor, places: Tensor) -> Tensor:
    """hidden [R,T,D] at places [R,Q] -> [R,Q,D]."""
    return hidden.gather(1, places[..., None].expand(-1, -1, hidden.shape[-1]))
