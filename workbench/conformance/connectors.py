"""Rules for connectors: the encoder's tokens to the declared tokens, each image by itself."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from workbench.conformance.determinism import Call, CallPlan, expect_inputs_stay, expect_the_same_each_time
from workbench.conformance.model_parts import (
    CLOSE,
    another_image_changes_the_loss,
    basics,
    common,
    gradients_reach_every_parameter,
    rows_do_not_mix,
)
from workbench.conformance.reference_model import gap, opened
from workbench.conformance.rules import Rule, Subject, after, expect
from workbench.contracts.connector import Connector
from workbench.contracts.encoder import VisionShape
from workbench.errors import UserError

VISION = VisionShape(24, 4)  # that of the reference encoder


def tokens_have_the_declared_shape(subject: Subject) -> None:
    """`shape` is what the fusion is built for; encoders of several sizes. It may refuse a size in a `UserError`."""
    for vision in (VISION, VisionShape(64, 16), VisionShape(96, 49)):
        try:
            connector = subject.build(vision, subject.width)
        except UserError:
            continue
        tokens, shape = connector(torch.randn(3, vision.tokens, vision.width)), connector.shape
        expect(
            tuple(tokens.shape) == (3, shape.tokens, shape.width),
            f"for 3 images of {vision.tokens} tokens, {vision.width} wide, forward gives {tuple(tokens.shape)}, but"
            f" shape says (3, {shape.tokens}, {shape.width})",
        )


def it_gives_the_same_each_time(subject: Subject) -> None:
    """In eval mode, however often it is asked, and whatever it was asked before."""
    expect_the_same_each_time(CallPlan(lambda: opened(subject.build(VISION, subject.width)).eval(), _calls))


def tokens_stay_as_they_were(subject: Subject) -> None:
    """They may be kept features, which other trials read too."""
    connector = subject.build(VISION, subject.width)
    for mode in (True, False):
        expect_inputs_stay(_calls(connector.train(mode), 0))


def an_image_is_connected_the_same_in_any_batch(subject: Subject) -> None:
    """An image's neighbours must not matter."""
    connector = subject.build(VISION, subject.width).eval()
    tokens = torch.randn(3, VISION.tokens, VISION.width)
    alone = torch.cat([connector(each.clone()) for each in tokens.split(1)])
    expect(
        gap(connector(tokens.clone()), alone) < CLOSE,
        "an image gets other tokens in a batch than alone: normalise over an image's own values (LayerNorm), not over"
        " the batch (BatchNorm)",
    )


def _calls(connector: Connector, number: int) -> Sequence[Call]:
    generator = torch.Generator().manual_seed(number)
    return [Call("forward", connector, (torch.randn(2, VISION.tokens, VISION.width, generator=generator),))]


BASICS = basics(tokens_have_the_declared_shape, same=it_gives_the_same_each_time, stay=tokens_stay_as_they_were)
ALONE = after(BASICS, an_image_is_connected_the_same_in_any_batch)
RULES: tuple[Rule, ...] = (
    *BASICS,
    *ALONE,
    *after((*BASICS, *ALONE), rows_do_not_mix),
    *after(BASICS, gradients_reach_every_parameter, another_image_changes_the_loss),
    *common(BASICS),
)
