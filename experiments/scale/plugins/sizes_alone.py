"""Parts and data of which there are sizes alone: enough to plan a study on a machine that has neither weights nor data.

They refuse to compute: nothing that looks like a result comes of them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import torch
from PIL import Image
from pydantic import BaseModel, Field, NonNegativeInt, PositiveInt
from workbench.plugins.encoders.clip import CLIP
from workbench.plugins.language_models.llama import Llama, Sizes

from workbench import Corpus, Dataset, Example, LanguageModel, Turn, UserError, hookimpl, tokenizer_for

WORD = "token"  # one token of the tokenizer that is trained on it, and so is each of several with a space before it


class PlannedLlama(Llama):
    """A Llama of the sizes in a `config.json`, without weights. The tokens of its texts are the words of the dataset
    `declared`; its embedding and its head have the rows of the config all the same."""

    def __init__(
        self,
        corpus: Corpus,
        *,
        config: Annotated[Path, Field(description="config.json of the checkpoint that the study will begin from")],
    ):
        LanguageModel.__init__(self)
        _refuse_to_compute("decoder")
        self.tokenizer = tokenizer_for(Corpus(lambda: [f"{WORD} {WORD}"] * 10), 512)  # millions of texts say no more
        self._start(Sizes.model_validate(json.loads(config.read_text(encoding="utf-8"))))

    @classmethod
    def files(cls, options: Mapping[str, Any]) -> Sequence[Path]:
        """The config stands for the weights: all of them will come from a checkpoint, none from a seed."""
        return [Path(options["config"])]


class PlannedCLIP(CLIP):
    """CLIP's vision tower of the sizes in a config, without weights; the tokens before its last block."""

    def __init__(
        self,
        *,
        config: Annotated[Path, Field(description="config.json of the checkpoint that the study will begin from")],
    ):
        _refuse_to_compute("encoder")
        told = json.loads(config.read_text(encoding="utf-8"))
        super().__init__(
            image_size=told["image_size"],
            patch_size=told["patch_size"],
            width=told["hidden_size"],
            depth=told["num_hidden_layers"],
            heads=told["num_attention_heads"],
        )

    @classmethod
    def files(cls, options: Mapping[str, Any]) -> Sequence[Path]:
        """The config stands for the weights."""
        return [Path(options["config"])]


class Amount(BaseModel, extra="forbid", frozen=True):
    """How much of a task a split has: examples with an image of their own and some without, each of so many turns of a
    question and an answer of so many tokens."""

    images: NonNegativeInt
    without_image: NonNegativeInt = 0
    turns: PositiveInt = 1
    question: PositiveInt
    answer: PositiveInt


class Declared(Dataset):
    """As many examples as the options say, all of a task alike, of images that nobody has."""

    def __init__(
        self,
        *,
        train: Annotated[dict[str, Amount], Field(description="by task: how much of it there is to train on")],
        test: Annotated[dict[str, Amount], Field(description="by task: how much of it there is to ask")],
    ):
        self.amounts = {"train": train, "test": test}
        self._examples: dict[tuple[str, str], list[Example]] = {}

    def tasks(self) -> Sequence[str]:
        """Those of any split."""
        return tuple(dict.fromkeys([*self.amounts["train"], *self.amounts["test"]]))

    def examples(self, split: str, task: str) -> Sequence[Example]:
        """All alike but for their images; none of a task that the split has nothing of."""
        if (split, task) not in self._examples:
            amount = self.amounts[split].get(task)
            self._examples[split, task] = [] if amount is None else _examples_of(f"{split}/{task}", amount)
        return self._examples[split, task]

    def image(self, key: str) -> Image.Image:
        """None of them is anywhere."""
        raise UserError("the dataset 'declared' has no images: it is there to plan with, not to run")

    def fingerprint(self) -> str:
        """The amounts."""
        return str(sorted((split, sorted(tasks.items())) for split, tasks in self.amounts.items()))


def _examples_of(name: str, amount: Amount) -> list[Example]:
    question, answer = (" ".join([WORD] * count) for count in (amount.question, amount.answer))
    history = (Turn(question, answer),) * (amount.turns - 1)
    keys = [f"{name}/{number}" for number in range(amount.images)] + [""] * amount.without_image
    return [Example(f"{name}/{n}", key, question, (answer,), history=history) for n, key in enumerate(keys)]


def _refuse_to_compute(part: str) -> None:
    if torch.get_default_device().type != "meta":
        raise UserError(f"this {part} has sizes and no weights: it is there to plan with. Name a checkpoint to run it")


@hookimpl
def register_language_models(register):
    """A Llama of which there is a config alone."""
    register("planned_llama", PlannedLlama)


@hookimpl
def register_encoders(register):
    """A CLIP tower of which there is a config alone."""
    register("planned_clip", PlannedCLIP)


@hookimpl
def register_datasets(register):
    """Data of which there are amounts alone."""
    register("declared", Declared)
