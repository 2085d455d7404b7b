"""What the loss on held-out examples decides: which weights were best, and when to stop."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from workbench.config.phase import Phase
from workbench.contracts.example import Example
from workbench.data.image_views import Keys
from workbench.devices.precision import autocast
from workbench.training.objectives import Objective
from workbench.training.phase_weights import cpu_copies
from workbench.training.ranks import ALONE, Ranks
from workbench.training.resume import without_prefix


@dataclass(frozen=True)
class KeptWeights:
    """The weights of one step: all that can change in the phase, by name."""

    step: int
    validation_loss: float
    weights: dict[str, Tensor]


class Validation:
    """Measures the loss on the examples that are `held_out`, which `ranks` share, keeps the best weights and says when
    to stop."""

    def __init__(self, phase: Phase, held_out: Mapping[Keys, list[Example]], ranks: Ranks = ALONE):
        self.phase = phase
        self.ranks = ranks
        self.held_out = held_out
        self.best = math.inf
        self.waited = 0  # validations since the best one
        self.kept: list[KeptWeights] = []  # the best first

    def due(self, step: int, steps: int) -> bool:
        """Whether this step is followed by a validation: every so many are, and the last one."""
        every = self.phase.validate_every
        return self.phase.held_out > 0 and (step == steps or bool(every) and step % every == 0)

    @property
    def stops(self) -> bool:
        """Whether nothing got better for as long as the phase has patience."""
        return self.phase.patience is not None and self.waited >= self.phase.patience

    def loss(self, objective: Objective) -> float:
        """The mean loss on what is held out, without augmentation; the module is in training mode again behind it."""
        objective.module.eval()
        together = chunks(list(self.held_out), self.phase.batch)
        own = self.ranks.own(len(together))
        found = []
        for place, keys in enumerate(together):
            if place not in own:
                objective.pass_by(keys)
                continue
            with torch.no_grad(), autocast(objective.device, self.phase.precision):
                batch = objective.prepare(keys, [self.held_out[key] for key in keys], None)
                found.append((objective.mean(batch.seen, batch.text).item() * batch.weight, batch.weight))
        total = weight = 0.0
        for part, own_weight in self.ranks.put_together(found, len(together)):
            total += part
            weight += own_weight
        objective.train()
        return total / weight

    def note(self, step: int, loss: float, weights: Mapping[str, Tensor]) -> None:
        """The validation loss after a step, with the weights it has; they are copied if they are among the best."""
        self.waited = 0 if loss < self.best else self.waited + 1
        self.best = min(self.best, loss)
        room = self.phase.keep_best - len(self.kept)
        if room > 0 or self.kept and loss < self.kept[-1].validation_loss:
            self.kept.append(KeptWeights(step, loss, cpu_copies(weights)))
            self.kept.sort(key=lambda each: (each.validation_loss, each.step))
            del self.kept[self.phase.keep_best :]

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Weights as tensors `<step>.<name>`; losses as JSON values."""
        tensors = {f"{kept.step}.{name}": each for kept in self.kept for name, each in kept.weights.items()}
        kept = [[each.step, each.validation_loss] for each in self.kept]
        return tensors, {"best": self.best, "waited": self.waited, "kept": kept}

    def restore(self, tensors: Mapping[str, Tensor], values: dict[str, Any]) -> None:
        """Go on with what `state` gave: the best weights, and how long nothing got better."""
        self.best, self.waited = values["best"], values["waited"]
        self.kept = [KeptWeights(step, loss, without_prefix(f"{step}", tensors)) for step, loss in values["kept"]]


def chunks(sets: Sequence[Keys], size: int) -> list[list[Keys]]:
    """Sets of images in order, so many at once."""
    return [list(sets[start : start + size]) for start in range(0, len(sets), size)]
