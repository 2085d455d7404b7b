"""Rules for what may reach what in a row of tokens: no answer is read ahead, and questions and images that share a row
or a batch are read as if each stood alone. Fusions and language models are held to them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from workbench.conformance.model_parts import CLOSE, EXACT
from workbench.conformance.reference_model import batch_for, gap, other_ids, trained
from workbench.conformance.reference_questions import PROMPTS, QUESTIONS, SEVERAL
from workbench.conformance.rules import Subject, expect
from workbench.contracts.example import Example
from workbench.model.vision_language_model import VisionLanguageModel


def no_answer_token_is_read_ahead(subject: Subject) -> None:
    """Changing a token of an answer changes no logit before it. The same question stands in a row for each place that
    is changed, which counts only where rows do not mix."""
    model, _ = subject.once(trained)
    for prompt in PROMPTS:
        places = (~batch_for(model, prompt, [[QUESTIONS[0][0]]]).prompt[0]).nonzero().flatten()  # [R]
        batch = batch_for(model, prompt, [[QUESTIONS[0][0]]] * len(places))
        rows = torch.arange(len(places))
        ids = batch.ids.clone()
        ids[rows, places] = other_ids(ids[rows, places], model)
        with torch.no_grad():
            moved = (model.logits(replace(batch, ids=ids)) - model.logits(batch)).abs().amax(-1)  # [R,T]
        earlier = torch.arange(batch.ids.shape[1]) < places[:, None]
        leaks = moved.masked_fill(~earlier, 0).amax(1)  # [R]
        worst = int(leaks.argmax())
        expect(
            float(leaks[worst]) < EXACT * 10,
            f"an answer is read ahead: changing text token {int(places[worst])} of the prompt '{prompt.strip()}' moves"
            f" earlier logits by {float(leaks[worst]):.2g}. The image (or whatever is shared by the row) has looked"
            " at the answer: let it look only where `prompt` is True, and never mix tokens along the sequence",
        )


def questions_of_an_image_do_not_reach_each_other(subject: Subject) -> None:
    """Changing one question's words and answer changes no logit of the others."""
    model, _ = subject.once(trained)
    for prompt in PROMPTS:
        batch = batch_for(model, prompt, QUESTIONS[:1])
        logits = model.logits(batch)
        if model.fusion.reads_text:  # then each question is a row
            changed = torch.zeros_like(batch.prompt)
            changed[1] = True
        else:
            changed = batch.segments == 2
        ids = batch.ids.clone()
        text = changed & (batch.segments > 0) & (ids != model.language_model.tokenizer.image)
        ids[text] = other_ids(ids[text], model)
        leak = gap(model.logits(replace(batch, ids=ids))[~changed], logits[~changed])
        expect(
            leak < EXACT * 10,
            f"one question's text moves the logits of another question about the same image by {leak:.2g}. If the"
            " text changes the image, set `reads_text = True` in the class: then each question is a row of its own",
        )


def questions_are_answered_in_a_row_as_if_each_stood_alone(subject: Subject) -> None:
    """Packing the questions of an image changes no number."""
    _expect_as_if_alone(
        subject,
        QUESTIONS,
        "a question in a row with others gets another loss than alone: give text tokens the positions and segments they"
        " had (plus the image tokens before them), and image tokens the segment of their place",
    )


def rows_with_fewer_images_are_read_as_if_each_stood_alone(subject: Subject) -> None:
    """What fills up the vision of a row with fewer images than another is not looked at."""
    _expect_as_if_alone(
        subject,
        SEVERAL,
        "a row with fewer images than another of its batch gets another loss than alone: nothing may look at the"
        " image tokens where the `mask` of `prepare` is False. Hand it to CrossAttention.keys_values, or hide them",
    )


def every_image_of_a_row_changes_the_loss(subject: Subject) -> None:
    """Also those behind the first one."""
    model, _ = subject.once(trained)
    for prompt in PROMPTS:
        batch = batch_for(model, prompt, SEVERAL[:1])
        before = model.loss(batch)
        for place in range(len(batch.images)):
            images = batch.images.clone()
            images[place] = images[place].flip(-1) + 0.5
            moved = gap(model.loss(replace(batch, images=images)), before)
            expect(
                moved > EXACT,
                f"another image in place {place + 1} of {len(images)} changes nothing: `vision` holds the tokens of"
                " all images of a row, one after the other",
            )


def _expect_as_if_alone(subject: Subject, rows: Sequence[Sequence[Example]], told: str) -> None:
    """Rows have the same losses in one batch as each of their questions has alone; otherwise `told` says why not."""
    model, _ = subject.once(trained)
    for prompt in PROMPTS:
        losses, alone = _losses_together_and_alone(model, prompt, rows)
        expect(gap(losses, alone) < CLOSE, told)


def _losses_together_and_alone(
    model: VisionLanguageModel, prompt: str, rows: Sequence[Sequence[Example]]
) -> tuple[Tensor, Tensor]:
    """The losses of all answer tokens, read in one batch, and one question at a time."""
    together = batch_for(model, prompt, rows)
    left, alone = together.images, []
    for questions in rows:
        count = len(questions[0].images)
        own, left = left[:count], left[count:]
        for question in questions:
            batch = replace(batch_for(model, prompt, [[question]]), images=own)
            alone.append(model.token_losses(model.see(own, batch.views), batch))
    return model.token_losses(model.see(together.images, together.views), together), torch.cat(alone)
