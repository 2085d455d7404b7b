"""VQA v2: questions about COCO images with ten answers each."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field

from workbench import COCO_2014, Dataset, Entry, ImageFiles, hookimpl, vqa_dataset

from ._options import WHITE, Background, ImageName, Images, MostBroken, OutsidePaths


def vqav2(
    *,
    questions: Annotated[dict[str, Path], Field(description="official file of questions of each split")],
    annotations: Annotated[dict[str, Path], Field(description="official file of answers of each split")],
    images: Images,
    image: ImageName = COCO_2014,
    most_broken: MostBroken = 0.0,
    outside_paths: OutsidePaths = False,
    background: Background = WHITE,
) -> Dataset:
    """VQA v2 (Goyal et al. 2017, https://arxiv.org/abs/1612.00837), from its two official files a split.

    The ten answers stay for the metric, the most common one trains. Groups are the types of answer: yes/no, number,
    other. Its images are those of COCO, in train2014 and val2014.
    """
    files = ImageFiles(images, image, ["image_id"], outside=outside_paths, background=background)
    return vqa_dataset(questions, annotations, files, _type_of_answer, most_broken)


def _type_of_answer(annotation: Entry) -> str:
    return annotation.text("answer_type")


@hookimpl
def register_datasets(register):
    """VQA v2 from its own files."""
    register("vqav2", vqav2)
