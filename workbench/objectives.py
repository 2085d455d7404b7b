"""What a phase makes smaller: the loss of the answers' next tokens, or the contrast of pictures and captions."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from workbench.batches import Batch, Collator
from workbench.contracts import Dataset, Example
from workbench.contrastive import Contrastive
from workbench.features import Features, encode
from workbench.model import VisionLanguageModel
from workbench.pictures import Pictures


@dataclass
class TrainingData:
    """A split of a dataset, ready for training: its pictures and how to make batches of their questions."""

    dataset: Dataset
    pictures: Pictures
    collate: Collator
    features: Features | None = None  # the frozen encoder's tokens of all pictures, where they are kept


@dataclass(frozen=True)
class Piece:
    """A batch or a piece of one, on the device. A mean over several pieces weighs each by its `weight`.

    seen [P,3,H,W] pictures or, of a frozen encoder, [P,N,Dv] tokens; `text` is a batch of questions, or captions.
    """

    seen: Tensor
    text: Any
    weight: int


class Answers:
    """Next-token loss on the answers; all questions of a picture share one pass of the encoder."""

    extra: tuple[nn.Parameter, ...] = ()

    def __init__(self, model: VisionLanguageModel, data: TrainingData, device: torch.device, precision: str):
        self.module = model
        self.data = data
        self.device = device
        # An adapter may train weights inside the encoder though the phase does not name it.
        self.encoder_trains = any(parameter.requires_grad for parameter in model.encoder.parameters())
        self.frozen = not self.encoder_trains and not data.dataset.augments
        self.tokens = FrozenTokens(model, data, device, precision)
        self.hot: Callable[..., Tensor] = self.mean

    def train(self) -> None:
        """Into training mode, but for a frozen encoder: dropout would only blur what it sees."""
        self.module.train()
        if not self.encoder_trains:
            self.module.encoder.eval()

    def prepare(self, keys: Sequence[str], questions: list[list[Example]], chance: random.Random | None) -> Piece:
        """These pictures with these questions; augmented by `chance`, if any is given."""
        if self.frozen:
            images, seen = torch.empty(0), self.tokens.of(keys)
        else:
            images = _images(self.data.pictures, keys, chance).to(self.device)
            seen = images
        batch = self.data.collate(images, questions)
        weight = int((batch.labels >= 0).sum())  # before it goes to the device, which would have to be waited for
        return Piece(seen, batch.to(self.device), weight)

    def loss(self, piece: Piece) -> Tensor:
        """The mean over the piece's answer tokens."""
        return self.hot(piece.seen, piece.text)

    def mean(self, seen: Tensor, batch: Batch) -> Tensor:
        """The hot part, which can be compiled."""
        tokens = seen if self.frozen else self.module.encoder(seen)
        return self.module.token_losses(self.module.see_tokens(tokens), batch).mean()


class Contrast:
    """Image-text contrast of the encoder with the pictures' captions, one a picture."""

    def __init__(
        self, model: VisionLanguageModel, data: TrainingData, grouped: Mapping[str, list[Example]], device: torch.device
    ):
        captions = [example.answer for examples in grouped.values() for example in examples]
        self.module = Contrastive(model.encoder, captions).to(device)
        encoder = {id(parameter) for parameter in model.encoder.parameters()}
        self.extra = tuple(each for each in self.module.parameters() if id(each) not in encoder)
        self.data = data
        self.device = device
        self.tokens = FrozenTokens(model, data, device, "fp32")  # none: the encoder trains
        self.hot: Callable[..., Tensor] = self.mean

    def train(self) -> None:
        """Into training mode."""
        self.module.train()

    def prepare(self, keys: Sequence[str], questions: list[list[Example]], chance: random.Random | None) -> Piece:
        """These pictures with a caption each: one at random, or the first when no `chance` is given."""
        images = _images(self.data.pictures, keys, chance).to(self.device)
        chosen = [chance.choice(examples) if chance else examples[0] for examples in questions]
        return Piece(images, [example.answer for example in chosen], len(keys))

    def loss(self, piece: Piece) -> Tensor:
        """The contrast within the piece."""
        return self.hot(piece.seen, piece.text)

    def mean(self, images: Tensor, captions: Sequence[str]) -> Tensor:
        """The hot part, which can be compiled."""
        return self.module(images, captions)


Objective = Answers | Contrast


class FrozenTokens:
    """The tokens of an encoder that learns nothing and always sees the same pictures: computed once a picture.

    The last bits of a product may depend on how many rows it has. So it is kept which pictures were encoded together,
    and after a resume they are encoded together again.
    """

    def __init__(self, model: VisionLanguageModel, data: TrainingData, device: torch.device, precision: str):
        self.model = model
        self.data = data
        self.device = device
        self.precision = precision
        self._tokens: dict[str, Tensor] = {}
        self._together: dict[str, list[str]] = {}

    def of(self, keys: Sequence[str]) -> Tensor:
        """The tokens of these pictures [P,N,Dv]."""
        if self.data.features is not None:
            return self.data.features.tokens(keys, self.device)
        new = list(dict.fromkeys(key for key in keys if key not in self._together))
        self._together |= dict.fromkeys(new, new)
        for key in keys:
            if key not in self._tokens:
                self._encode(self._together[key])
        return torch.stack([self._tokens[key] for key in keys])

    def state(self) -> list[list[str]]:
        """The pictures that were encoded together."""
        return list({id(group): group for group in self._together.values()}.values())

    def restore(self, groups: list[list[str]]) -> None:
        """Encode those together when they are asked for."""
        self._together = {key: group for group in groups for key in group}

    def _encode(self, keys: list[str]) -> None:
        tokens = encode(self.model.encoder, self.data.pictures.plain(keys).to(self.device), self.precision)
        self._tokens.update(zip(keys, tokens, strict=True))


def pieces(size: int, count: int) -> Iterator[slice]:
    """Where to cut a batch of that size into `count` pieces of nearly the same size."""
    edges = [round(place * size / count) for place in range(count + 1)]
    yield from (slice(*pair) for pair in zip(edges, edges[1:], strict=False))


def _images(pictures: Pictures, keys: Sequence[str], chance: random.Random | None) -> Tensor:
    return pictures.augmented(keys, chance) if chance else pictures.plain(keys)
