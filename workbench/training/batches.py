"""The batches of a phase: images and questions drawn in an order of its own, and made ready on the device."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from workbench.config.phase import Phase
from workbench.contracts.example import Example
from workbench.data.image_views import Keys
from workbench.data.sampler import Sampler, sample_examples
from workbench.devices.precision import autocast
from workbench.training.objectives import MicroBatch, Objective


@dataclass(frozen=True)
class PreparedBatch:
    """A batch on the device, cut into micro-batches, how many examples are in it, and what the decoder reads of it."""

    micro_batches: list[MicroBatch]
    examples: int
    tokens: int


class Batches:
    """One batch after the other of the examples that train, `grouped` by their images.

    All that is random about them is drawn from `generator`, in the same order whether a batch is made ahead or not.
    """

    def __init__(
        self,
        grouped: Mapping[Keys, list[Example]],
        phase: Phase,
        objective: Objective,
        generator: random.Random,
        device: torch.device,
    ):
        self.grouped = grouped
        self.phase = phase
        self.objective = objective
        self.generator = generator
        self.device = device
        self.sampler = Sampler(list(grouped), generator)
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
        with autocast(self.device, self.phase.precision):
            micro_batches = [
                self.objective.prepare(keys[cut], questions[cut], self.generator)
                for cut in micro_batch_slices(len(keys), self.phase.accumulate)
            ]
        return PreparedBatch(micro_batches, sum(map(len, questions)), sum(each.tokens for each in micro_batches))

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """What is left of the current pass over the images; what the generator is, its owner keeps."""
        assert self._ahead is None, "the next batch was drawn already"
        return {"waiting": self.sampler.state()}, {}

    def restore(self, tensors: Mapping[str, Tensor], _: Mapping[str, Any]) -> None:
        """Go on with that pass."""
        self.sampler.restore(tensors["waiting"])

    def _draw(self) -> tuple[list[Keys], list[list[Example]]]:
        """The images of the next batch, and the questions about each."""
        keys = self.sampler.next(self.phase.batch)
        return keys, [sample_examples(self.grouped[key], self.phase.questions, self.generator) for key in keys]


def micro_batch_slices(size: int, count: int) -> Iterator[slice]:
    """Where to cut a batch of that size into `count` micro-batches of nearly the same size."""
    edges = [round(place * size / count) for place in range(count + 1)]
    yield from (slice(*pair) for pair in zip(edges, edges[1:], strict=False))
