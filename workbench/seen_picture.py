"""A picture as the model sees it: what an encoder's preprocessing made of it, turned back into colours."""

from __future__ import annotations

from collections.abc import Callable

import torch
from PIL import Image
from torch import Tensor


def seen_picture(transform: Callable[[Image.Image], Tensor], picture: Image.Image) -> Image.Image:
    """The picture after `transform`, cut and scaled as the encoder gets it.

    An encoder's normalisation is one straight line a channel. What black and white become says which, so it can be
    undone without knowing it.
    """
    values = transform(picture)  # [3,H,W]
    black, white = (transform(Image.new("RGB", picture.size, shade)) for shade in ((0, 0, 0), (255, 255, 255)))
    low, high = (each.flatten(1).mean(1)[:, None, None] for each in (black, white))  # [3,1,1]
    pixels = ((values - low) / (high - low) * 255).round().clamp(0, 255).to(torch.uint8)
    return Image.fromarray(pixels.permute(1, 2, 0).contiguous().numpy())
