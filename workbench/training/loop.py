"""One phase of training: step after step, until its end, its patience, or a loss that is no number."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from workbench.config.phase import Phase
from workbench.contracts.dataset import Dataset
from workbench.contracts.example import Example
from workbench.data.image_views import Keys
from workbench.data.sampler import Passes, sample, share_of
from workbench.devices.precision import autocast
from workbench.errors import UserError
from workbench.model.build import trainable
from workbench.model.vision_language_model import VisionLanguageModel
from workbench.training.curve import Step, Stopwatch, curve_of, table_of
from workbench.training.objectives import Answers, Contrast, Objective, Piece, TrainingData, pieces
from workbench.training.optimization import Optimization, steps_of
from workbench.training.random_state import Chance
from workbench.training.resume import Snapshot, Snapshots
from workbench.training.validation import Kept, Validation, below, chunks, copies, hold_out

TRAIN = "train"  # the split that trains


@dataclass(frozen=True)
class Trained:
    """What a phase cost, its whole curve, and the weights that were kept of it beside those it ended with.

    `own_seconds` are those in which its threads really computed: without the time that other programs took.
    """

    seconds: float
    own_seconds: float
    steps: int
    images: int
    examples: int
    trainable_parameters: int
    curve: list[Step]
    kept: list[Kept]


def training_examples(dataset: Dataset, tasks: Sequence[str], share: float = 1.0) -> dict[Keys, list[Example]]:
    """The training examples of these tasks, by their images, of a share of these; `UserError` when there are
    none."""
    grouped: dict[Keys, list[Example]] = {}
    for task in tasks:
        for example in dataset.examples(TRAIN, task):
            grouped.setdefault(example.images, []).append(example)
    if not grouped:
        raise UserError(f"the dataset has no training examples for the tasks {', '.join(tasks)}")
    return {key: grouped[key] for key in share_of(grouped, share)}


def planned_steps(phase: Phase, dataset: Dataset, seed: int) -> int:
    """How many optimizer steps a phase takes, unless its patience ends before."""
    trains, _ = hold_out(training_examples(dataset, phase.tasks, phase.data_share), phase.held_out, seed)
    return steps_of(phase, len(trains))


def nothing_trains(phase: Phase) -> str:
    """What is wrong with a phase whose parts have no parameters."""
    return (
        f"phase '{phase.name}' trains {', '.join(phase.train)}, where there are no parameters."
        " Train another part, or leave the phase out"
    )


def train(
    model: VisionLanguageModel,
    adapted: list[nn.Parameter],
    phase: Phase,
    data: TrainingData,
    seed: int,
    on_step: Callable[[Step], None],
    snapshots: Snapshots | None = None,
    fixed: Collection[str] = (),
) -> Trained:
    """Train `model` in place, from the newest of `snapshots` on if there is one; `on_step` is called after every step.
    `fixed` are names of buffers that no step changes, and no snapshot keeps.

    Ends with the same weights and the same curve, but for its seconds, however often it was interrupted.
    """
    training = Training(model, adapted, phase, data, seed, fixed)
    with compiling(phase.compile, phase.name):
        if phase.compile:
            training.compile()
        found = snapshots.newest() if snapshots else None
        if found is not None:
            training.restore(found)
        try:
            while not training.done:
                due = snapshots is not None and snapshots.due()
                on_step(training.step(look_ahead=not due))
                if snapshots and (training.done or due):
                    snapshots.write(training.snapshot())
        except NotFiniteError as error:
            raise NotFiniteError(f"{error}. {_advice(snapshots)}") from error
    return training.finish()


@contextmanager
def compiling(wanted: bool, phase: str) -> Iterator[None]:
    """After some recompilations torch gives up and runs eager code without a word: here it says so."""
    if not wanted:
        yield
        return
    import torch._dynamo.exc  # takes a second, which only a phase that compiles should pay

    try:
        with torch._dynamo.config.patch(fail_on_recompile_limit_hit=True):
            yield
    except torch._dynamo.exc.FailOnRecompileLimitHit as error:
        raise UserError(
            f"torch.compile compiled the model of phase '{phase}' again and again, and gave up. Leave out its 'compile'"
        ) from error


@dataclass(frozen=True)
class Prepared:
    """A batch in pieces, and how many examples are in it."""

    pieces: list[Piece]
    examples: int


class NotFiniteError(UserError):
    """A loss or a weight that is no finite number; `train` adds the last good snapshot to it."""


class Training:
    """A phase after `number` steps: all that changes from one to the next."""

    def __init__(
        self,
        model: VisionLanguageModel,
        adapted: list[nn.Parameter],
        phase: Phase,
        data: TrainingData,
        seed: int,
        fixed: Collection[str] = (),
    ):
        self.model = model
        self.fixed = fixed
        self.phase = phase
        self.device = next(model.parameters()).device
        self.chance = Chance(seed, phase.name, self.device)
        parts = trainable(model, phase, adapted)
        if not any(parts.values()):
            raise UserError(nothing_trains(phase))
        everything = training_examples(data.dataset, phase.tasks, phase.data_share)
        self.grouped, self.held_out = hold_out(everything, phase.held_out, seed)
        self.passes = Passes(list(self.grouped), self.chance.data)
        self.objective = _objective(model, phase, data, everything, self.device)
        self.steps = steps_of(phase, len(self.grouped))
        self.optimization = Optimization(parts, self.objective.extra, phase, self.steps, self.device)
        self.validation = Validation(phase)
        self.trainable_parameters = sum(parameter.numel() for chosen in parts.values() for parameter in chosen)
        self.examples = 0
        self._ahead: Prepared | None = None  # the next batch, when it was made before its step
        self.curve: list[Step] = []
        self.watch = Stopwatch()
        self.objective.train()

    @property
    def number(self) -> int:
        """Steps done."""
        return len(self.curve)

    @property
    def done(self) -> bool:
        """Whether this was the last step."""
        return self.number == self.steps or self.validation.stops

    def step(self, look_ahead: bool = False) -> Step:
        """One step, and the validation behind it when it is due.

        With `look_ahead` the next batch is made while a device still computes: everything is drawn in the same order,
        but until that batch has had its step no snapshot can be taken.
        """
        number = self.number + 1
        rate = self.optimization.begin(number)
        prepared, self._ahead = self._ahead or self._prepare(*self._draw()), None
        loss = self._gradients(prepared.pieces)
        self.optimization.step()
        validates = self.validation.due(number, self.steps)
        if look_ahead and not validates and number < self.steps:
            self._ahead = self._prepare(*self._draw())
        value = self._finite(loss.item(), "loss", number)  # last, so that a device is waited for once, with all queued
        self.examples += prepared.examples
        validation = self._validate(number) if validates else None
        images, (seconds, _) = number * self.phase.batch, self.watch.read()
        self.curve.append(Step(self.phase.name, number, self.steps, value, rate, images, seconds, validation))
        return self.curve[-1]

    def compile(self) -> None:
        """Compile the hot part on the phase's first batch, whichever step training goes on from: compiled code may
        depend on the shapes it saw first. What is drawn and computed here is forgotten."""
        self.objective.hot = torch.compile(self.objective.mean, dynamic=True)
        before = self.snapshot()
        start = Snapshot(0, copies(before.tensors), before.values)
        self._gradients(self._prepare(*self._draw()).pieces)
        self.restore(start)

    def _draw(self) -> tuple[list[Keys], list[list[Example]]]:
        """The images of the next batch, and the questions about each."""
        keys = self.passes.next(self.phase.batch)
        return keys, [sample(self.grouped[key], self.phase.questions, self.chance.data) for key in keys]

    def _prepare(self, keys: list[Keys], questions: list[list[Example]]) -> Prepared:
        """The batch, on the device and in pieces."""
        with autocast(self.device, self.phase.precision):
            cuts = pieces(len(keys), self.phase.accumulate)
            prepared = [self.objective.prepare(keys[cut], questions[cut], self.chance.data) for cut in cuts]
        return Prepared(prepared, sum(map(len, questions)))

    def _gradients(self, prepared: Sequence[Piece]) -> Tensor:
        """The gradients of the mean loss of a batch, piece by piece; returns that loss."""
        whole = sum(piece.weight for piece in prepared)
        total = torch.zeros((), device=self.device)
        for piece in prepared:
            with autocast(self.device, self.phase.precision):
                loss = self.objective.loss(piece) * (piece.weight / whole)
            self.optimization.backward(loss)
            total += loss.detach()
        return total

    def _validate(self, number: int) -> float:
        """The loss on what is held out."""
        self.objective.module.eval()
        total = weight = 0.0
        for keys in chunks(list(self.held_out), self.phase.batch):
            with torch.no_grad(), autocast(self.device, self.phase.precision):
                piece = self.objective.prepare(keys, [self.held_out[key] for key in keys], None)
                total += self.objective.mean(piece.seen, piece.text).item() * piece.weight
            weight += piece.weight
        self.objective.train()
        loss = self._finite(total / weight, "validation loss", number)
        self.validation.note(number, loss, self._weights())
        return loss

    def finish(self) -> Trained:
        """Into evaluation mode, with the weights the phase is to finish with."""
        kept = list(self.validation.kept)
        if kept and self.number not in [each.step for each in kept]:
            kept.append(Kept(self.number, self.curve[-1].validation_loss or math.nan, copies(self._weights())))
        if self.phase.finish_with == "best":
            self._load(self.validation.kept[0].weights)
        self.model.eval()
        seconds, computing = self.watch.read()
        return Trained(
            seconds=seconds,
            own_seconds=computing / torch.get_num_threads() if self.device.type == "cpu" else seconds,
            steps=self.number,
            images=self.number * self.phase.batch,
            examples=self.examples,
            trainable_parameters=self.trainable_parameters,
            curve=self.curve,
            kept=kept,
        )

    def snapshot(self) -> Snapshot:
        """All that a resumed training needs to go on as if nothing had happened."""
        assert self._ahead is None, "the next batch was drawn already"
        weights = self._weights()
        for name, weight in weights.items():
            if weight.requires_grad and not weight.isfinite().all():
                raise NotFiniteError(
                    f"the weight {name} is no number in phase '{self.phase.name}' at step {self.number}"
                )
        states = {
            "optimizer": self.optimization.state(),
            "chance": self.chance.state(),
            "best": self.validation.state(),
        }
        tensors = {f"{part}.{name}": each for part, (tensors, _) in states.items() for name, each in tensors.items()}
        tensors |= {f"weights.{name}": each for name, each in weights.items()}
        tensors |= {"waiting": self.passes.state(), "curve": table_of(self.curve)}
        values = {part: values for part, (_, values) in states.items()}
        together = self.objective.tokens.state()
        values |= {"examples": self.examples, "seconds": self.watch.read(), "together": together}
        return Snapshot(self.number, tensors, values)

    def restore(self, snapshot: Snapshot) -> None:
        """Go on from there."""
        values = snapshot.values
        self._load(below("weights", snapshot.tensors))
        self.optimization.restore(below("optimizer", snapshot.tensors), values["optimizer"])
        self.chance.restore(below("chance", snapshot.tensors), values["chance"])
        self.validation.restore(below("best", snapshot.tensors), values["best"])
        self.passes.restore(snapshot.tensors["waiting"])
        self.objective.tokens.restore(values["together"])
        self.curve = curve_of(snapshot.tensors["curve"], self.phase.name, self.steps)
        self.examples = values["examples"]
        self.watch = Stopwatch(*values["seconds"])

    def _weights(self) -> dict[str, Tensor]:
        """What can change: the parameters that train, and buffers, as those of batch norm."""
        module = self.objective.module
        trained = {name: each for name, each in module.named_parameters() if each.requires_grad}
        return trained | {name: each for name, each in module.named_buffers() if name not in self.fixed}

    def _load(self, weights: Mapping[str, Tensor]) -> None:
        own = self._weights()
        with torch.no_grad():
            for name, weight in weights.items():
                own[name].copy_(weight)

    def _finite(self, value: float, what: str, number: int) -> float:
        if not math.isfinite(value):
            raise NotFiniteError(f"the {what} became {value} in phase '{self.phase.name}' at step {number}")
        return value


def _objective(
    model: VisionLanguageModel,
    phase: Phase,
    data: TrainingData,
    grouped: Mapping[Keys, list[Example]],
    device: torch.device,
) -> Objective:
    if phase.objective == "contrastive":
        return Contrast(model, data, grouped, device)
    return Answers(model, data, device, phase)


def _advice(snapshots: Snapshots | None) -> str:
    """What to do about a loss that is no number."""
    where = f"{snapshots.in_words()}. " if snapshots else ""
    return f"{where}Lower its rate, lengthen its warmup or lower its clip; in fp16, try bf16 or fp32"
