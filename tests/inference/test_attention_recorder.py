"""What is recorded of attention: the weights that the kernel does not give, and only while somebody records."""

from __future__ import annotations

from typing import Any

import torch
from torch.nn import functional

from workbench.inference.attention_recorder import Recorder, kernel_weights


@torch.no_grad()
def test_the_kernel_s_weights_give_its_output():
    torch.manual_seed(0)
    query, key, value = (torch.randn(2, heads, 5, 8) for heads in (4, 2, 2))
    mask = torch.rand(2, 1, 5, 5) > 0.4
    mask[..., 0] = True
    cases: list[dict[str, Any]] = [
        {"attn_mask": mask},
        {"attn_mask": torch.randn(2, 1, 5, 5)},
        {"is_causal": True},
        {"scale": 0.3},
        {},
    ]
    for options in cases:
        wanted = functional.scaled_dot_product_attention(query, key, value, enable_gqa=True, **options)
        weights = kernel_weights(query, key, value, enable_gqa=True, **options)
        torch.testing.assert_close(weights @ value.repeat_interleave(2, 1), wanted)


def test_nothing_is_recorded_behind_the_recorder():
    with Recorder("here") as recorder:
        torch.randn(1, 2, 3, 3).softmax(-1)
        torch.randn(3, 3).softmax(-1)
    torch.randn(1, 2, 3, 3).softmax(-1)
    assert [each.shape for each in recorder.weights["here"]] == [(1, 3, 3)]
