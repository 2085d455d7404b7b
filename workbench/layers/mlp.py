"""Two linear layers with a GELU between them."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional


class MLP(nn.Module):
    """Two linear layers with a GELU between them."""

    def __init__(self, width: int, hidden: int, output: int | None = None):
        super().__init__()
        self.up = nn.Linear(width, hidden)
        self.down = nn.Linear(hidden, output or width)

    def forward(self, hidden: Tensor) -> Tensor:
        """hidden [..., width] -> [..., output]."""
        return self.down(functional.gelu(self.up(hidden)))
