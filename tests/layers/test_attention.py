"""Attention against torch's own of many heads, with shared keys, a cache, and places that alone look."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from workbench.errors import UserError
from workbench.layers.attention import Attention, attend
from workbench.layers.key_value_cache import KeyValueCache

CAUSAL = torch.ones(5, 5, dtype=torch.bool).tril()[None, None]


@pytest.mark.parametrize("mask", [None, CAUSAL], ids=["everything", "causal"])
@torch.no_grad()
def test_self_attention_is_torchs_of_many_heads(mask):
    own, torchs = Attention(12, 3), nn.MultiheadAttention(12, 3, batch_first=True)
    torchs.in_proj_weight.copy_(own.qkv.weight)
    torchs.in_proj_bias.copy_(own.qkv.bias)
    torchs.out_proj.load_state_dict(own.output.state_dict())
    hidden = torch.randn(2, 5, 12)
    expected, _ = torchs(hidden, hidden, hidden, attn_mask=None if mask is None else ~mask[0, 0])
    torch.testing.assert_close(own(hidden, mask), expected)


@pytest.mark.parametrize("length", [1, 5])
def test_heads_that_share_keys_give_what_repeated_keys_give(length):
    queries, keys, values = torch.randn(2, 6, length, 4), torch.randn(2, 2, 5, 4), torch.randn(2, 2, 5, 3)
    mask = torch.rand(2, 1, length, 5) < 0.7
    mask[..., 0] = True
    expected = attend(queries, keys.repeat_interleave(3, 1), values.repeat_interleave(3, 1), mask)
    torch.testing.assert_close(attend(queries, keys, values, mask), expected)


def test_bf16_on_a_cpu_is_computed_in_fp32_and_rounded_once():
    queries, keys, values = (torch.randn(1, 2, 6, 4).bfloat16() for _ in range(3))
    found = attend(queries, keys, values, None)
    assert found.dtype == torch.bfloat16
    assert torch.equal(found, attend(queries.float(), keys.float(), values.float(), None).bfloat16())


@torch.no_grad()
def test_places_that_alone_look_see_what_they_see_among_all():
    attention, hidden = Attention(12, 3), torch.randn(2, 5, 12)
    places = torch.tensor([[4, 1], [0, 3]])
    mask = CAUSAL.expand(2, 1, 5, 5)
    chosen = mask.gather(2, places[:, None, :, None].expand(-1, 1, -1, 5))
    expected = attention(hidden, mask).gather(1, places[..., None].expand(-1, -1, 12))
    torch.testing.assert_close(attention(hidden, chosen, places=places), expected)


@torch.no_grad()
def test_tokens_read_one_by_one_from_a_cache_give_what_they_give_at_once():
    attention, hidden, cache = Attention(12, 3), torch.randn(2, 5, 12), KeyValueCache(1, 5)
    found = []
    for place in range(5):
        found.append(attention(hidden[:, place : place + 1], CAUSAL[:, :, place : place + 1, : place + 1], cache=cache))
        cache.advance(1)
    torch.testing.assert_close(torch.cat(found, 1), attention(hidden, CAUSAL))


def test_heads_that_do_not_divide_the_width_are_refused():
    with pytest.raises(UserError, match="5 heads do not divide the width 12"):
        Attention(12, 5)
