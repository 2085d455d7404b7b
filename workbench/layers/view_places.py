"""Learned places that tell an example's images apart."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class ViewPlaces(nn.Module):
    """Tells an example's images (or the tiles of one) apart, for a fusion that looks at all of them at once.

    Each of the first `views` has a learned place, which is added to its `tokens` image tokens; those behind share the
    last. Places start at zero, so that a model begins as without them; for one view there is nothing to tell apart.
    """

    def __init__(self, width: int, tokens: int, views: int):
        super().__init__()
        self.tokens = tokens
        self.places = nn.Parameter(torch.zeros(views, width)) if views > 1 else None

    def forward(self, vision: Tensor) -> Tensor:
        """vision [G,KM,D], M tokens of each of K views -> [G,KM,D]."""
        if self.places is None:
            return vision
        view = torch.arange(vision.shape[1], device=vision.device) // self.tokens
        return vision + self.places[view.clamp(max=len(self.places) - 1)]
