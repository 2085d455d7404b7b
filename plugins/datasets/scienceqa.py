"""ScienceQA: school questions with choices, about diagrams and photographs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated

from pydantic import Field

from workbench import (
    LETTERS,
    BrokenEntries,
    Dataset,
    Entry,
    Example,
    FileDataset,
    ImageFiles,
    UserError,
    hookimpl,
    json_members,
    json_values,
    multiple_choice,
)

from ._options import WHITE, Background, MostBroken, OutsidePaths


def scienceqa(
    *,
    problems: Annotated[Path, Field(description="problems.json: every problem with its answer")],
    pid_splits: Annotated[Path, Field(description="pid_splits.json: the numbers of each split's problems")],
    images: Annotated[Path, Field(description="folder that holds train/1/image.png and so on")],
    hint: Annotated[bool, Field(description="put a problem's hint before its question")] = True,
    most_broken: MostBroken = 0.0,
    outside_paths: OutsidePaths = False,
    background: Background = WHITE,
) -> Dataset:
    """ScienceQA (Lu et al. 2022, https://arxiv.org/abs/2209.09513), from problems.json and pid_splits.json.

    Asked is the letter of the right choice. Problems without an image are passed over. Groups are the subjects.
    """
    files = ImageFiles(images, outside=outside_paths, background=background)
    splits = {name: _numbers(pid_splits, name, value) for name, value in json_values(pid_splits)}

    broken = BrokenEntries(most_broken)

    def read(split: str, paths: Sequence[Path]) -> Iterator[Example]:
        def is_asked(problem: tuple[str, Entry]) -> bool:
            return problem[0] in splits[split] and problem[1].value.get("image") is not None

        def example(_: int, problem: tuple[str, Entry]) -> Example:
            number, entry = problem
            key = files.key(split, (entry, "image"), image=f"{entry.text('split')}/{number}/{entry.text('image')}")
            return Example(f"{split}/{number}", key, _question(entry, hint), (_answer(entry),), entry.text("subject"))

        return broken.without(split, "questions", filter(is_asked, json_members(paths[0])), example)

    by_split = {split: (problems, pid_splits) for split in splits}
    return FileDataset({"questions": read}, by_split, files, hint, most_broken, broken=broken)


def _numbers(file: Path, name: str, value: object) -> frozenset[str]:
    if not isinstance(value, list):
        raise UserError(f"{file}: '{name}' should be a list of the numbers of problems. Is it pid_splits.json?")
    return frozenset(map(str, value))


def _question(entry: Entry, hint: bool) -> str:
    given = entry.value.get("hint") if hint else None
    context = f"{given.strip()}\n" if isinstance(given, str) and given.strip() else ""
    return context + multiple_choice(entry.text("question"), entry.answers("choices"))


def _answer(entry: Entry) -> str:
    right, count = entry.number("answer"), len(entry.answers("choices"))
    if not 0 <= right < count:
        raise entry.wrong(f"'answer' is {right}, and there are {count} choices")
    return LETTERS[right]


@hookimpl
def register_datasets(register):
    """ScienceQA from its own files."""
    register("scienceqa", scienceqa)
