"""How the weights move: AdamW with a rate for each part, its schedule, clipping, and the scale of fp16 gradients."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from workbench.config.component import Part
from workbench.config.phase import Phase
from workbench.training.adamw_of_parts import AdamWOfParts
from workbench.training.tensor_parts import clip, part_of, whole_of


class Optimization:
    """The optimizer of a phase of `steps` steps. `parts` are the parameters that train, `extra` those of the objective.

    Decoupled weight decay: Loshchilov and Hutter 2019, https://arxiv.org/abs/1711.05101. In fp16 small gradients would
    vanish: the loss is scaled up, a step with an overflow is left out and the scale lowered (Micikevicius et al. 2018,
    https://arxiv.org/abs/1710.03740, section 3.2).
    """

    def __init__(
        self,
        parts: Mapping[Part, Sequence[nn.Parameter]],
        extra: Sequence[nn.Parameter],
        phase: Phase,
        steps: int,
        device: torch.device,
    ):
        self.phase = phase
        self.steps = steps
        self.groups = groups(parts, phase, extra)
        self.parameters = [parameter for group in self.groups for parameter in group["params"]]
        self.peak = max(group["peak"] for group in self.groups)
        shares_processor = device.type == "cpu" and phase.devices > 1 and phase.strategy == "fsdp"
        kind = AdamWOfParts if shares_processor else torch.optim.AdamW
        self.optimizer = kind(self.groups, betas=(0.9, 0.98), fused=True)
        self.scaler = torch.amp.GradScaler(device.type, enabled=phase.precision == "fp16")

    def begin(self, step: int) -> float:
        """Forget the gradients and set the rates of `step` = 1 ... `steps`; returns the highest of them."""
        factor = schedule(step, self.steps, self.phase)
        for group in self.optimizer.param_groups:
            group["lr"] = group["peak"] * factor
        self.optimizer.zero_grad(set_to_none=True)
        return self.peak * factor

    def backward(self, loss: Tensor) -> None:
        """Add the gradients of `loss` to those of earlier micro-batches, scaled up in fp16."""
        self.scaler.scale(loss).backward()

    def step(self) -> None:
        """Clip the gradients and move the weights by them; in fp16 not where one overflowed."""
        if self.phase.clip is not None:
            self.scaler.unscale_(self.optimizer)
            clip(self.parameters, self.phase.clip)
        self.scaler.step(self.optimizer)
        self.scaler.update()

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Moments and counts as tensors `<parameter>.<name>`, whole on every rank; the scaler as JSON values."""
        moments = self.optimizer.state_dict()["state"]
        named = {f"{index}.{name}": value for index, each in moments.items() for name, value in each.items()}
        # All ranks in one order, which a file that a phase goes on from does not keep.
        tensors = {name: whole_of(named[name]) for name in sorted(named)}
        return tensors, self.scaler.state_dict()

    def restore(self, tensors: Mapping[str, Tensor], values: dict[str, Any]) -> None:
        """Go on with moments, counts and scale as `state` gave them."""
        moments: dict[int, dict[str, Tensor]] = {}
        for place, value in tensors.items():
            index, _, name = place.partition(".")
            moments.setdefault(int(index), {})[name] = part_of(value, self.parameters[int(index)])
        self.optimizer.load_state_dict({**self.optimizer.state_dict(), "state": moments})
        if values:
            self.scaler.load_state_dict(values)


def groups(parts: Mapping[Part, Sequence[nn.Parameter]], phase: Phase, extra: Sequence[nn.Parameter]) -> list[dict]:
    """Optimizer groups: a rate for each part; weight decay for matrices only."""
    peaks = {part: phase.rate[part] if isinstance(phase.rate, dict) else phase.rate for part in parts}
    chosen = [*((peaks[part], parameters) for part, parameters in parts.items()), (max(peaks.values()), extra)]
    made = []
    for peak, parameters in chosen:
        matrices = [parameter for parameter in parameters if parameter.ndim > 1]
        vectors = [parameter for parameter in parameters if parameter.ndim <= 1]
        for members, decay in ((matrices, phase.weight_decay), (vectors, 0.0)):
            if members:
                made.append({"params": members, "peak": peak, "lr": peak, "weight_decay": decay})
    return made


def steps_of(phase: Phase, images: int) -> int:
    """How many steps a phase over so many images has."""
    if phase.steps is not None:
        return phase.steps
    return max(1, round((phase.epochs or 0) * images / phase.batch))


def nothing_trains(phase: Phase) -> str:
    """What is wrong with a phase whose parts have no parameters."""
    return (
        f"phase '{phase.name}' trains {', '.join(phase.train)}, where there are no parameters."
        " Train another part, or leave the phase out"
    )


def schedule(step: int, steps: int, phase: Phase) -> float:
    """Linear warm-up, then a cosine down to `final_rate`: the factor on the peak rate at `step` = 1 ... `steps`."""
    warm = phase.warmup * steps
    if step <= warm:
        return step / warm
    progress = (step - warm) / max(steps - warm, 1)
    return phase.final_rate + (1 - phase.final_rate) * 0.5 * (1 + math.cos(math.pi * min(progress, 1.0)))
