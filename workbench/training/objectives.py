"""What a phase makes smaller: the loss of the answers' next tokens, or the contrast of images and captions."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from workbench.config.phase import Phase
from workbench.contracts.dataset import Dataset
from workbench.contracts.example import Example
from workbench.data.collator import Batch, Collator
from workbench.data.image_loader import ImageLoader
from workbench.data.image_views import Keys, Places, gather, loaded
from workbench.devices.device import sent
from workbench.model.image_features import Features, FrozenTokens, needed_by_phase, passes_of
from workbench.model.vision_language_model import VisionLanguageModel
from workbench.training.contrastive import Contrastive

Draws = Callable[[str], random.Random]  # of an image, by its key: what its augmentation draws from


@dataclass
class TrainingData:
    """A split of a dataset, ready for training: its images and how to make batches of their questions."""

    dataset: Dataset
    images: ImageLoader
    collate: Collator
    features: Features | None = None  # the frozen encoder's tokens of all images, where they are kept


@dataclass(frozen=True)
class MicroBatch:
    """The part of a batch that is worked through at once, on the device; gradients add up over the others.

    The mean over a batch weighs each by its `weight`. `tokens` are those of text and images that the decoder reads.

    seen [P,3,H,W] views of images or, of a frozen encoder, their [P,N,Dv] tokens; `text` is a batch of questions, or
    captions.
    """

    seen: Tensor
    text: Any
    weight: int
    tokens: int = 0


class Answers:
    """Next-token loss on the answers; all questions of an image share one pass of the encoder."""

    extra: tuple[nn.Parameter, ...] = ()

    def __init__(self, model: VisionLanguageModel, data: TrainingData, device: torch.device, phase: Phase):
        self.module = model
        self.data = data
        self.device = device
        # An adapter may train weights inside the encoder though the phase does not name it.
        self.encoder_trains = any(parameter.requires_grad for parameter in model.encoder.parameters())
        self.frozen = not self.encoder_trains and not data.dataset.augments
        order = needed_by_phase(phase).images(data.dataset) if self.frozen else ()
        some = bool(order) and passes_of(phase, len(order)) < 1
        self.tokens = FrozenTokens(model.encoder, data.images, phase.precision, device, data.features, order, some)
        self.hot: Callable[..., Tensor] = self.mean  # or that compiled

    def train(self) -> None:
        """Into training mode, but for a frozen encoder: dropout would only blur what it sees."""
        self.module.train()
        if not self.encoder_trains:
            self.module.encoder.eval()

    def prepare(
        self,
        sets: Sequence[Keys],
        questions: list[list[Example]],
        generator: random.Random | None,
        draws: Draws | None = None,
    ) -> MicroBatch:
        """These images with these questions; augmented with what the generator draws, if one is given, or for each
        image its `draws`."""
        load = self.tokens.of if self.frozen else lambda keys: _images(self.data.images, keys, generator, draws)
        seen, places = gather(sets, load)
        seen = sent(seen, self.device)
        batch = self.data.collate(torch.empty(0) if self.frozen else seen, questions, places=places)
        weight = int((batch.labels >= 0).sum())  # before it goes to the device, which would have to be waited for
        return MicroBatch(seen, batch.to(self.device), weight, self._tokens_read(batch, places))

    def pass_by(self, sets: Sequence[Keys]) -> None:
        """Another rank works through these images."""
        if self.frozen:
            self.tokens.note(loaded(sets))

    def _tokens_read(self, batch: Batch, places: Sequence[Places]) -> int:
        """The text tokens of all rows, padding and `<image>` apart, and for each row the tokens of the views it looks
        at, whether they stand in the sequence or beside it."""
        text = (batch.segments >= 0) & (batch.ids != self.data.collate.tokenizer.image)
        views = torch.tensor([sum(map(len, each)) for each in places])
        looked_at = views if batch.image_set is None else views[batch.image_set]
        return int(text.sum()) + int(looked_at.sum()) * self.module.connector.shape.tokens

    def loss(self, batch: MicroBatch) -> Tensor:
        """The mean over the answer tokens."""
        return self.hot(batch.seen, batch.text)

    def mean(self, seen: Tensor, batch: Batch) -> Tensor:
        """seen [P,3,H,W], of a frozen encoder [P,N,Dv] -> the mean loss of the answer tokens []. This is what
        `compile: true` compiles; making the batch is not part of it."""
        tokens = seen if self.frozen else self.module.encoder(seen)
        return self.module.token_losses(self.module.see_tokens(tokens, batch.views), batch).mean()


class Contrast:
    """Image-text contrast of the encoder with the images' captions, one an image."""

    def __init__(
        self,
        model: VisionLanguageModel,
        data: TrainingData,
        grouped: Mapping[Keys, list[Example]],
        device: torch.device,
    ):
        captions = [example.answer for examples in grouped.values() for example in examples]
        self.module = Contrastive(model.encoder, captions).to(device)
        encoder = {id(parameter) for parameter in model.encoder.parameters()}
        self.extra = tuple(each for each in self.module.parameters() if id(each) not in encoder)
        self.data = data
        self.device = device
        self.tokens = FrozenTokens(model.encoder, data.images, "fp32", device, None, ())  # none: the encoder trains
        self.hot: Callable[..., Tensor] = self.mean  # or that compiled

    def train(self) -> None:
        """Into training mode: encoder, text tower and projections all train."""
        self.module.train()

    def prepare(
        self,
        sets: Sequence[Keys],
        questions: list[list[Example]],
        generator: random.Random | None,
        draws: Draws | None = None,
    ) -> MicroBatch:
        """These images, as a whole, with a caption each: one at random, or the first when no `generator` is given."""
        views_of_each = _images(self.data.images, [first for first, *_ in sets], generator, draws)
        images = sent(torch.cat([views[:1] for views in views_of_each]), self.device)
        chosen = [generator.choice(examples) if generator else examples[0] for examples in questions]
        return MicroBatch(images, [example.answer for example in chosen], len(sets))

    def pass_by(self, sets: Sequence[Keys]) -> None:
        """Another rank works through these images: not in this objective, whose contrast is that of a batch."""

    def loss(self, batch: MicroBatch) -> Tensor:
        """The contrast within the micro-batch: images have to be told apart from its own alone."""
        return self.hot(batch.seen, batch.text)

    def mean(self, images: Tensor, captions: Sequence[str]) -> Tensor:
        """images [P,3,H,W] and their P captions -> the contrastive loss []; what `compile: true` compiles."""
        return self.module(images, captions)


Objective = Answers | Contrast


def objective_of(
    phase: Phase,
    model: VisionLanguageModel,
    data: TrainingData,
    grouped: Mapping[Keys, list[Example]],
    device: torch.device,
) -> Objective:
    """What the phase makes smaller; `grouped` are all its examples, those that are held out included."""
    if phase.objective == "contrastive":
        return Contrast(model, data, grouped, device)
    return Answers(model, data, device, phase)


def _images(
    images: ImageLoader, keys: Sequence[str], generator: random.Random | None, draws: Draws | None
) -> list[Tensor]:
    if generator is None:
        return images.plain(keys)
    return images.augmented(keys, draws or (lambda key: generator))
