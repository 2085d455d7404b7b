"""Whether a decoder has a position for every token that a trial gives it: prompts, image tokens, answers.

Positions that were learned end somewhere: behind them an embedding has no row. All examples are looked at, but few are
encoded: no text has more tokens than bytes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, islice

import torch

from workbench.config.trial import Trial
from workbench.contracts.dataset import Dataset
from workbench.contracts.example import Example
from workbench.contracts.fusion import Fusion
from workbench.data.collator import Collator
from workbench.evaluation.evaluate import examples_by_image
from workbench.model.build import CompositionError
from workbench.model.vision_language_model import VisionLanguageModel
from workbench.training.training_set import training_examples

TOGETHER = 256  # examples that are encoded at once
PER_TURN = 8  # tokens that a turn may have beyond the bytes of its texts


@dataclass(frozen=True)
class Length:
    """How many tokens an example has, and how many of them are its images'; by its id."""

    example: str
    tokens: int
    images: int


def check_context(trial: Trial, model: VisionLanguageModel, dataset: Dataset, collate: Collator) -> None:
    """Everything fits into the decoder's context; `CompositionError` gives the numbers where something does not.

    Where the encoder makes tiles, every image is taken to have as many as one may have.
    """
    context = model.language_model.context
    if context is None:
        return
    asked = list(chain.from_iterable(examples_by_image(dataset, trial.evaluation).values()))
    phases = [phase for phase in trial.phases if phase.objective == "answers"]
    trained = {phase.tasks: _training(dataset, phase.tasks) for phase in phases}
    validated = [trained[phase.tasks] for phase in phases if phase.validate_with]
    most = trial.evaluation.max_new_tokens
    read = _longest(chain(asked, *trained.values()), model, collate, context)
    if read and read.tokens > context:
        raise CompositionError(_too_long(trial, context, read))
    # The last token of an answer is read by nobody: one more than there are positions can be written.
    prompt = _longest(chain(asked, *validated), model, collate, context - most + 1, answered=False)
    if prompt and prompt.tokens + most - 1 > context:
        raise CompositionError(_too_long(trial, context, prompt, most))


def _too_long(trial: Trial, context: int, length: Length, most: int = 0) -> str:
    """What does not fit: a question with its answer, or a prompt before an answer of `most` tokens."""
    name, fusion = (trial.components[kind].name for kind in ("language_model", "fusion"))
    told = f"the language model '{name}' reads {context} tokens at most; "
    told += "the prompt of a question has" if most else "a question with its answer has"
    told += f" {length.tokens - length.images} (example '{length.example}')"
    advice = "Take a shorter prompt or shorter examples"
    if length.images:
        told += f", and '{fusion}' puts {length.images} image tokens between them"
        advice = (
            "Take an encoder or a connector that gives fewer, a fusion that leaves the sequence as it is, fewer images"
            " or tiles, or a shorter prompt"
        )
    if most:
        told += f"; evaluation.max_new_tokens asks for {most} more"
        if length.tokens <= context:
            advice = f"Write max_new_tokens: {context - length.tokens + 1} or less. {advice}"
    return f"{told}. {advice}"


def _training(dataset: Dataset, tasks: tuple[str, ...]) -> list[Example]:
    return list(chain.from_iterable(training_examples(dataset, tasks).values()))


def _longest(
    examples: Iterable[Example], model: VisionLanguageModel, collate: Collator, most: int, answered: bool = True
) -> Length | None:
    """The longest example of those that may have more than `most` tokens, with its answer or without; None where
    none may."""
    decoder, inside = model.language_model, type(model.fusion).fuse_inputs is not Fusion.fuse_inputs
    of_image = model.connector.shape.tokens * (1 + model.encoder.tiles) if inside else 0
    template = len((collate.first + collate.later).encode()) + PER_TURN
    doubtful = (each for each in examples if _bound(each, template) + len(each.images) * of_image > most)
    found: Length | None = None
    while some := list(islice(doubtful, TOGETHER)):
        for example, tokens, places in _encoded(some, collate, decoder.tokenizer.image, answered):
            images = len(example.images) * of_image
            whole = tokens + images - (places if inside else 0)
            if found is None or whole > found.tokens:
                found = Length(example.id, whole, images)
    return found


def _bound(example: Example, template: int) -> int:
    """More tokens than the texts of an example can have."""
    texts = [example.question, example.answers[0]]
    texts += [text for turn in example.history for text in (turn.question, turn.answer)]
    return sum(len(text.encode(errors="replace")) for text in texts) + template * (1 + len(example.history))


def _encoded(
    examples: list[Example], collate: Collator, image: int, answered: bool
) -> Iterator[tuple[Example, int, int]]:
    """Each row's example, its text tokens, and the places `<image>` among them."""
    with torch.device("cpu"):
        batch = collate(torch.empty(0), [[example] for example in examples], answered)
        tokens, places = (batch.positions.amax(1) + 1).tolist(), (batch.ids == image).sum(1).tolist()
        owners = range(len(examples)) if batch.image_set is None else batch.image_set.tolist()
    for owner, *numbers in zip(owners, tokens, places, strict=True):
        yield examples[owner], *numbers
