"""Questions and annotations as VQA has them (https://visualqa.org/download.html): two files, joined by their ids."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from workbench.contracts.example import Example
from workbench.data.annotations import DataError, Entry, json_entries
from workbench.data.broken_entries import BrokenEntries, NamedEntries
from workbench.data.file_dataset import FileDataset
from workbench.data.image_files import ImageFiles

COCO_2014 = "COCO_{folder}_{image_id:0>12}.jpg"


def vqa_dataset(
    questions: Mapping[str, Path],
    annotations: Mapping[str, Path],
    images: ImageFiles,
    group: Callable[[Entry], str],
    most_broken: float,
) -> FileDataset:
    """A dataset of a pair of files for each split, each file a JSON object with a list `questions` or `annotations`.

    All answers of a question are kept, in their order. `group` says which group an annotation belongs to.
    """
    if set(questions) != set(annotations):
        raise DataError(f"questions has the splits {', '.join(questions)}, annotations {', '.join(annotations)}")

    broken = BrokenEntries(most_broken)

    def read(split: str, files: Sequence[Path]) -> Iterator[Example]:
        def example(_: int, pair: tuple[Entry, Entry]) -> Example:
            question, annotation = pair
            return Example(
                f"{split}/{question.name('question_id')}",
                images.key(split, (question, "image_id"), image_id=question.name("image_id")),
                question.text("question"),
                tuple(answer.answer("answer") for answer in annotation.entries("answers")),
                group(annotation),
            )

        return broken.without(split, "questions", joined(*files), example)

    files = {split: (questions[split], annotations[split]) for split in questions}
    return FileDataset({"questions": read}, files, images, most_broken=most_broken, broken=broken)


def joined(questions: Path, annotations: Path) -> Iterator[tuple[Entry, Entry]]:
    """Each question with its annotation. Where both files have the same order, as the official ones, one entry of each
    is held at a time. Of a question that is wrong, or has no annotation, an `EntryError` tells, behind which reading
    can go on."""
    others = NamedEntries(json_entries(annotations, "annotations"), "question_id")

    def with_annotation(question: Entry) -> tuple[Entry, Entry]:
        name = question.name("question_id")
        annotation = others.named(name)
        if annotation is None:
            message = f"{annotations.name} has no annotation with the question_id {name}{others.fault}"
            raise question.wrong(message)
        others.forget(name)
        return question, annotation

    return map(with_annotation, json_entries(questions, "questions"))
