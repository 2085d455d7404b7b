"""Root mean square normalisation gives what torch's own gives, on every path it takes."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from workbench.layers.rms_norm import RMSNorm

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
