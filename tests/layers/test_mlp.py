"""The MLP against its formula."""

from __future__ import annotations

import torch
from torch.nn import functional

from workbench.layers.mlp import MLP


@torch.no_grad()
def test_it_is_a_gelu_between_two_matrices():
    mlp, hidden = MLP(4, 9, 3), torch.randn(2, 5, 4)
    (up, up_bias), (down, down_bias) = ((each.weight, each.bias) for each in (mlp.up, mlp.down))
    expected = functional.gelu(hidden @ up.T + up_bias) @ down.T + down_bias
    torch.testing.assert_close(mlp(hidden), expected)
    assert MLP(4, 9)(hidden).shape == hidden.shape
