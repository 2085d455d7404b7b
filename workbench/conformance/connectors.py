"""Rules for connectors: the encoder's tokens to the declared tokens, each picture by itself."""

from __future__ import annotations

import torch

from workbench.conformance.findings import Subject, expect
from workbench.conformance.modules import CLOSE, COMMON, it_can_be_built_with_these_options
from workbench.conformance.reference import WIDTH, gap
from workbench.contracts import VisionShape
from workbench.errors import UserError


def tokens_have_the_declared_shape(subject: Subject) -> None:
    """`shape` is what the fusion is built for; encoders of several sizes. It may refuse a size in a `UserError`."""
    for vision in (VisionShape(24, 4), VisionShape(WIDTH, 16), VisionShape(96, 49)):
        try:
            connector = subject.build(vision, WIDTH)
        except UserError:
            continue
        tokens, shape = connector(torch.randn(3, vision.tokens, vision.width)), connector.shape
        expect(
            tuple(tokens.shape) == (3, shape.tokens, shape.width),
            f"for 3 pictures of {vision.tokens} tokens, {vision.width} wide, forward gives {tuple(tokens.shape)}, but"
            f" shape says (3, {shape.tokens}, {shape.width})",
        )


def a_picture_is_connected_the_same_in_any_batch(subject: Subject) -> None:
    """A picture's neighbours must not matter."""
    vision = VisionShape(24, 4)
    connector = subject.build(vision, WIDTH).eval()
    tokens = torch.randn(3, vision.tokens, vision.width)
    alone = torch.cat([connector(each) for each in tokens.split(1)])
    expect(
        gap(connector(tokens), alone) < CLOSE,
        "a picture gets other tokens in a batch than alone: normalise over a picture's own values (LayerNorm), not over"
        " the batch (BatchNorm)",
    )


CHECKS = (
    it_can_be_built_with_these_options,
    tokens_have_the_declared_shape,
    a_picture_is_connected_the_same_in_any_batch,
    *COMMON,
)
