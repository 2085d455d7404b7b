"""One phase of training: its parameters, its schedule, its steps."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from workbench.batches import Collator
from workbench.compose import seed_of, trainable
from workbench.contracts import Dataset, Example
from workbench.contrastive import Contrastive
from workbench.errors import UserError
from workbench.model import VisionLanguageModel
from workbench.pictures import Pictures
from workbench.trial import Part, Phase


class TrainingError(UserError):
    """A phase that cannot start, or a loss that is no number."""


@dataclass(frozen=True)
class Step:
    """One line of the training curve. `seconds` since the phase began, `pictures` seen so far."""

    phase: str
    step: int
    steps: int
    loss: float
    rate: float
    pictures: int
    seconds: float


@dataclass(frozen=True)
class PhaseSummary:
    """What a phase cost."""

    seconds: float
    steps: int
    pictures: int
    examples: int
    trainable_parameters: int


@dataclass
class TrainingData:
    """A split of a dataset, ready for training: its pictures and how to make batches of their questions."""

    dataset: Dataset
    pictures: Pictures
    collate: Collator


def training_examples(dataset: Dataset, tasks: Sequence[str]) -> dict[str, list[Example]]:
    """The training examples of these tasks, by picture; `TrainingError` when there are none."""
    grouped: dict[str, list[Example]] = {}
    for task in tasks:
        for example in dataset.examples("train", task):
            grouped.setdefault(example.picture, []).append(example)
    if not grouped:
        raise TrainingError(f"the dataset has no training examples for the tasks {', '.join(tasks)}")
    return grouped


def train(
    model: VisionLanguageModel,
    adapted: list[nn.Parameter],
    phase: Phase,
    data: TrainingData,
    seed: int,
    on_step: Callable[[Step], None],
) -> PhaseSummary:
    """Train `model` in place; `on_step` is called after every step."""
    torch.manual_seed(seed_of(seed, f"phase {phase.name}"))
    chance = random.Random(seed_of(seed, f"data of {phase.name}"))
    device = next(model.parameters()).device
    parts = trainable(model, phase, adapted)
    if not any(parts.values()):
        raise TrainingError(nothing_trains(phase))
    grouped = training_examples(data.dataset, phase.tasks)
    model.train()
    objective = _objective(model, phase, data, grouped, device)
    groups = _groups(parts, phase, objective.extra)
    optimizer = torch.optim.AdamW(groups, betas=(0.9, 0.98), fused=True)
    parameters = [parameter for group in groups for parameter in group["params"]]
    steps = _steps(phase, len(grouped))
    seen = examples = 0
    started = time.perf_counter()
    for number, keys in enumerate(_batches(list(grouped), phase.batch, steps, chance), start=1):
        questions = [_sample(grouped[key], phase.questions, chance) for key in keys]
        rate = _schedule(number, steps, phase)
        for group in optimizer.param_groups:
            group["lr"] = group["peak"] * rate
        with autocast(device, phase.precision):
            loss = objective.loss(keys, questions, chance)
        value = loss.item()
        if not math.isfinite(value):
            raise TrainingError(f"the loss became {value} in phase '{phase.name}' at step {number}; lower its rate")
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        if phase.clip is not None:
            nn.utils.clip_grad_norm_(parameters, phase.clip)
        optimizer.step()
        seen += len(keys)
        examples += sum(map(len, questions))
        peak = max(group["peak"] for group in groups)
        on_step(Step(phase.name, number, steps, value, peak * rate, seen, time.perf_counter() - started))
    model.eval()
    count = sum(parameter.numel() for chosen in parts.values() for parameter in chosen)
    return PhaseSummary(time.perf_counter() - started, steps, seen, examples, count)


def nothing_trains(phase: Phase) -> str:
    """What is wrong with a phase whose parts have no parameters."""
    return (
        f"phase '{phase.name}' trains {', '.join(phase.train)}, where there are no parameters."
        " Train another part, or leave the phase out"
    )


def autocast(device: torch.device, precision: str) -> AbstractContextManager:
    """Mixed precision: bf16 in matrix products, fp32 weights."""
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16")


class _Answers:
    """Next-token loss on the answers; all questions of a picture share one pass of the encoder."""

    extra: tuple[nn.Parameter, ...] = ()

    def __init__(self, model: VisionLanguageModel, phase: Phase, data: TrainingData, device: torch.device):
        self.model = model
        self.data = data
        self.device = device
        # A frozen encoder that always sees the same picture gives the same tokens: compute them once. An adapter may
        # train weights inside the encoder though the phase does not name it.
        trains = any(parameter.requires_grad for parameter in model.encoder.parameters())
        self.frozen = not trains and not data.dataset.augments
        if not trains:
            model.encoder.eval()  # nothing in it learns: dropout would only blur what it sees
        self._tokens: dict[str, Tensor] = {}

    def loss(self, keys: Sequence[str], questions: list[list[Example]], chance: random.Random) -> Tensor:
        """The mean loss of the batch."""
        if self.frozen:
            images = torch.empty(0)
            tokens = self._frozen_tokens(keys)
        else:
            images = self.data.pictures.augmented(keys, chance).to(self.device)
            tokens = self.model.encoder(images)
        batch = self.data.collate(images, questions).to(self.device)
        return self.model.token_losses(self.model.see_tokens(tokens), batch).mean()

    def _frozen_tokens(self, keys: Sequence[str]) -> Tensor:
        missing = [key for key in keys if key not in self._tokens]
        if missing:
            with torch.no_grad():
                tokens = self.model.encoder(self.data.pictures.plain(missing).to(self.device))
            self._tokens.update(zip(missing, tokens, strict=True))
        return torch.stack([self._tokens[key] for key in keys])


class _Contrast:
    """Image-text contrast of the encoder with the pictures' captions."""

    def __init__(
        self, model: VisionLanguageModel, data: TrainingData, grouped: dict[str, list[Example]], device: torch.device
    ):
        captions = [example.answers[0] for examples in grouped.values() for example in examples]
        self.contrastive = Contrastive(model.encoder, captions).to(device)
        encoder = {id(parameter) for parameter in model.encoder.parameters()}
        self.extra = tuple(each for each in self.contrastive.parameters() if id(each) not in encoder)
        self.data = data
        self.device = device

    def loss(self, keys: Sequence[str], questions: list[list[Example]], chance: random.Random) -> Tensor:
        """The contrastive loss of the batch, with one caption a picture."""
        images = self.data.pictures.augmented(keys, chance).to(self.device)
        return self.contrastive(images, [chance.choice(examples).answers[0] for examples in questions])


def _objective(
    model: VisionLanguageModel,
    phase: Phase,
    data: TrainingData,
    grouped: dict[str, list[Example]],
    device: torch.device,
) -> _Answers | _Contrast:
    if phase.objective == "contrastive":
        return _Contrast(model, data, grouped, device)
    return _Answers(model, phase, data, device)


def _groups(parts: dict[Part, list[nn.Parameter]], phase: Phase, extra: Sequence[nn.Parameter]) -> list[dict]:
    """Optimizer groups: a rate for each part; weight decay for matrices only."""
    peaks = {part: phase.rate[part] if isinstance(phase.rate, dict) else phase.rate for part in parts}
    chosen = [*((peaks[part], parameters) for part, parameters in parts.items()), (max(peaks.values()), extra)]
    groups = []
    for peak, parameters in chosen:
        matrices = [parameter for parameter in parameters if parameter.ndim > 1]
        vectors = [parameter for parameter in parameters if parameter.ndim <= 1]
        for members, decay in ((matrices, phase.weight_decay), (vectors, 0.0)):
            if members:
                groups.append({"params": members, "peak": peak, "lr": peak, "weight_decay": decay})
    return groups


def _steps(phase: Phase, pictures: int) -> int:
    if phase.steps is not None:
        return phase.steps
    return max(1, round((phase.epochs or 0) * pictures / phase.batch))


def _schedule(step: int, steps: int, phase: Phase) -> float:
    """Linear warm-up, then a cosine down to `final_rate`: the factor on the peak rate at `step` = 1 ... `steps`."""
    warm = phase.warmup * steps
    if step <= warm:
        return step / warm
    progress = (step - warm) / max(steps - warm, 1)
    return phase.final_rate + (1 - phase.final_rate) * 0.5 * (1 + math.cos(math.pi * min(progress, 1.0)))


def _batches(keys: list[str], size: int, steps: int, chance: random.Random) -> Iterator[list[str]]:
    """`steps` batches of keys, shuffled anew each pass; a batch may span two passes."""
    waiting: list[str] = []
    for _ in range(steps):
        while len(waiting) < size:
            order = list(keys)
            chance.shuffle(order)
            waiting += order
        yield waiting[:size]
        del waiting[:size]


def _sample(examples: list[Example], most: int | None, chance: random.Random) -> list[Example]:
    if most is None or len(examples) <= most:
        return examples
    return chance.sample(examples, most)
