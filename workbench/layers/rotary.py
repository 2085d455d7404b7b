"""Rotary positions: queries and keys turned by where they stand."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from workbench.errors import UserError


class Rotary(nn.Module):
    """Rotary positions (Su et al. 2021, https://arxiv.org/abs/2104.09864); a head's two halves turn together.

    `scaled` changes the frequencies [E/2], for a decoder that reads longer texts than it was first trained on.
    """

    def __init__(self, head_width: int, base: float = 10_000.0, scaled: Callable[[Tensor], Tensor] | None = None):
        super().__init__()
        if head_width % 2:
            raise UserError(f"rotary positions need an even width of a head, not {head_width}")
        self.head_width = head_width
        self.base = base
        self.scaled = scaled
        self._frequencies: dict[torch.device, Tensor] = {}

    def forward(self, positions: Tensor) -> tuple[Tensor, Tensor]:
        """positions [R,S] -> what `rotate` takes: the cosine, and the sine with its first half negated [R,1,S,E]."""
        frequencies = self._frequencies.get(positions.device)
        if frequencies is None:
            frequencies = self._frequencies[positions.device] = self._signed_frequencies(positions.device)
        angles = positions[:, None, :, None] * frequencies  # [R,1,S,E]
        return angles.cos(), angles.sin()

    def _signed_frequencies(self, device: torch.device) -> Tensor:
        """By how much each number of a head turns from one position to the next [E], its first half backwards."""
        pairs = torch.arange(0, self.head_width, 2, device=device, dtype=torch.float32)
        frequencies = self.base ** (-pairs / self.head_width)
        if self.scaled is not None:
            frequencies = self.scaled(frequencies)
        return torch.cat([-frequencies, frequencies])


def rotate(heads: Tensor, rotation: tuple[Tensor, Tensor]) -> Tensor:
    """heads [R,H,S,E] turned by what `Rotary` gives: (first, second) cos + (-second, first) sin."""
    cosine, sine = rotation
    if cosine.dtype != heads.dtype:
        cosine, sine = cosine.to(heads.dtype), sine.to(heads.dtype)
    return torch.addcmul(heads * cosine, heads.roll(heads.shape[-1] // 2, dims=-1), sine)
