"""A large image as a whole and in tiles, so that an encoder of small squares sees its details.

After the any-resolution images of LLaVA-NeXT (https://llava-vl.github.io/blog/2024-01-30-llava-next/, "Dynamic High
Resolution"): a grid of tiles is chosen by the image's shape, the image is fitted into it without changing its
proportions, black at the edges, and cut. Unlike there, all grids of up to so many tiles may be chosen, an image that
one square holds has no tiles, and neither is a token put at the ends of lines nor are those of the black edges taken
out.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

if TYPE_CHECKING:
    from PIL import Image

# The option of an encoder.
Tiles = Annotated[
    int, Field(ge=0, description="most tiles that a large image is cut into, beside the whole; 0: the whole alone")
]


def views_of(image: Image.Image, side: int, tiles: int) -> list[Image.Image]:
    """The image itself; with `tiles`, squares of `side` pixels: the whole image, squeezed, and behind it the tiles
    of its grid, line by line."""
    from PIL import Image

    if not tiles:
        return [image]
    columns, lines = best_grid(image.size, side, tiles)
    whole = image.resize((side, side), Image.Resampling.BICUBIC)
    if columns * lines == 1:
        return [whole]
    fitted = _fitted(image, columns * side, lines * side)
    corners = [(column * side, line * side) for line in range(lines) for column in range(columns)]
    return [whole, *(fitted.crop((left, top, left + side, top + side)) for left, top in corners)]


def best_grid(size: tuple[int, int], side: int, tiles: int) -> tuple[int, int]:
    """Of the grids of at most so many tiles, the columns and lines that show most pixels of an image of `size`, and of
    those the one that wastes least."""
    grids = [
        (columns, lines) for columns in range(1, tiles + 1) for lines in range(1, tiles + 1) if columns * lines <= tiles
    ]

    def shown(grid: tuple[int, int]) -> tuple[int, int]:
        columns, lines = grid
        width, height = size
        scale = min(columns * side / width, lines * side / height)
        pixels = min(int(width * scale) * int(height * scale), width * height)
        return pixels, pixels - columns * lines * side * side

    return max(grids, key=shown)


def _fitted(image: Image.Image, width: int, height: int) -> Image.Image:
    """As large as it fits, in the middle of black."""
    from PIL import Image

    scale = min(width / image.width, height / image.height)
    size = min(math.ceil(image.width * scale), width), min(math.ceil(image.height * scale), height)
    canvas = Image.new("RGB", (width, height))
    canvas.paste(image.convert("RGB").resize(size, Image.Resampling.BICUBIC), _middle(size, width, height))
    return canvas


def _middle(size: tuple[int, int], width: int, height: int) -> tuple[int, int]:
    return (width - size[0]) // 2, (height - size[1]) // 2
