"""Keys and values come back as they were put in, row by row and token by token."""

from __future__ import annotations

import pytest
import torch

from workbench.layers.key_value_cache import KeyValueCache


def test_every_block_gives_all_of_its_own_tokens():
    cache, keys, values = KeyValueCache(2, 6), torch.randn(2, 2, 3, 6, 4), torch.randn(2, 2, 3, 6, 5)
    for start, end in ((0, 3), (3, 4), (4, 6)):
        for block in range(2):
            found = cache.extend(block, keys[block][..., start:end, :], values[block][..., start:end, :])
            assert torch.equal(found[0], keys[block][..., :end, :])
            assert torch.equal(found[1], values[block][..., :end, :])
        cache.advance(end - start)
    assert cache.length == 6


def test_rows_that_are_kept_go_on_and_leave_the_others_as_they_were():
    cache, keys = KeyValueCache(1, 4), torch.randn(3, 2, 2, 4)
    cache.extend(0, keys, keys)
    cache.advance(2)
    rows, new = torch.tensor([2, 0]), torch.randn(2, 2, 1, 4)
    fewer = cache.keep_rows(rows)
    found, _ = fewer.extend(0, new, new)
    assert torch.equal(found, torch.cat([keys[rows], new], 2))
    whole, _ = cache.extend(0, keys[..., :1, :], keys[..., :1, :])
    assert torch.equal(whole[..., :2, :], keys)


@pytest.mark.parametrize(("given", "kept"), [("bfloat16", "float32"), ("float32", "float32"), ("float64", "float64")])
def test_a_cpu_keeps_bf16_in_fp32(given, kept):
    new = torch.randn(1, 1, 1, 4).to(getattr(torch, given))
    found, _ = KeyValueCache(1, 2).extend(0, new, new)
    assert found.dtype == getattr(torch, kept)
    assert torch.equal(found, new.to(found.dtype))
