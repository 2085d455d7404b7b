"""What is held out of the training images, and what its loss decides: which weights were best, and when to stop."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from workbench.config.phase import Phase
from workbench.contracts.example import Example
from workbench.data.image_views import Keys
from workbench.data.sampler import drawn


@dataclass(frozen=True)
class Kept:
    """The weights of one step: all that can change in the phase, by name."""

    step: int
    validation_loss: float
    weights: dict[str, Tensor]


def hold_out(
    grouped: Mapping[Keys, list[Example]], share: float, seed: int
) -> tuple[dict[Keys, list[Example]], dict[Keys, list[Example]]]:
    """The examples that train and those that are held out, by their images.

    Which images are held out depends on the seed and on nothing else, so that phases of one trial hold out the same
    ones, and a larger share those of a smaller one and more.
    """
    if not share:
        return dict(grouped), {}
    held = set(drawn(f"{seed}/held out", grouped)[: min(max(1, round(share * len(grouped))), len(grouped) - 1)])
    return (
        {key: examples for key, examples in grouped.items() if key not in held},
        {key: examples for key, examples in grouped.items() if key in held},
    )


class Validation:
    """Keeps the best weights and says when to stop."""

    def __init__(self, phase: Phase):
        self.phase = phase
        self.best = math.inf
        self.waited = 0  # validations since the best one
        self.kept: list[Kept] = []  # the best first

    def due(self, step: int, steps: int) -> bool:
        """Whether this step is followed by a validation: every so many are, and the last one."""
        every = self.phase.validate_every
        return self.phase.held_out > 0 and (step == steps or bool(every) and step % every == 0)

    @property
    def stops(self) -> bool:
        """Whether nothing got better for as long as the phase has patience."""
        return self.phase.patience is not None and self.waited >= self.phase.patience

    def note(self, step: int, loss: float, weights: Mapping[str, Tensor]) -> None:
        """The validation loss after a step, with the weights it has; they are copied if they are among the best."""
        self.waited = 0 if loss < self.best else self.waited + 1
        self.best = min(self.best, loss)
        room = self.phase.keep_best - len(self.kept)
        if room > 0 or self.kept and loss < self.kept[-1].validation_loss:
            self.kept.append(Kept(step, loss, copies(weights)))
            self.kept.sort(key=lambda each: (each.validation_loss, each.step))
            del self.kept[self.phase.keep_best :]

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Weights as tensors `<step>.<name>`; losses as JSON values."""
        tensors = {f"{kept.step}.{name}": each for kept in self.kept for name, each in kept.weights.items()}
        kept = [[each.step, each.validation_loss] for each in self.kept]
        return tensors, {"best": self.best, "waited": self.waited, "kept": kept}

    def restore(self, tensors: Mapping[str, Tensor], values: dict[str, Any]) -> None:
        """Go on from there."""
        self.best, self.waited = values["best"], values["waited"]
        self.kept = [Kept(step, loss, below(f"{step}", tensors)) for step, loss in values["kept"]]


def chunks(sets: Sequence[Keys], size: int) -> list[list[Keys]]:
    """Sets of images in order, so many at once."""
    return [list(sets[start : start + size]) for start in range(0, len(sets), size)]


def copies(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Copies in main memory, which no later step changes."""
    return {name: each.detach().to("cpu", copy=True) for name, each in weights.items()}


def below(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Those whose name begins with the prefix and a dot, without it."""
    found = {name: each for name, each in tensors.items() if name.startswith(f"{prefix}.")}
    return {name.removeprefix(f"{prefix}."): each for name, each in found.items()}
