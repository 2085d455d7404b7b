"""The command that makes data: `workbench make-vqa`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from workbench.cli.streams import console
from workbench.errors import UserError


def make_vqa(
    files: Annotated[
        list[Path],
        typer.Argument(metavar="COCO_ANNOTATIONS... OUT", help="instances or captions, or both; then *.jsonl"),
    ],
    seed: Annotated[int, typer.Option(help="another choice of questions")] = 0,
    most: Annotated[int, typer.Option(min=1, help="questions of each kind about an image")] = 3,
) -> None:
    """Make questions and answers of COCO annotations: is there, how many, what color."""
    from workbench.cli.make_vqa import make_vqa as make

    if len(files) < 2:
        raise UserError("give COCO annotations and the file to write: instances_train2017.json train.jsonl")
    *annotations, out = files
    counts = make(annotations, out, seed, most)
    told = ", ".join(f"{count:,} {group}" for group, count in counts.items())
    console().print(f"wrote {counts.total():,} questions to {out}: {told}", highlight=False, soft_wrap=True)
