"""Attention to another sequence against torch's own, with keys kept and some of them not there."""

from __future__ import annotations

import torch
from torch import nn

from workbench.layers.cross_attention import CrossAttention


@torch.no_grad()
def test_it_is_torchs_attention_of_many_heads_to_a_source_of_another_width():
    own, torchs = CrossAttention(12, 8, 3, closed=False), nn.MultiheadAttention(12, 3, kdim=8, vdim=8, batch_first=True)
    keys, values = own.key_value.weight.chunk(2)
    for parameter, weight in (("q_proj_weight", own.query.weight), ("k_proj_weight", keys), ("v_proj_weight", values)):
        torchs.get_parameter(parameter).copy_(weight)
    torchs.in_proj_bias.copy_(torch.cat([own.query.bias, own.key_value.bias]))
    torchs.out_proj.load_state_dict(own.output.state_dict())
    hidden, source = torch.randn(2, 5, 12), torch.randn(2, 7, 8)
    there = torch.tensor([[True] * 7, [True] * 3 + [False] * 4])
    expected, _ = torchs(hidden, source, source, key_padding_mask=~there)
    torch.testing.assert_close(own(hidden, source, there[:, None, None]), expected)
    torch.testing.assert_close(own(hidden, own.keys_values(source, there[:, None, None])), expected)


def test_a_closed_one_adds_nothing_and_learns_all_the_same():
    closed = CrossAttention(12, 8, 3)
    found = closed(torch.randn(2, 5, 12), torch.randn(2, 7, 8))
    assert not found.any()
    found.sum().backward()
    assert closed.output.weight.grad is not None
    assert closed.output.weight.grad.any()
