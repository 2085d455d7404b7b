"""Copies in large pages are equal to what was copied, and apart."""

from __future__ import annotations

import itertools

import torch

from workbench.layers.huge_pages import BLOCK, HugePages


def test_copies_in_huge_pages_are_equal_apart_and_stay():
    room = HugePages()
    given = [
        torch.randn(3, 5),
        torch.randn(7, 2).t(),
        torch.arange(-3, 4, dtype=torch.int8),
        torch.randn(9).bfloat16(),
        torch.zeros(0, 4),
        torch.ones(BLOCK // 4),  # more than is left
        torch.randn(6),
    ]
    copies = [room.copy(each) for each in given]
    del room
    assert all(copy.is_contiguous() for copy in copies)
    assert all(torch.equal(copy, each) for copy, each in zip(copies, given, strict=True))
    for changed in copies:
        before = [each.clone() for each in copies]
        changed += 1
        assert sum(not torch.equal(*pair) for pair in zip(copies, before, strict=True)) == (changed.numel() > 0)
    apart = [range(each.data_ptr(), each.data_ptr() + each.nbytes) for each in copies]
    assert not any(max(a.start, b.start) < min(a.stop, b.stop) for a, b in itertools.combinations(apart, 2))


def test_copies_are_plain_where_there_are_no_huge_pages(monkeypatch):
    monkeypatch.delattr("mmap.MADV_HUGEPAGE", raising=False)
    given = torch.randn(7, 2).t()
    copied = HugePages().copy(given)
    assert copied.is_contiguous()
    assert copied.data_ptr() != given.data_ptr()
    assert torch.equal(copied, given)
