"""POPE: is an object there or imagined? Yes/no questions in three strategies."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from workbench import Dataset, Example, FileDataset, ImageFiles, Share, hookimpl, json_lines

SPLIT = "test"


def pope(
    *,
    questions: dict[str, Path],
    images: Path,
    most_broken: Share = 0.0,
) -> Dataset:
    """POPE (Li et al. 2023, https://arxiv.org/abs/2305.10355): only the split `test`, one file for each strategy.

    `questions` names the strategies, which are the groups: {random: coco_pope_random.json, popular: ...,
    adversarial: ...}, each with a JSON object a line. `images` is val2014.
    """
    files = ImageFiles(images)

    def read(split: str, paths: Sequence[Path]) -> Iterator[Example]:
        for strategy, path in zip(questions, paths, strict=True):
            for entry in json_lines(path):
                label = entry.text("label").lower()
                if label not in ("yes", "no"):
                    raise entry.wrong(f"'label' should be yes or no, not '{label}'")
                key = files.key(split, image=entry.text("image"))
                yield Example(f"{strategy}/{entry.name('question_id')}", key, entry.text("text"), (label,), strategy)

    return FileDataset({"questions": read}, {SPLIT: tuple(questions.values())}, files, list(questions), most_broken)


@hookimpl
def register_datasets(register):
    """POPE."""
    register("pope", pope)
