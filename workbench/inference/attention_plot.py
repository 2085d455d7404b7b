"""Draws where a model looked: the image as the model saw it, and for each word of the answer a map over it."""

from __future__ import annotations

import math
from pathlib import Path

import numpy
from matplotlib.figure import Figure
from PIL import Image

from workbench.inference.attention_maps import WordMaps
from workbench.reports.plot_style import INK, MUTED, new_figure, plain_style

COLUMNS, PANEL = 5, 1.9  # panels in a line, and their side in inches
WIDTH, LINES = 44, 2  # letters of the question in a line, and how many lines are shown
MAP, STRENGTH = "turbo", 0.55  # over the image in its own colours, so that what is looked at can be seen


def draw_maps(image: Image.Image, question: str, maps: WordMaps) -> Figure:
    """The question with the image (or several, side by side), then a panel a word. Each map has a scale of its own:
    its darkest to its brightest patch; the share says how much of the word's attention is on the image at all."""
    count = len(maps.words) + 1
    shape = image.width / image.height
    columns = max(1, min(count, round(COLUMNS / shape)))
    lines = math.ceil(count / columns)
    side = max(image.size)
    large = max(1, round(300 / side))
    image = image.resize((image.width * large, image.height * large), Image.Resampling.BICUBIC)
    with plain_style():
        figure = new_figure(max(columns * shape, 3) * PANEL, lines * (PANEL + 0.35) + 0.4)
        figure.suptitle(f"{_short(question)}\n→ {_short(maps.answer)}", fontsize=9, color=INK)
        panels = numpy.atleast_1d(figure.subplots(lines, columns, squeeze=False)).flatten()
        for panel in panels:
            panel.set_axis_off()
        panels[0].imshow(image)
        panels[0].set_title("as the model sees it", fontsize=8, color=MUTED)
        everywhere = bool((maps.shares > 0.999).all())
        for panel, word, weights, share in zip(panels[1:], maps.words, maps.maps, maps.shares, strict=False):
            panel.imshow(overlay(image, weights.numpy()))
            told = "" if everywhere else f"  ({100 * float(share):.0f} % on the image)"
            panel.set_title(f"{word}{told}", fontsize=8 if told else 9, color=INK)
    return figure


def overlay(image: Image.Image, weights: numpy.ndarray) -> Image.Image:
    """A map [G,PG] over the image, as one image."""
    from matplotlib import colormaps

    values = enlarged(weights, image.size)
    low, high = values.min(), values.max()
    colors = colormaps[MAP]((values - low) / max(high - low, 1e-12))[..., :3]  # [H,W,3]
    heat = Image.fromarray((255 * colors).astype(numpy.uint8))
    return Image.blend(image, heat, STRENGTH)


def save_maps(figure: Figure, file: Path) -> None:
    """As PNG, or in the format that the file's name asks for."""
    with plain_style():
        figure.savefig(file, dpi=150)


def enlarged(weights: numpy.ndarray, size: tuple[int, int]) -> numpy.ndarray:
    """weights [G,PG] at the size of the image; patches run into each other, as their edges mean nothing."""
    small = Image.fromarray(weights.astype(numpy.float32), mode="F")
    return numpy.asarray(small.resize(size, Image.Resampling.BILINEAR))


def _short(text: str) -> str:
    text = " ".join(text.split())
    most = WIDTH * LINES
    text = text if len(text) <= most else text[: most - 1] + "…"
    return text if len(text) <= WIDTH else f"{text[:WIDTH]}{text[WIDTH:].replace(' ', chr(10), 1)}"
