"""The building blocks that plugins share give what torch's own give, on every path they take."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch.nn import functional

from workbench.layers.huge_pages import BLOCK, HugePages
from workbench.layers.rms_norm import RMSNorm
from workbench.layers.rotary import Rotary

EPSILON = 1e-3


def norm(dtype: torch.dtype = torch.float32) -> RMSNorm:
    torch.manual_seed(0)
    made = RMSNorm(24, EPSILON).to(dtype)
    with torch.no_grad():
        made.weight.normal_()
    return made


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("shape", [(24,), (1, 1, 24), (2, 3, 24), (16, 24), (17, 24), (4, 50, 24), (0, 24)])
@pytest.mark.parametrize("trained", [True, False])
def test_a_norm_gives_what_torch_gives(shape, dtype, trained):
    made, hidden = norm(dtype), torch.randn(shape).to(dtype)
    with torch.set_grad_enabled(trained):
        found = made(hidden)
        expected = functional.rms_norm(hidden, (24,), made.weight, EPSILON)
    assert found.dtype == dtype
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("size", [1e-4, 1e4])
@torch.no_grad()
def test_a_norm_of_few_rows_is_as_exact_far_from_one(size):
    made, hidden = norm(), size * torch.randn(3, 24) + size
    expected = functional.rms_norm(hidden.double(), (24,), made.weight.double(), EPSILON)
    torch.testing.assert_close(made(hidden).double(), expected, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("frozen", [(), ("weight",), ("hidden",)])
def test_a_norm_has_the_gradients_that_torch_has(frozen):
    made = norm()
    hidden = torch.randn(5, 7, 24, requires_grad="hidden" not in frozen)
    made.weight.requires_grad_("weight" not in frozen)
    wanted = [each for each in (hidden, made.weight) if each.requires_grad]
    above = torch.randn(5, 7, 24)
    found = torch.autograd.grad(made(hidden), wanted, above)
    expected = torch.autograd.grad(functional.rms_norm(hidden, (24,), made.weight, EPSILON), wanted, above)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


def test_a_norm_is_fp32_under_autocast():
    made, hidden = norm(), torch.randn(40, 24, requires_grad=True)
    with torch.autocast("cpu", torch.bfloat16):
        found = made(hidden)
    torch.testing.assert_close(found, functional.rms_norm(hidden, (24,), made.weight, EPSILON))


def test_rotary_positions_made_while_answering_serve_training_too():
    rotary, positions = Rotary(8), torch.arange(5)[None]
    with torch.inference_mode():
        cosine, sine = rotary(positions)
    heads = torch.randn(1, 2, 5, 8, requires_grad=True)
    turned = heads * rotary(positions)[0]
    turned.sum().backward()
    assert heads.grad is not None
    angles = torch.arange(5.0)[:, None] * 10_000.0 ** (-torch.arange(0, 8, 2) / 8)
    torch.testing.assert_close(cosine[0, 0], angles.cos().repeat(1, 2))
    torch.testing.assert_close(sine[0, 0], torch.cat([-angles.sin(), angles.sin()], 1))


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
