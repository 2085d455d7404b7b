"""OK-VQA: questions about COCO images that need knowledge from elsewhere."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Annotated

from pydantic import Field

from workbench import COCO_2014, Dataset, Entry, ImageFiles, hookimpl, json_values, vqa_dataset

from ._options import WHITE, Background, ImageName, Images, MostBroken, OutsidePaths


def okvqa(
    *,
    questions: Annotated[dict[str, Path], Field(description="official file of questions of each split")],
    annotations: Annotated[dict[str, Path], Field(description="official file of answers of each split")],
    images: Images,
    image: ImageName = COCO_2014,
    most_broken: MostBroken = 0.0,
    outside_paths: OutsidePaths = False,
    background: Background = WHITE,
) -> Dataset:
    """OK-VQA (Marino et al. 2019, https://arxiv.org/abs/1906.00067), from its two official files a split.

    The ten answers (five people, each twice) stay for the metric, the most common one trains. Groups are the ten fields
    of knowledge, by name.
    """
    files = ImageFiles(images, image, ["image_id"], outside=outside_paths, background=background)
    return vqa_dataset(questions, annotations, files, _field, most_broken)


def _field(annotation: Entry) -> str:
    kind = annotation.text("question_type")
    return _fields(annotation.file).get(kind, kind)


@cache
def _fields(file: Path) -> dict[str, str]:
    """The names of the fields, which the file gives once: `{"one": "Vehicles and Transportation", ...}`."""
    return next((dict(value) for name, value in json_values(file) if name == "question_types"), {})


@hookimpl
def register_datasets(register):
    """OK-VQA from its own files."""
    register("okvqa", okvqa)
