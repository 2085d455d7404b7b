"""Images as a pretrained vision tower was shown them: `preprocessor_config.json`, followed with Pillow and torch."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy
import torch
from torch import Tensor

from workbench.checkpoints.hugging_face import read_object
from workbench.checkpoints.weights import CheckpointError

if TYPE_CHECKING:
    from PIL import Image

FILE = "preprocessor_config.json"


@dataclass(frozen=True)
class Preprocessing:
    """Resize, perhaps crop the middle, scale and normalise; the result is a square of `size` pixels.

    `shortest`: the image's shorter edge is made so long and the middle is cut out; None: it is squeezed to the
    square. `filter` is Pillow's number of a resampling filter.
    """

    size: int
    shortest: int | None
    filter: int
    factor: float
    mean: tuple[float, ...]
    deviation: tuple[float, ...]

    def __call__(self, image: Image.Image) -> Tensor:
        """An image of any size and mode -> [3,size,size]."""
        from PIL import Image

        image = image.convert("RGB")
        width, height = image.size
        wanted = self.size, self.size
        if self.shortest is not None:
            short = min(width, height)
            wanted = int(self.shortest * width / short), int(self.shortest * height / short)
        if image.size != wanted:
            image = image.resize(wanted, Image.Resampling(self.filter))
        if self.shortest is not None:
            image = _middle(image, self.size)
        pixels = torch.from_numpy(numpy.array(image, dtype=numpy.float32)).permute(2, 0, 1)
        mean, deviation = (torch.tensor(each)[:, None, None] for each in (self.mean, self.deviation))
        return (pixels * self.factor - mean) / deviation

    def resized(self, size: int) -> Preprocessing:
        """The same for squares of `size` pixels: what is cut off at the edges stays the same share of an image."""
        shortest = None if self.shortest is None else round(self.shortest * size / self.size)
        return replace(self, size=size, shortest=shortest)


def read_preprocessing(folder: Path, usual_size: int) -> Preprocessing:
    """What the folder's `preprocessor_config.json` says; `usual_size` where it names no size. `CheckpointError`
    when it makes no squares, or does not say how images are prepared."""
    file = folder / FILE
    told = read_object(file)
    size = _edges(told.get("size", usual_size), usual_size)
    crop = _edges(told.get("crop_size", usual_size), usual_size) if told.get("do_center_crop") else None
    if not told.get("do_resize", True) or len(set(size)) > 1 or (crop and len(set(crop)) > 1):
        raise CheckpointError(f"{file} does not make squares of images, which is needed here")
    shortest = isinstance(told.get("size"), int) or "shortest_edge" in (told.get("size") or {})
    normalises = told.get("do_normalize", True)
    try:
        return Preprocessing(
            size=(crop or size)[0],
            shortest=size[0] if crop or shortest else None,
            filter=int(told.get("resample", 2)),
            factor=float(told.get("rescale_factor", 1 / 255)) if told.get("do_rescale", True) else 1.0,
            mean=_three(told["image_mean"]) if normalises else (0.0,) * 3,
            deviation=_three(told["image_std"]) if normalises else (1.0,) * 3,
        )
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{file} does not say how images are prepared: {error!r}") from error


def _edges(size: Any, usual: int) -> tuple[int, ...]:
    """The edges of {height, width}, {shortest_edge} or a number."""
    if isinstance(size, int):
        return size, size
    if isinstance(size, dict):
        if "shortest_edge" in size:
            return (int(size["shortest_edge"]),) * 2
        if "height" in size and "width" in size:
            return int(size["height"]), int(size["width"])
    return usual, usual


def _three(values: Any) -> tuple[float, ...]:
    first, second, third = values
    return float(first), float(second), float(third)


def _middle(image: Image.Image, size: int) -> Image.Image:
    """The middle square; an image that is smaller is set in black, as transformers does it."""
    width, height = image.size
    left, top = (width - size) // 2, (height - size) // 2
    return image.crop((left, top, left + size, top + size))
