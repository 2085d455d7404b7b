"""POPE: is an object there or imagined? Yes/no questions in three strategies."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain, repeat
from pathlib import Path
from typing import Annotated

from pydantic import Field

from workbench import BrokenEntries, Dataset, Entry, Example, FileDataset, ImageFiles, hookimpl, json_lines

from ._options import WHITE, Background, MostBroken, OutsidePaths

SPLIT = "test"


def pope(
    *,
    questions: Annotated[
        dict[str, Path], Field(description="file of each strategy, as {random: coco_pope_random.json, popular: ...}")
    ],
    images: Annotated[Path, Field(description="folder of the images, val2014")],
    most_broken: MostBroken = 0.0,
    outside_paths: OutsidePaths = False,
    background: Background = WHITE,
) -> Dataset:
    """POPE (Li et al. 2023, https://arxiv.org/abs/2305.10355): only the split `test`, one file for each strategy.

    The strategies, random, popular and adversarial, are the groups; each file has a JSON object a line.
    """
    files = ImageFiles(images, outside=outside_paths, background=background)

    broken = BrokenEntries(most_broken)

    def read(split: str, paths: Sequence[Path]) -> Iterator[Example]:
        def example(_: int, asked: tuple[str, Entry]) -> Example:
            strategy, entry = asked
            label = entry.answer("label").lower()
            if label not in ("yes", "no"):
                raise entry.wrong(f"'label' should be yes or no, not '{label}'")
            key = files.key(split, (entry, "image"), image=entry.text("image"))
            return Example(f"{strategy}/{entry.name('question_id')}", key, entry.text("text"), (label,), strategy)

        each = (zip(repeat(strategy), json_lines(path)) for strategy, path in zip(questions, paths, strict=True))
        return broken.without(split, "questions", chain.from_iterable(each), example)

    of_split = {SPLIT: tuple(questions.values())}
    return FileDataset({"questions": read}, of_split, files, list(questions), most_broken, broken=broken)


@hookimpl
def register_datasets(register):
    """Questions of POPE, whether an object is in an image."""
    register("pope", pope)
