"""The batches of a phase: images and questions drawn in an order of its own, and made ready on the device."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from itertools import chain
from typing import Any

import torch
from torch import Tensor

from workbench.config.phase import Phase
from workbench.contracts.example import Example
from workbench.data.image_draws import ImageDraws
from workbench.data.image_views import Keys
from workbench.data.sampler import Sampler, sample_examples
from workbench.devices.precision import autocast
from workbench.training.objectives import MicroBatch, Objective
from workbench.training.random_state import RandomState
from workbench.training.ranks import ALONE, Ranks


@dataclass(frozen=True)
class PreparedBatch:
    """A batch, cut into micro-batches: of these the ones that this rank works through, on its device. How many examples
    are in the whole batch, what the decoder reads of it, and what all its micro-batches weigh. Batches are numbered
    from 1."""

    number: int
    micro_batches: list[MicroBatch]
    examples: int
    tokens: int
    weight: int


class Batches:
    """One batch after the other of the examples that train, `grouped` by their images.

    All that is random about them comes from `random_state`, in the same order whether a batch is made ahead or not.
    """

    def __init__(
        self,
        grouped: Mapping[Keys, list[Example]],
        phase: Phase,
        objective: Objective,
        random_state: RandomState,
        device: torch.device,
        ranks: Ranks = ALONE,
    ):
        self.grouped = grouped
        self.phase = phase
        self.objective = objective
        self.random_state = random_state
        self.device = device
        self.ranks = ranks
        self.sampler = Sampler(list(grouped), random_state.data)
        self.drawn = 0  # batches
        self._ahead: PreparedBatch | None = None  # the next batch, when it was made before its step

    def next(self) -> PreparedBatch:
        """The next batch: that which was made ahead, if one was."""
        batch, self._ahead = self._ahead or self.prepare(*self._draw()), None
        return batch

    def look_ahead(self) -> None:
        """Make the next batch now, while a device still computes. Until it was taken there is no `state`."""
        self._ahead = self.prepare(*self._draw())

    def prepare(self, keys: list[Keys], questions: list[list[Example]]) -> PreparedBatch:
        """These images with the questions about each."""
        number = self.drawn = self.drawn + 1
        cuts = list(micro_batch_slices(len(keys), self.phase.pieces))
        own, micro_batches = self.ranks.own(len(cuts)), []
        for piece, cut in enumerate(cuts):
            if piece not in own:
                self.objective.pass_by(keys[cut])
                continue
            draws = ImageDraws(self.random_state.of_images(number), keys, cut)
            with self.drawing(number, piece, "images"), autocast(self.device, self.phase.precision):
                made = self.objective.prepare(keys[cut], questions[cut], self.random_state.data, draws)
            micro_batches.append(made)
        read = self.ranks.gathered([(each.tokens, each.weight) for each in micro_batches])
        tokens, weight = (sum(each) for each in zip(*chain.from_iterable(read), strict=True))
        return PreparedBatch(number, micro_batches, sum(map(len, questions)), tokens, weight)

    def drawing(self, number: int, piece: int, work: str) -> AbstractContextManager[None]:
        """Inside, dropout and the like draw what belongs to this work on a micro-batch of batch `number`."""
        if self.phase.pieces == 1:
            return nullcontext()
        return self.random_state.of_piece(number, piece, work)

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """What is left of the current pass over the images; what the generator is, its owner keeps."""
        assert self._ahead is None, "the next batch was drawn already"
        return {"waiting": self.sampler.state()}, {"drawn": self.drawn}

    def restore(self, tensors: Mapping[str, Tensor], values: Mapping[str, Any]) -> None:
        """Go on with that pass."""
        self.sampler.restore(tensors["waiting"])
        self.drawn = values["drawn"]

    def _draw(self) -> tuple[list[Keys], list[list[Example]]]:
        """The images of the next batch, and the questions about each."""
        keys = self.sampler.next(self.phase.batch)
        return keys, [sample_examples(self.grouped[key], self.phase.questions, self.random_state.data) for key in keys]


def micro_batch_slices(size: int, count: int) -> Iterator[slice]:
    """Where to cut a batch of that size into `count` micro-batches of nearly the same size."""
    edges = [round(place * size / count) for place in range(count + 1)]
    yield from (slice(*pair) for pair in zip(edges, edges[1:], strict=False))
