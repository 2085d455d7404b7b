"""A fusion is asked what it overrides, for every block, while it reads the prompt and while it answers."""

from __future__ import annotations

import torch

from tests.tiny import builtin_registry
from workbench.conformance.fusion_calls import LENGTH, NUMBERS, ROWS, TOKENS, calls_of_fusion
from workbench.conformance.reference_parts import DEPTH, HEADS, ReferenceFusion
from workbench.contracts.encoder import VisionShape
from workbench.contracts.language_model import DecoderShape

SHAPES = VisionShape(64, TOKENS), DecoderShape(64, DEPTH, HEADS)


def test_every_method_that_is_overridden_is_asked_and_no_other():
    calls = calls_of_fusion(64, ReferenceFusion(*SHAPES), 0)
    assert [call.name for call in calls] == ["prepare", "fuse_block", "fuse_attention"]
    concatenating = builtin_registry().plugin("fusion", "concat_projection").factory(*SHAPES)
    assert [call.name for call in calls_of_fusion(64, concatenating, 0)] == ["prepare", "fuse_inputs"]


def test_each_block_reads_the_prompt_once_and_answers_once():
    fusion = ReferenceFusion(*SHAPES)
    asked = [call.arguments for number in range(NUMBERS) for call in calls_of_fusion(64, fusion, number)[1:2]]
    assert sorted((index, prompt is None) for index, _, _, prompt in asked) == sorted(
        (index, answering) for index in range(DEPTH) for answering in (False, True)
    )
    assert {tuple(hidden.shape) for _, hidden, _, _ in asked} == {(ROWS, LENGTH, 64)}


def test_the_second_row_has_fewer_image_tokens_than_the_first():
    vision, mask = calls_of_fusion(64, ReferenceFusion(*SHAPES), 0)[0].arguments
    assert vision.shape == (ROWS, 2 * TOKENS, 64)
    assert mask[:, 0, 0].sum(-1).tolist() == [2 * TOKENS, TOKENS]
    assert torch.isfinite(vision).all()
