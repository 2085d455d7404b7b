"""The few rules that a plan tries on the very options of an experiment, with a small likeness of what it will run.

A component that breaks one gives wrong numbers, or fails in a phase, hours later. They take a fraction of a second.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import torch

from workbench.conformance.cached_decoding import answers_from_the_cache_equal_the_full_pass
from workbench.conformance.encoders import an_image_is_encoded_the_same_in_any_batch, tokens_have_the_declared_shape
from workbench.conformance.examine import CannotCheck, examine
from workbench.conformance.language_models import (
    a_token_stands_where_its_position_says,
    blocks_and_attentions_are_there_once,
    its_logits_are_those_of_its_own_library,
    outputs_have_the_declared_shape,
    the_cache_gives_what_one_pass_gives,
)
from workbench.conformance.leakage import (
    no_answer_token_is_read_ahead,
    questions_are_answered_in_a_row_as_if_each_stood_alone,
)
from workbench.conformance.reference_model import batch_for, compose, different_images, gap, opened, trained
from workbench.conformance.reference_questions import corpus
from workbench.conformance.remembered_verdicts import Verdict
from workbench.conformance.rules import Rule, Subject, expect, in_turn
from workbench.registry import Plugin

DRAWN = "Nothing may be drawn at random in eval mode"


def an_encoder_can_be_built(subject: Subject) -> None:
    """With these options."""
    subject.build()


def a_language_model_can_be_built(subject: Subject) -> None:
    """With these options."""
    subject.build(corpus())


def the_same_images_get_the_same_tokens_twice(subject: Subject) -> None:
    """In eval mode."""
    encoder = subject.build().eval()
    images = different_images(encoder, 2)
    first, second = encoder(images.clone()), encoder(images.clone())
    expect(
        first.shape == second.shape and gap(first, second) == 0,
        f"the same images get other tokens when they are shown again. {DRAWN}",
    )


def a_model_can_be_built_with_it(subject: Subject) -> None:
    """With gates open, which start closed; the rules after this one look at it. Beside a small likeness that tells
    nothing: it may want a block or a width that only the real model has, and a plan builds it for that one as well."""
    try:
        model = compose(subject)
    except Exception as error:
        if not subject.beside:
            raise
        told = f"{type(error).__name__}: {error}".partition("\n")[0]
        raise CannotCheck(f"it cannot be built for a small likeness of what is beside it ({told})") from error
    opened(model.fusion)
    subject.hold(trained, (model.eval(), {}))


@torch.no_grad()
def the_same_text_gets_the_same_hidden_states_twice(subject: Subject) -> None:
    """In eval mode."""
    model = subject.build(corpus()).eval()
    ids = torch.arange(4, 12)[None]
    mask = torch.ones(1, 1, 8, 8, dtype=torch.bool).tril()
    first, second = (model(model.embed(ids), torch.arange(8)[None], mask.clone()) for _ in range(2))
    expect(gap(first, second) == 0, f"the same text gets other hidden states when it is read again. {DRAWN}")


def the_loss_of_a_question_is_one_number(subject: Subject) -> None:
    """Several questions a row, images in every place."""
    model, _ = subject.once(trained)
    first, second = (model.loss(batch_for(model)) for _ in range(2))
    expect(bool(first.isfinite()), f"the loss of a question is {first.item()}")
    expect(bool(first == second), f"the same questions have another loss when they are read again. {DRAWN}")


RULES: Mapping[str, tuple[Rule, ...]] = {
    "encoder": in_turn(
        an_encoder_can_be_built,
        tokens_have_the_declared_shape,
        the_same_images_get_the_same_tokens_twice,
        an_image_is_encoded_the_same_in_any_batch,
    ),
    "language_model": in_turn(
        a_language_model_can_be_built,
        outputs_have_the_declared_shape,
        the_same_text_gets_the_same_hidden_states_twice,
        blocks_and_attentions_are_there_once,
        its_logits_are_those_of_its_own_library,
        a_token_stands_where_its_position_says,
        the_cache_gives_what_one_pass_gives,
    ),
    "fusion": in_turn(
        a_model_can_be_built_with_it,
        the_loss_of_a_question_is_one_number,
        questions_are_answered_in_a_row_as_if_each_stood_alone,
        answers_from_the_cache_equal_the_full_pass,
        no_answer_token_is_read_ahead,
    ),
}


def verdict_on(
    plugin: Plugin, make: Callable[..., Any], beside: Mapping[str, Callable[..., Any]] | None = None
) -> Verdict:
    """On an encoder, language model or fusion that `make` builds, `beside` other parts: the first rule that it breaks,
    or why it cannot be tried here."""
    subject = Subject(replace(plugin, factory=make), beside=beside or {})
    with torch.no_grad():
        try:
            broken = next((each for each in examine(subject, RULES[plugin.kind]) if not each.passed), None)
        except CannotCheck as reason:
            return Verdict(obstacle=str(reason))
    return Verdict(broken={broken.title: broken.explanation} if broken else {})
