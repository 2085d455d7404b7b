"""Frames of a video as several images: a folder of them, a pattern of file names, or a file that holds many (GIF,
TIFF, WebP). Other videos are taken apart before, as by `ffmpeg -i clip.mp4 clip/%05d.jpg`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from PIL import Image

from workbench.data.annotations import DataError

PATTERN = re.compile(r"[*?\[]")
UNREADABLE = (OSError, EOFError, SyntaxError, ValueError, Image.DecompressionBombError)


def frames_of(place: Path, count: int) -> list[Path]:
    """`count` frames of a folder, a pattern or a file, evenly spaced; those within a file as `clip.gif/12`. An image
    is its own frame. `DataError` for a folder or pattern in which there are none."""
    if place.is_dir():
        frames = _in_order(place.iterdir())
    elif PATTERN.search(place.name) and not place.exists():
        frames = _in_order(place.parent.glob(place.name))
    else:
        total = _frames_in(place)
        frames = [place / str(number) for number in range(total)] if total > 1 else [place]
    if not frames:
        raise DataError(f"there are no frames in {place}: no file there has the ending of an image")
    return evenly(frames, count)


def evenly(frames: Sequence[Path], count: int) -> list[Path]:
    """The middle ones of `count` equal stretches, as Wang et al. 2016 (https://arxiv.org/abs/1608.00859, section 3.1)
    cut a video; all frames where there are no more."""
    if len(frames) <= count:
        return list(frames)
    return [frames[(2 * place + 1) * len(frames) // (2 * count)] for place in range(count)]


def frame_in(place: Path) -> tuple[Path, int]:
    """The file and the number of a frame that `frames_of` named; 0 for an image."""
    if place.name.isdecimal() and place.parent.is_file():
        return place.parent, int(place.name)
    return place, 0


def _in_order(files: Iterable[Path]) -> list[Path]:
    """Images in the order of the numbers in their names: frame 2 before frame 10."""
    endings = Image.registered_extensions()
    return sorted((each for each in files if each.suffix.lower() in endings), key=_numbers)


def _numbers(file: Path) -> list[tuple[int, str]]:
    parts = re.split(r"(\d+)", file.name)
    return [(int(part) if part.isdecimal() else 0, part) for part in parts]


def _frames_in(file: Path) -> int:
    """How many a file holds. What cannot be read is told when images are looked at."""
    try:
        with Image.open(file) as image:
            return getattr(image, "n_frames", 1)
    except UNREADABLE:
        return 1
