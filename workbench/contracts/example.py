"""What is asked of a model, and what it answered."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from workbench.errors import RENAMED, RenamedError
from workbench.renamed import told

TEXT_ALONE = "text alone: "  # in the place of an image's key


@dataclass(frozen=True)
class Turn:
    """A question that was asked earlier in a conversation, and its answer."""

    question: str
    answer: str


def is_image(key: str) -> bool:
    """Whether a key of a row is that of an image, and not what stands for an example of text alone."""
    return not key.startswith(TEXT_ALONE)


@dataclass(frozen=True)
class Example:
    """One question about one image, or about several. `image` is a key that `Dataset.image` opens, or empty: then the
    question is about no image, and text alone.

    `answers` are what several people said, or alternatives. `history` are the earlier turns of a conversation: each of
    their answers trains as well; in an evaluation they are given, and the last question is asked. `more` are the
    images behind the first one. They stand where the prompt has `<image>`; or, of an `interleaved` example, where its
    questions have it, each image at a place of its own. Elsewhere `<image>` is text, as any special token is that
    somebody wrote.
    """

    id: str
    image: str
    question: str
    answers: tuple[str, ...]
    group: str = ""
    history: tuple[Turn, ...] = ()
    more: tuple[str, ...] = ()
    interleaved: bool = False

    def __new__(cls, *_: Any, **given: Any) -> Example:
        """`RenamedError` for a keyword of an earlier version."""
        if not RENAMED.keys().isdisjoint(given):  # quick: there are hundreds of thousands of examples
            raise RenamedError(told("Example", next(name for name in RENAMED if name in given), RENAMED))
        return object.__new__(cls)

    def __getattr__(self, name: str) -> Any:
        """`RenamedError` for what an earlier version had; asked only for what there is not."""
        if name in RENAMED:
            raise RenamedError(told("Example", name, RENAMED))
        raise AttributeError(f"'Example' object has no attribute '{name}'")

    @property
    def images(self) -> tuple[str, ...]:
        """The keys of all its images, in their order; none of text alone."""
        return (self.image, *self.more) if self.image else ()

    @property
    def row(self) -> tuple[str, ...]:
        """What the examples of a row have in common: the keys of their images. Text alone has a row of its own, which
        is called by the example's id and is no image, see `is_image`."""
        return self.images or (TEXT_ALONE + self.id.replace("/", ":"),)

    @property
    def answer(self) -> str:
        """The answer that is trained: the most common one, of equally common ones the first."""
        if len(self.answers) == 1:
            return self.answers[0]
        return max(self.answers, key=self.answers.count)


@dataclass(frozen=True)
class Prediction:
    """What a model answered. `loss` is the mean negative log-likelihood of the right answer, in nats a token.

    It is NaN where no model was asked (the control `prior`): a metric whose score is then NaN has none there.
    `log_probability` is that of the given answer, all of its tokens and its end, in nats; NaN where nobody knows it.
    `tokens` were written for it, its end included; 0 where nobody counted them.
    """

    example: Example
    answer: str
    loss: float
    log_probability: float = math.nan
    tokens: int = 0
