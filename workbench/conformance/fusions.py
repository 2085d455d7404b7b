"""Rules for fusions: what each method may change, and that a new one leaves the decoder as it was."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from itertools import product
from typing import Any

import torch
from torch import Tensor

from workbench.conformance.cached_decoding import answers_from_the_cache_equal_the_full_pass
from workbench.conformance.determinism import CallPlan, expect_inputs_stay, expect_the_same_each_time
from workbench.conformance.fusion_calls import LENGTH, NUMBERS, ROWS, TOKENS, calls_of_fusion
from workbench.conformance.leakage import (
    every_image_of_a_row_changes_the_loss,
    no_answer_token_is_read_ahead,
    questions_are_answered_in_a_row_as_if_each_stood_alone,
    questions_of_an_image_do_not_reach_each_other,
    rows_with_fewer_images_are_read_as_if_each_stood_alone,
)
from workbench.conformance.model_parts import (
    EXACT,
    another_image_changes_the_loss,
    basics,
    common,
    gradients_reach_every_parameter,
    rows_do_not_mix,
)
from workbench.conformance.reference_model import batch_for, compose, gap, opened, trained
from workbench.conformance.reference_parts import DEPTH, HEADS, ReferenceDecoder
from workbench.conformance.reference_questions import PROMPTS, QUESTIONS, SEVERAL, corpus
from workbench.conformance.rules import Rule, Subject, after, expect
from workbench.contracts.encoder import VisionShape
from workbench.contracts.fusion import Fusion, Inputs
from workbench.contracts.language_model import DecoderShape
from workbench.data.collator import Batch
from workbench.layers.tensors import all_tensors
from workbench.model.vision_language_model import VisionLanguageModel, visible


def prepare_gives_one_entry_for_each_set_of_images(subject: Subject) -> None:
    """Rows pick their images from it by number."""
    model = compose(subject)
    for questions in (QUESTIONS, SEVERAL):
        batch = batch_for(model, questions=questions)
        sizes = _sizes(model.see(batch.images, batch.views))
        expect(
            all(size[:1] == (len(questions),) for size in sizes),
            f"prepare gives tensors of the shapes {sizes} for {len(questions)} sets of images: every tensor has one"
            " entry for each set, as its first dimension",
        )


def the_text_keeps_its_places_in_the_sequence(subject: Subject) -> None:
    """What `fuse_inputs` may change: it adds tokens, and says where each text token went."""
    model = compose(subject)
    for prompt, questions in product(PROMPTS, (QUESTIONS, SEVERAL)):
        batch = batch_for(model, prompt, questions)
        before, after = _fused(model, batch)
        rows, length = after.segments.shape
        expect(
            after.embeds.shape[:2]
            == after.positions.shape
            == after.prompt.shape
            == after.image.shape
            == (rows, length),
            "fuse_inputs gives embeds, positions, segments, prompt and image of different lengths: all are [R,S,...]",
        )
        expect(after.text_at.shape == batch.ids.shape, "text_at is [R,T]: one place for each text token, and no more")
        inside = bool(((after.text_at >= 0) & (after.text_at < length)).all())
        expect(
            inside and bool((after.text_at.diff(dim=1) > 0).all()), "text_at has to rise along the row and stay in S"
        )
        text = ~before.image
        for name in ("segments", "prompt"):
            moved = getattr(after, name).gather(1, after.text_at)
            expect(
                torch.equal(moved[text], getattr(before, name)[text]),
                f"fuse_inputs changes `{name}` of text tokens: give every token that was there the value it had",
            )


def blocks_get_back_what_they_read(subject: Subject) -> None:
    """`fuse_block` returns hidden states of the same shape, and the vision for the next block; `fuse_attention` what is
    added to an attention's output, or None."""
    for number in range(NUMBERS):
        for call in calls_of_fusion(subject.width, opened(_fusion(subject)), number):
            answer, wanted = call.answer(), (ROWS, LENGTH, subject.width)
            if call.name == "fuse_block":
                pair = isinstance(answer, tuple) and len(answer) == 2 and isinstance(answer[0], Tensor)
                expect(pair, f"`fuse_block` returns {_sort(answer)}: return a tuple (hidden, vision)")
                answer = answer[0]
            if call.name in ("fuse_block", "fuse_attention") and answer is not None:
                got = tuple(answer.shape) if isinstance(answer, Tensor) else _sort(answer)
                expect(got == wanted, f"`{call.name}` makes {got} of hidden states {wanted}: keep their shape [R,S,D]")


def it_gives_the_same_each_time(subject: Subject) -> None:
    """In eval mode, however often it is asked, and whatever it was asked before."""
    expect_the_same_each_time(
        CallPlan(lambda: opened(_fusion(subject)).eval(), partial(calls_of_fusion, subject.width), NUMBERS)
    )


def what_it_is_given_stays_as_it_was(subject: Subject) -> None:
    """Hidden states, vision and prompt are used by others too: by the decoder, the next block, the cache."""
    fusion = opened(_fusion(subject))
    for mode in (True, False):
        for number in range(NUMBERS):
            expect_inputs_stay(calls_of_fusion(subject.width, fusion.train(mode), number))


def a_new_fusion_leaves_the_decoder_as_it_was(subject: Subject) -> None:
    """Scheme B starts closed, so that a pretrained decoder starts as what it is. Scheme A cannot, and need not."""
    model = compose(subject).eval()
    if type(model.fusion).fuse_inputs is not Fusion.fuse_inputs:
        return
    batch = batch_for(model)
    plain = model.language_model
    mask = visible(batch.segments, batch.segments)
    alone = plain.head(plain(plain.embed(batch.ids), batch.positions, mask))
    moved = gap(model.logits(batch), alone)
    expect(
        moved < EXACT * 10,
        f"before any training the fusion moves the decoder's logits by {moved:.2g}: start it closed, with a gate or a"
        " last layer of zeros, as CrossAttention does",
    )


def the_decoder_keeps_its_weights_and_their_names(subject: Subject) -> None:
    """Composing changes no name, so that pretrained weights still load."""
    torch.manual_seed(1)
    alone = ReferenceDecoder(corpus(), subject.width).state_dict()
    composed = compose(subject).language_model.state_dict()
    expect(
        list(alone) == list(composed) and all(torch.equal(alone[name], composed[name]) for name in alone),
        "the decoder has other weights or weight names with this fusion than without: keep the fusion's parameters in"
        " the fusion, and leave the decoder's modules alone",
    )


def a_prompt_with_nothing_visible_gives_no_nan(subject: Subject) -> None:
    """A row of padding alone must not spoil the batch."""
    model, _ = subject.once(trained)
    batch = batch_for(model)
    empty = replace(batch, segments=torch.full_like(batch.segments, -1), prompt=torch.zeros_like(batch.prompt))
    loss = model.loss(empty)
    loss.backward()
    broken = [name for name, each in model.named_parameters() if each.grad is not None and each.grad.isnan().any()]
    expect(
        bool(loss.isfinite()) and not broken,
        "where no prompt token is visible the result is NaN: a softmax over nothing. Leave out what has nothing to look"
        " at (masked_fill behind the attention)",
    )


def _sizes(vision: Any) -> list[tuple[int, ...]]:
    """The shapes of all tensors in it."""
    sizes: list[tuple[int, ...]] = []
    all_tensors(vision, lambda tensor: sizes.append(tuple(tensor.shape)) or tensor)
    return sizes


def _fused(model: VisionLanguageModel, batch: Batch) -> tuple[Inputs, Inputs]:
    vision = model.see(batch.images, batch.views)
    if batch.image_set is not None:
        image_set = batch.image_set
        vision = all_tensors(vision, lambda tensor: tensor[image_set])
    places = torch.arange(batch.ids.shape[1]).expand_as(batch.ids)
    image = batch.ids == model.language_model.tokenizer.image
    embeds = model.language_model.embed(batch.ids)
    before = Inputs(embeds, batch.positions, batch.segments, batch.prompt, image, places)
    return before, model.fusion.fuse_inputs(vision, before)


def _fusion(subject: Subject) -> Fusion:
    return subject.build(VisionShape(subject.width, TOKENS), DecoderShape(subject.width, DEPTH, HEADS))


def _sort(value: Any) -> str:
    """What an answer is, in words."""
    if isinstance(value, tuple):
        return f"a tuple of {len(value)}"
    return f"a tensor {tuple(value.shape)}" if isinstance(value, Tensor) else f"{type(value).__name__}"


BASICS = basics(
    prepare_gives_one_entry_for_each_set_of_images,
    the_text_keeps_its_places_in_the_sequence,
    blocks_get_back_what_they_read,
    same=it_gives_the_same_each_time,
    stay=what_it_is_given_stays_as_it_was,
)
APART = (*BASICS, *after(BASICS, rows_do_not_mix))
UNREAD = (*APART, *after(APART, no_answer_token_is_read_ahead, questions_of_an_image_do_not_reach_each_other))
ALONE = (*UNREAD, *after(UNREAD, questions_are_answered_in_a_row_as_if_each_stood_alone))
RULES: tuple[Rule, ...] = (
    *BASICS,
    *ALONE[len(BASICS) :],
    *after(ALONE, rows_with_fewer_images_are_read_as_if_each_stood_alone),
    *after(ALONE, answers_from_the_cache_equal_the_full_pass),
    *after(BASICS, gradients_reach_every_parameter, another_image_changes_the_loss),
    *after(APART, every_image_of_a_row_changes_the_loss),
    *after(
        BASICS,
        a_new_fusion_leaves_the_decoder_as_it_was,
        the_decoder_keeps_its_weights_and_their_names,
        a_prompt_with_nothing_visible_gives_no_nan,
    ),
    *common(BASICS),
)
