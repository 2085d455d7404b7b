"""Images as a pretrained vision tower was shown them: `preprocessor_config.json`, followed with Pillow and torch."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy
import torch
from torch import Tensor
from torch.nn import functional

from workbench.checkpoints.json_files import read_object
from workbench.checkpoints.transformers_models import quiet_transformers, transformers_for
from workbench.checkpoints.weights import CheckpointError

if TYPE_CHECKING:
    from PIL import Image

FILE = "preprocessor_config.json"
NAMES = {"image_processor_type", "feature_extractor_type"}
SIZES = ("size", "crop_size")
SETTINGS = (
    *("do_resize", "do_center_crop", "do_pad", "crop_pct", "resample", "do_rescale"),
    *("rescale_factor", "do_normalize", "image_mean", "image_std", *SIZES),
)
WHOLE_FROM = 384  # pixels from which on ConvNeXt's images are squeezed
TOLERANCE = 1e-3  # between two ways to round


@dataclass(frozen=True)
class Preprocessing:
    """Resize, perhaps crop the middle, scale and normalise; the result is a square of `size` pixels.

    An image is `squeezed` to a square of `edge` pixels, or else its shorter edge is made so long; of what is larger
    than `size` the middle is cut out. `padded`: its longer edge is, and zeros stand below or beside what it is then.
    `filter` is Pillow's number of a resampling filter, `kind` the class of transformers that does the same.
    """

    size: int
    edge: int
    squeezed: bool
    padded: bool
    filter: int
    factor: float
    mean: tuple[float, ...]
    deviation: tuple[float, ...]
    kind: str = ""

    def __call__(self, image: Image.Image) -> Tensor:
        """An image of any size and mode -> [3,size,size]."""
        from PIL import Image

        image = image.convert("RGB")
        wanted = self._resized(*image.size)
        if image.size != wanted:
            image = image.resize(wanted, Image.Resampling(self.filter))
        if image.size != (self.size, self.size) and not self.padded:
            image = _middle(image, self.size)
        pixels = torch.from_numpy(numpy.array(image, dtype=numpy.float32)).permute(2, 0, 1)
        mean, deviation = (torch.tensor(each)[:, None, None] for each in (self.mean, self.deviation))
        scaled = (pixels * self.factor - mean) / deviation
        return functional.pad(scaled, (0, self.size - image.width, 0, self.size - image.height))

    def resized(self, size: int) -> Preprocessing:
        """The same for squares of `size` pixels: what is cut off at the edges stays the same share of an image."""
        return replace(self, size=size, edge=round(self.edge * size / self.size))

    def whole(self) -> Preprocessing:
        """The same without cutting anything off: the image is squeezed."""
        return replace(self, edge=self.size, squeezed=True, padded=False)

    def _resized(self, width: int, height: int) -> tuple[int, int]:
        if self.squeezed:
            return self.edge, self.edge
        if self.padded:
            longest = max(width, height)
            return int(self.edge * width / longest + 0.5), int(self.edge * height / longest + 0.5)
        shortest = min(width, height)
        return int(self.edge * width / shortest), int(self.edge * height / shortest)


def read_preprocessing(folder: Path, usual_size: int) -> Preprocessing:
    """What the folder's `preprocessor_config.json` says, as transformers' class for it reads that; `usual_size` where
    it names no size. `CheckpointError` when it makes no squares, does not say how images are prepared, or names a class
    that prepares squares in another way than is followed here."""
    file = folder / FILE
    told = read_object(file)
    processor = _image_processor(folder)
    found = _read(file, told if processor is None else _settings(told, processor), usual_size)
    if processor is None:
        return found
    if not NAMES.isdisjoint(told):
        _check_same(file, found, processor)
    return replace(found, kind=type(processor).__name__.removesuffix("Pil"))


def _read(file: Path, told: dict[str, Any], usual_size: int) -> Preprocessing:
    crops, normalises = told.get("do_center_crop"), told.get("do_normalize", True)
    size = _edges(told.get("size", usual_size), usual_size)
    crop = _edges(told.get("crop_size", usual_size), usual_size) if crops else size
    if not told.get("do_resize", True) or len(set(size)) > 1 or len(set(crop)) > 1:
        raise CheckpointError(f"{file} does not make squares of images, which is needed here")
    own = told.get("size")
    padded = isinstance(own, dict) and "longest_edge" in own and bool(told.get("do_pad"))
    squeezed = not padded and not ("shortest_edge" in own if isinstance(own, dict) else isinstance(own, int) and crops)
    edge, size = size[0], crop[0]
    if told.get("crop_pct"):  # of ConvNeXt: small images lose an edge, larger ones are squeezed
        edge, squeezed = (int(edge / told["crop_pct"]), False) if edge < WHOLE_FROM else (edge, True)
    try:
        return Preprocessing(
            size=size,
            edge=edge,
            squeezed=squeezed,
            padded=padded,
            filter=int(told.get("resample", 2)),
            factor=float(told.get("rescale_factor", 1 / 255)) if told.get("do_rescale", True) else 1.0,
            mean=_three(told["image_mean"]) if normalises else (0.0,) * 3,
            deviation=_three(told["image_std"]) if normalises else (1.0,) * 3,
        )
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{file} does not say how images are prepared: {error!r}") from error


def _image_processor(folder: Path) -> Any:
    """The processor that transformers makes of the folder, on Pillow alone; None where it makes none."""
    transformers = transformers_for(f"the preprocessing in {folder}")
    try:
        with quiet_transformers():
            return transformers.AutoImageProcessor.from_pretrained(folder, backend="pil", local_files_only=True)
    except Exception:  # many kinds, for files of other programs: what the file itself says is followed then
        return None


def _settings(told: dict[str, Any], processor: Any) -> dict[str, Any]:
    """What a file says, in full: its class says whether a size that is one number is that of a square, and what holds
    where the file says nothing. Sizes that it does not name are none of its own."""
    meant = {name: getattr(processor, name, None) for name in SETTINGS}
    for name in SIZES:
        own = {key: each for key, each in dict(meant[name] or {}).items() if each is not None}
        meant[name] = own if told.get(name) is not None else None
    meant["do_center_crop"] = meant["do_center_crop"] and meant["crop_size"] is not None
    return {name: value for name, value in meant.items() if value is not None}


def _check_same(file: Path, ours: Preprocessing, processor: Any) -> None:
    """That a processor makes the same of an image that is no square, where it makes one square of it: of others, that
    keep the shape of an image or take it apart, the encoder asks for squares all the same."""
    from PIL import Image

    shades = numpy.arange(40 * 31 * 3).reshape(31, 40, 3) % 251
    image = Image.fromarray(shades.astype(numpy.uint8))
    try:
        made = numpy.asarray(processor(image)["pixel_values"][0], dtype=numpy.float32)
    except Exception:  # as above
        return
    if made.ndim != 3 or made.shape[1] != made.shape[2]:
        return
    theirs = torch.from_numpy(made)
    if theirs.shape != ours(image).shape or not torch.allclose(theirs, ours(image), atol=TOLERANCE):
        kind = type(processor).__name__
        raise CheckpointError(
            f"{file} means {kind} of transformers, which prepares images in a way of its own that is not followed here."
            " Take another checkpoint, or a file of ViTImageProcessor or CLIPImageProcessor that prepares them as well"
        )


def _edges(size: Any, usual: int) -> tuple[int, ...]:
    """The edges of {height, width}, {shortest_edge}, {longest_edge} or a number."""
    if isinstance(size, int):
        return size, size
    if isinstance(size, dict):
        for edge in ("shortest_edge", "longest_edge"):
            if edge in size:
                return (int(size[edge]),) * 2
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
