"""What an encoder provides: images to image tokens."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor, nn

from workbench.checkpoints.llava_layout import TransformersPart
from workbench.contracts.tiles import views_of
from workbench.ingredient import Pretrainable

if TYPE_CHECKING:
    from PIL import Image


@dataclass(frozen=True)
class VisionShape:
    """What an encoder (or a connector) gives out: `tokens` tokens, each `width` wide."""

    width: int
    tokens: int


class Encoder(nn.Module, Pretrainable):
    """Images to image tokens. Sets `shape` and `image_size` in its constructor.

    Factory: `Encoder(*, options)`. With `tiles` a large image is seen as a whole and in up to so many parts.
    """

    kind: ClassVar[str] = "encoder"

    shape: VisionShape
    image_size: int
    tiles: int = 0
    reads_image: ClassVar[bool] = True
    """Whether the tokens depend on the image. False for one that gives the same tokens for every image: a model with it
    is blind, which reports then say, and no contrast can train it."""

    @classmethod
    def likeness(cls, options: Mapping[str, Any]) -> Encoder:
        """A small encoder that would be wrong where one of these options would: `workbench plan` tries it.

        It has the same code and settings, few layers and any weights. Override it where others' models are run: a plan
        tries no encoder without. `ValueError` says why there is none.
        """
        return cls(**options)

    def transform(self, image: Image.Image) -> Tensor:
        """An RGB image of any size -> the tensor [3,H,W] that `forward` takes, H = W = `image_size`."""
        raise NotImplementedError

    def views(self, image: Image.Image) -> Tensor:
        """An RGB image of any size -> its views [1,3,H,W]; with `tiles` [1 to 1 + tiles,3,H,W], the whole first."""
        return torch.stack([self.transform(each) for each in views_of(image, self.image_size, self.tiles)])

    def forward(self, images: Tensor) -> Tensor:
        """images [P,3,H,W] -> tokens [P,N,Dv]."""
        raise NotImplementedError

    def pool(self, images: Tensor) -> Tensor:
        """images [P,3,H,W] -> one vector an image [P,Dv], for contrastive training."""
        return self(images).mean(1)

    def for_transformers(self) -> TransformersPart | None:
        """Itself in the terms of transformers' LLaVA, for `workbench export --llava`; None for no counterpart there.

        A `UserError` says why it has none with these options.
        """
        return None
