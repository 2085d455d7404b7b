"""An image of any kind that Pillow opens as the RGB image that models are shown: every image comes in through here.

- **Levels.** 16 bits become 8 by their range (v / 257, rounded). Whole numbers of 32 bits have no agreed white: 0 to
  65535 are taken for 16 bits, others are stretched from the lowest to the highest there is. Fractions from 0 to 1 are
  shares of white; all others (counts, heights, light beyond white) are stretched, so that nothing is cut off. What is
  no number is as dark as the darkest, infinity as bright as the brightest, and an even image that would be stretched
  is grey.
- **Transparency**, of a channel, a palette or one colour, is laid on a background, white unless said otherwise.
- **Size.** A JPEG of more pixels than Pillow reads is scaled down by a power of two while it is read.
- **Turned** as the camera says, also an image that a dataset hands over as Pillow opened it; where what the camera
  wrote cannot be read, the image is as it is. Images of 8 bits without transparency are what Pillow's `convert("RGB")`
  makes of them.
"""

from __future__ import annotations

import struct
import warnings
from contextlib import AbstractContextManager
from pathlib import Path
from typing import BinaryIO

import numpy
from PIL import ExifTags, Image, ImageColor, ImageOps
from PIL.JpegImagePlugin import JpegImageFile

from workbench.errors import UserError

WHITE = "white"
OF_16_BITS = 65535
WITH_ALPHA = ("RGBA", "RGBa", "LA", "La", "PA")
ADVICE = "Scale it down, or save it as a JPEG, which is scaled while it is read"
# How Pillow names the bits of a PNG's pixels: of 2 and 4 bits they are spread to 8, of 16 the upper 8 are kept.
GREY_STEPS = {"L;2": 85, "L;4": 17}
RGB_OF_16_BITS = "RGB;16B"
PNG = b"\x89PNG\r\n\x1a\n"

Source = Path | str | BinaryIO


def read_rgb(source: Source, background: str = WHITE, frame: int = 0) -> Image.Image:
    """The RGB image of a file, or of one of its frames. Raises what Pillow does; `DecompressionBombError` where it is
    too large."""
    return to_rgb(read_image(source, frame), background)


def read_image(source: Source, frame: int = 0) -> Image.Image:
    """An image as it is, but turned as its camera says, and a huge JPEG smaller; `to_rgb` does the rest."""
    with warnings.catch_warnings(), _opened(source) as image:
        warnings.simplefilter("ignore")  # of palettes with transparency and large images: both are fine
        if frame:
            image.seek(frame)
        _count_clear_in_8_bits(image)
        return _turned(image) or image.copy()


def to_rgb(image: Image.Image, background: str = WHITE) -> Image.Image:
    """The image as RGB, turned as its camera says and laid on a background where it is transparent; itself where there
    is nothing to do."""
    image = _turned(image) or image
    if image.mode.startswith(("I", "F")):
        image = _eight_bits(image)
    if image.mode == "La":
        image = image.convert("LA")
    if image.mode not in WITH_ALPHA and "transparency" not in image.info:
        return image if image.mode == "RGB" else image.convert("RGB")
    seen = image.convert("RGBA")
    canvas = Image.new("RGB", image.size, background)
    canvas.paste(seen, mask=seen.getchannel("A"))
    return canvas


def check_background(color: str) -> None:
    """`UserError` for a colour that there is not."""
    try:
        ImageColor.getrgb(color)
    except ValueError as error:
        message = f"background: '{color}' is no colour. Write one as white, black or '#808080'"
        raise UserError(message) from error


def too_large(begin: bytes) -> str | None:
    """Of the first 32 bytes of a PNG: why it cannot be read, if it holds more pixels than Pillow takes."""
    if Image.MAX_IMAGE_PIXELS is None or not begin.startswith(PNG) or len(begin) < 24:
        return None
    width, height = struct.unpack(">II", begin[16:24])
    if width * height <= 2 * Image.MAX_IMAGE_PIXELS:
        return None
    return f"{width:,} x {height:,} pixels are more than {2 * Image.MAX_IMAGE_PIXELS:,}. {ADVICE}"


def _opened(source: Source) -> AbstractContextManager[Image.Image]:
    try:
        return Image.open(source)
    except Image.DecompressionBombError as error:
        try:
            return _smaller_jpeg(source)
        except SyntaxError:  # it is none
            limit = f"{2 * (Image.MAX_IMAGE_PIXELS or 0):,}"
            raise Image.DecompressionBombError(f"it has more than {limit} pixels. {ADVICE}") from error


def _turned(image: Image.Image) -> Image.Image | None:
    """The image as its camera was held; None where it is so, or its camera says nothing that can be read."""
    image.load()  # before its pixels are there, some formats do not know
    try:
        upright = image.getexif().get(ExifTags.Base.Orientation, 1) == 1
        return None if upright else ImageOps.exif_transpose(image)
    except (SyntaxError, ValueError, struct.error):
        return None


def _count_clear_in_8_bits(image: Image.Image) -> None:
    """The one transparent colour of a PNG of 2, 4 or 16 bits a channel is told in these, its pixels have 8."""
    clear = image.info.get("transparency")
    raw = next((each.args for each in getattr(image, "tile", ())), None)
    if isinstance(clear, int) and raw in GREY_STEPS:
        image.info["transparency"] = clear * GREY_STEPS[raw]
    if isinstance(clear, tuple) and raw == RGB_OF_16_BITS:
        image.info["transparency"] = tuple(value >> 8 for value in clear)


def _smaller_jpeg(source: Source) -> Image.Image:
    """Half, a quarter or an eighth as wide and high: as large as can be."""
    if not isinstance(source, Path | str):
        source.seek(0)
    image = JpegImageFile(source)
    width, height = image.size
    scale = next((each for each in (2, 4) if width * height <= (Image.MAX_IMAGE_PIXELS or 0) * each**2), 8)
    image.draft(image.mode, (width // scale, height // scale))
    return image


def _eight_bits(image: Image.Image) -> Image.Image:
    """A grey image of more bits or of fractions as one of 8 bits; where one value is transparent, with alpha."""
    values = numpy.asarray(image)
    grey = Image.fromarray(numpy.rint(_levels(values)).astype(numpy.uint8))
    clear = image.info.get("transparency")
    if isinstance(clear, int):
        grey.putalpha(Image.fromarray(numpy.where(values == clear, 0, 255).astype(numpy.uint8)))
    return grey


def _levels(values: numpy.ndarray) -> numpy.ndarray:
    """From 0, black, to 255, white [H,W]."""
    finite = values[numpy.isfinite(values)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)
    whole = numpy.issubdtype(values.dtype, numpy.integer)
    white = OF_16_BITS if whole else 1
    known = numpy.nan_to_num(values.astype(numpy.float64), nan=low, posinf=high, neginf=low)
    if low >= 0 and high <= white:
        return known * 255 / white
    if low == high:
        return numpy.full_like(known, 128)
    return (known - low) * (255 / (high - low))
