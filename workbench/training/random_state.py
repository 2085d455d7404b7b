"""All random numbers of a phase: where they start, and what they are in the middle of it."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy
import torch
from torch import Tensor

from workbench.config.seeds import derived_seed


class RandomState:
    """`data` draws images, questions and augmentations. Dropout and the like draw from torch's own generators, and a
    plugin may draw from Python's or numpy's: those are seeded and kept too."""

    def __init__(self, seed: int, phase: str, device: torch.device):
        self.device = device
        self.seed, self.phase = seed, phase
        self.data = random.Random(derived_seed(seed, f"data of {phase}"))
        _start(derived_seed(seed, f"phase {phase}"))

    def of_images(self, batch: int) -> int:
        """From where the augmentations of a batch draw, counted from 1."""
        return derived_seed(self.seed, f"images of {self.phase}, batch {batch}")

    @contextmanager
    def of_piece(self, batch: int, piece: int, work: str) -> Iterator[None]:
        """Inside, everything but `data` draws what belongs to this work on a micro-batch, whatever was drawn before:
        the same on whichever device it is done. Behind it they go on as if nothing had been drawn."""
        tensors, values = self.state()
        _start(derived_seed(self.seed, f"{work} of {self.phase}, batch {batch}, piece {piece}"))
        try:
            yield
        finally:
            self.restore(tensors, {**values, "data": self.data.getstate()})

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """What every generator draws next: torch's as tensors, the others as JSON values."""
        tensors = {"torch": torch.get_rng_state()}
        if self.device.type == "cuda":
            tensors["cuda"] = torch.cuda.get_rng_state(self.device)
        name, words, *rest = numpy.random.get_state()
        values = {"data": self.data.getstate(), "python": random.getstate(), "numpy": [name, words.tolist(), *rest]}  # pyright: ignore[reportAttributeAccessIssue]
        return tensors, values

    def restore(self, tensors: dict[str, Tensor], values: dict[str, Any]) -> None:
        """Let every generator draw what it would have drawn behind that `state`."""
        torch.set_rng_state(tensors["torch"])
        if self.device.type == "cuda" and "cuda" in tensors:
            torch.cuda.set_rng_state(tensors["cuda"], self.device)
        for generator, name in ((self.data, "data"), (random, "python")):
            version, words, gauss = values[name]
            generator.setstate((version, tuple(words), gauss))
        numpy.random.set_state(tuple(values["numpy"]))


def _start(seed: int) -> None:
    torch.manual_seed(seed)
    random.seed(seed)
    numpy.random.seed(seed % 2**32)
