"""The questions that a model with a plugin under test is asked, and how prompts are written for it."""

from __future__ import annotations

from dataclasses import replace

from workbench.checkpoints.tokenizer import Corpus
from workbench.contracts.example import Example

PROMPTS = ("<image>{question}\n", "{question}\n", "look: <image> {question}\n")
QUESTIONS = (
    (
        Example("0/0", "0", "what is there?", ("a small red circle in the middle",), "what"),
        Example("0/1", "0", "is there a blue shape in this image?", ("no, there is not a blue one",), "yes/no"),
    ),
    (
        Example("1/0", "1", "which color does it have?", ("blue and green and teal",), "color"),
        Example("1/1", "1", "where?", ("on the left side of the image",), "where"),
    ),
)
SEVERAL = (  # the same about different numbers of images
    tuple(replace(each, more=("2", "3")) for each in QUESTIONS[0]),
    QUESTIONS[1],
)


def corpus() -> Corpus:
    """The text of the reference questions."""
    return Corpus(lambda: [text for row in QUESTIONS for each in row for text in (each.question, *each.answers)])
