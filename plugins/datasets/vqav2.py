"""VQA v2: questions about COCO images with ten answers each."""

from __future__ import annotations

from pathlib import Path

from workbench import COCO_2014, Dataset, Entry, ImageFiles, Share, hookimpl, vqa_dataset


def vqav2(
    *,
    questions: dict[str, Path],
    annotations: dict[str, Path],
    images: Path | dict[str, Path],
    image: str = COCO_2014,
    most_broken: Share = 0.0,
) -> Dataset:
    """VQA v2 (Goyal et al. 2017, https://arxiv.org/abs/1612.00837), from its two official files a split.

    The ten answers stay for the metric, the most common one trains. Groups are the types of answer: yes/no, number,
    other. `images` are folders such as train2014 by split; `image` says how files are called there.
    """
    files = ImageFiles(images, image, ["image_id"])
    return vqa_dataset(questions, annotations, files, _type_of_answer, most_broken)


def _type_of_answer(annotation: Entry) -> str:
    return annotation.text("answer_type")


@hookimpl
def register_datasets(register):
    """VQA v2."""
    register("vqav2", vqav2)
