"""What a fusion is asked when its methods are tried one by one, without a decoder."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from workbench.conformance.determinism import Call
from workbench.conformance.reference_parts import DEPTH
from workbench.contracts.fusion import Fusion, Inputs

ROWS, LENGTH, TOKENS = 2, 6, 4  # rows, text tokens, image tokens of a view
NUMBERS = 2 * DEPTH  # each block, reading the prompt and answering


def calls_of_fusion(width: int, fusion: Fusion, number: int) -> Sequence[Call]:
    """The methods that it overrides, with one of several images, for one of the blocks, with and without prompt. The
    second set of images has fewer views than the first."""
    generator = torch.Generator().manual_seed(number)
    vision = torch.randn(ROWS, 2 * TOKENS, width, generator=generator)
    mask = (torch.arange(2 * TOKENS) < torch.tensor([[2 * TOKENS], [TOKENS]]))[:, None, None]
    hidden = torch.randn(ROWS, LENGTH, width, generator=generator)
    prompt, index, kind = torch.arange(LENGTH).expand(ROWS, -1) < 4, number % DEPTH, type(fusion)
    calls = [Call("prepare", fusion.prepare, (vision, mask))]
    seen = calls[0].answer()
    if kind.fuse_inputs is not Fusion.fuse_inputs:
        calls.append(Call("fuse_inputs", fusion.fuse_inputs, (seen, _text(hidden, prompt))))
    for earlier in range(index if kind.fuse_block is not Fusion.fuse_block else 0):
        seen = Call("fuse_block", fusion.fuse_block, (earlier, hidden, seen, prompt)).answer()[1]
    if kind.fuse_block is not Fusion.fuse_block:
        answering = number % 2 == 1
        calls.append(Call("fuse_block", fusion.fuse_block, (index, hidden, seen, None if answering else prompt)))
    if kind.fuse_attention is not Fusion.fuse_attention:
        calls.append(Call("fuse_attention", fusion.fuse_attention, (index, hidden, seen)))
    return calls if kind.prepare is not Fusion.prepare else calls[1:]


def _text(embeds: Tensor, prompt: Tensor) -> Inputs:
    """The inputs of two rows, the first with two images and the second with one."""
    places = torch.arange(LENGTH).expand(ROWS, -1)
    image = places < torch.tensor([[2], [1]])
    return Inputs(embeds, places.clone(), (places >= 3).long(), prompt.clone(), image, places.clone())
