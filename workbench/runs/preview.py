"""One example as the model will see it, before anything trains: its image, and every token with what it is for.

Only tokenizer and preprocessing are needed, so the model is built as a shape, without weights.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from PIL import Image
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from workbench.checkpoints.tokenizer import Tokenizer
from workbench.config.trial import Trial
from workbench.contracts.dataset import Dataset
from workbench.contracts.encoder import Encoder
from workbench.contracts.example import TEXT_ALONE, Example
from workbench.contracts.fusion import Fusion
from workbench.contracts.rgb_images import to_rgb
from workbench.data.collator import Batch
from workbench.data.image_loader import BLANK
from workbench.data.image_views import gather
from workbench.errors import UserError
from workbench.inference.seen_image import seen_image
from workbench.model.build import create
from workbench.runs.model_shapes import ModelShapes
from workbench.runs.trial_data import TrialData
from workbench.storage.splits import TRAIN

if TYPE_CHECKING:
    from workbench.registry import Registry

IMAGE, PROMPT, ANSWER = "image", "prompt", "answer"
STYLES = {IMAGE: "magenta", PROMPT: "default", ANSWER: "green"}


@dataclass(frozen=True)
class Token:
    """A token of the text: what it is for, and whether writing it is trained."""

    id: int
    text: str
    part: str
    loss: bool


@dataclass(frozen=True)
class Preview:
    """An example with its tokens, and what the encoder gets of its images (of these sizes), side by side.

    Each of so many `views` has `image_tokens`: they stand in the sequence where `in_sequence`; else the decoder's
    blocks look at them. `others` are further questions about the same images, which train in the same row.
    """

    example: Example
    task: str
    image: Image.Image
    original: list[tuple[int, int]]
    tokens: list[Token]
    views: int
    image_tokens: int
    in_sequence: bool
    others: int

    @property
    def length(self) -> int:
        """How many tokens the decoder reads for this example."""
        places = sum(token.part == IMAGE for token in self.tokens)
        text = len(self.tokens) - 1  # the last one is only written
        return text - places + self.image_tokens * max(places, self.views) if self.in_sequence else text


def preview(trial: Trial, registry: Registry, number: int = 1) -> Preview:
    """The `number`-th training example of the trial's last phase that trains answers; of its evaluation without one.
    `UserError` when there are fewer examples, `CompositionError` when the model does not fit together."""
    data = TrialData(registry)
    dataset = data.dataset(trial)
    example, task, others = _chosen(trial, dataset, number)
    model = ModelShapes(registry, data).of(trial)
    tokenizer = model.language_model.tokenizer
    encoder = _seeing(trial, model.encoder, registry)
    images = {key: to_rgb(dataset.image(key)) for key in example.images}
    shown = images or {TEXT_ALONE: BLANK}
    views, places = gather([example.row], lambda keys: [encoder.views(shown[key]) for key in keys])
    batch = model.collator(trial.prompt)(torch.empty(0), [[example]], places=places)
    return Preview(
        example=example,
        task=task,
        image=seen_image(encoder.views, *shown.values()),
        original=[image.size for image in images.values()],
        views=len(views) if images else 0,
        tokens=[token for row in range(len(batch.ids)) for token in tokens_of(batch, row, tokenizer)],
        image_tokens=model.connector.shape.tokens,
        in_sequence=type(model.fusion).fuse_inputs is not Fusion.fuse_inputs,
        others=others,
    )


def tokens_of(batch: Batch, row: int, tokenizer: Tokenizer) -> list[Token]:
    """The tokens of a row of a batch, the last of an answer included, which is written and never read."""
    ids, labels = batch.ids[row].tolist(), batch.labels[row].tolist()
    prompt, segments = batch.prompt[row].tolist(), batch.segments[row].tolist()
    found: list[Token] = []
    written = -100  # what the token before has to be followed by
    for place, number in enumerate(ids):
        if segments[place] < 0:
            break
        part = IMAGE if number == tokenizer.image else PROMPT if prompt[place] else ANSWER
        found.append(Token(number, _text(number, tokenizer), part, written == number))
        written = labels[place]
        follows = place + 1 < len(ids) and segments[place + 1] == segments[place] and ids[place + 1] == written
        if written >= 0 and not follows:
            found.append(Token(written, _text(written, tokenizer), ANSWER, True))
            written = -100
    return found


def show_preview(console: Console, shown: Preview, file: Path) -> None:
    """The tokens as a table, what they come to, and where the image was written."""
    example = shown.example
    console.print(
        f"example {example.id} of task {shown.task}, image {', '.join(example.images) or 'none: text alone'}",
        markup=False,
        highlight=False,
    )
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title, justify in (("place", "right"), ("id", "right"), ("token", "left"), ("part", "left"), ("loss", "left")):
        table.add_column(title, justify=justify, overflow="fold")  # pyright: ignore[reportArgumentType]
    for place, token in enumerate(shown.tokens):
        text = token.text
        if token.part == IMAGE and shown.in_sequence:
            text = f"{text} -> {shown.image_tokens} image tokens"
        style = STYLES[token.part]
        row = (str(place), str(token.id), escape(text), token.part, "yes" if token.loss else "")
        table.add_row(*row, style=style)
    console.print(table)
    for line in _sums(shown, file):
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def _sums(shown: Preview, file: Path) -> list[str]:
    trained = sum(token.loss for token in shown.tokens)
    where = "in the sequence" if shown.in_sequence else "beside it, for the decoder's blocks to look at"
    if shown.in_sequence and not any(token.part == IMAGE for token in shown.tokens):
        where = "in front of the text" if shown.views else "since it is text alone"
    count = shown.views * shown.image_tokens
    lines = [f"{shown.length} tokens are read; {count} image tokens {where}; {trained} tokens carry loss"]
    if not trained:
        lines.append("no token carries loss: nothing would be learned from this example")
    if shown.others:
        lines.append(f"{shown.others} more examples of this image train with it, none sees another")
    if not shown.views:
        return [*lines, f"wrote {file}: grey, since no image is shown"]
    sizes, (width, height) = [f"{width}x{height}" for width, height in shown.original], shown.image.size
    if shown.views == 1:
        lines.append(f"wrote {file}: the image, {sizes[0]}, as the encoder gets it, {width}x{height}")
    else:
        told = f"{shown.views} views of {width // shown.views}x{height}, side by side"
        lines.append(f"wrote {file}: the images, {', '.join(sizes)}, as the encoder gets them, {told}")
    return lines


def _chosen(trial: Trial, dataset: Dataset, number: int) -> tuple[Example, str, int]:
    """The example, its task, and how many others its image has."""
    phases = [phase for phase in trial.phases if phase.objective == "answers"]
    split, tasks = (TRAIN, phases[-1].tasks) if phases else (trial.evaluation.split, (trial.evaluation.task,))
    sequences = [(task, dataset.examples(split, task)) for task in tasks]
    place = number - 1
    for task, examples in sequences:
        if place < len(examples):
            example = examples[place]
            same = sum(each.row == example.row for _, others in sequences for each in others)
            return example, task, same - 1
        place -= len(examples)
    total = sum(len(examples) for _, examples in sequences)
    raise UserError(f"there is no example {number}: {', '.join(tasks)} of '{split}' have {total:,}")


def _seeing(trial: Trial, encoder: Encoder, registry: Registry) -> Encoder:
    """An encoder whose preprocessing works: that without weights, unless it needs numbers it keeps beside them."""
    try:
        works = not encoder.views(Image.new("RGB", (8, 8))).is_meta
    except (NotImplementedError, RuntimeError):  # what torch raises for numbers that are not there
        works = False
    return encoder if works else create(trial, "encoder", registry)


def _text(number: int, tokenizer: Tokenizer) -> str:
    """A token as it stands in the text: spaces and line breaks are shown."""
    text = tokenizer.raw.decode([number], skip_special_tokens=False)
    return repr(text)[1:-1] if text.strip() != text or "\n" in text else text
