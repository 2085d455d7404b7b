"""An image as the model sees it: what preprocessing made of it, in colours again."""

from __future__ import annotations

import torch
from PIL import Image

from tests.tiny import builtin_registry
from workbench.inference.seen_image import seen_image


def test_an_image_is_seen_as_the_encoder_gets_it():
    image = Image.effect_noise((90, 60), 60).convert("RGB")
    for name, options in (("clip", {"image_size": 32}), ("vit", {"image_size": 32})):
        encoder = builtin_registry().create("encoder", name, **options)
        seen = seen_image(encoder.views, image)
        assert seen.size == (32, 32)
        again = encoder.transform(seen)
        torch.testing.assert_close(again, encoder.transform(image), atol=0.02, rtol=0)


def test_all_views_of_several_images_stand_side_by_side():
    encoder = builtin_registry().create("encoder", "vit", image_size=16, patch_size=8)
    red, blue = (Image.new("RGB", (20, 30), shade) for shade in ("red", "blue"))
    seen = seen_image(encoder.views, red, blue)
    assert seen.size == (32, 16)
    assert [seen.getpixel((x, 8)) for x in (8, 24)] == [(255, 0, 0), (0, 0, 255)]
