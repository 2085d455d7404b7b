"""An encoder whose tokens depend on how many images are encoded together."""

from __future__ import annotations

from pathlib import Path

import numpy
import torch
from safetensors.torch import load_file
from torch import nn

from workbench import Encoder, VisionShape, hookimpl


class Sociable(Encoder):
    """The last bits of a product depend on its number of rows: here in a way that every machine shows."""

    def __init__(self, *, weights: Path | None = None):
        super().__init__()
        self.image_size = 16
        self.shape = VisionShape(16, 4)
        self.patches = nn.Linear(192, 16)
        if weights is not None and not self.patches.weight.is_meta:
            self.load_state_dict(load_file(weights))

    @classmethod
    def files(cls, options):
        return () if options["weights"] is None else (options["weights"],)

    def transform(self, image):
        return torch.from_numpy(numpy.array(image, dtype=numpy.float32)).movedim(2, 0) / 255

    def forward(self, images):
        return self.patches(nn.functional.unfold(images, 8, stride=8).mT) + 0.1 * len(images)


@hookimpl
def register_encoders(register):
    register("sociable", Sociable)
