"""Images as the model sees them: what an encoder's preprocessing made of them, turned back into colours."""

from __future__ import annotations

from collections.abc import Callable

import torch
from PIL import Image
from torch import Tensor


def seen_image(views: Callable[[Image.Image], Tensor], *images: Image.Image) -> Image.Image:
    """All `views` of the images side by side, cut and scaled as the encoder gets them.

    An encoder's normalisation is one straight line a channel. What black and white become says which, so it can be
    undone without knowing it. Where both become the same, nothing is seen: that is grey.
    """
    values = torch.cat([each for image in images for each in views(image)], dim=2)  # [3,H,W]
    black, white = (views(Image.new("RGB", images[0].size, shade))[0] for shade in ((0, 0, 0), (255, 255, 255)))
    low, high = (each.flatten(1).mean(1)[:, None, None] for each in (black, white))  # [3,1,1]
    pixels = ((values - low) / (high - low) * 255).nan_to_num(128.0).round().clamp(0, 255).to(torch.uint8)
    return Image.fromarray(pixels.permute(1, 2, 0).contiguous().numpy())
