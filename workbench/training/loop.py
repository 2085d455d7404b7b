"""One phase of training: step after step, until its end, its patience, or a loss that is no number."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection
from contextlib import nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from workbench.config.phase import Phase
from workbench.devices.precision import autocast
from workbench.errors import UserError
from workbench.model.build import trainable
from workbench.model.vision_language_model import VisionLanguageModel
from workbench.training.batches import Batches, PreparedBatch
from workbench.training.compilation import compiling
from workbench.training.curve import Step, Stopwatch, curve_of, metrics_of, table_of
from workbench.training.distributed_gradients import check_alike
from workbench.training.held_out_answers import HeldOutAnswers, ScoredQuestions
from workbench.training.not_finite import finite, with_advice
from workbench.training.objectives import TrainingData, objective_of
from workbench.training.optimization import Optimization, nothing_trains, steps_of
from workbench.training.phase_weights import PhaseWeights, cpu_copies
from workbench.training.random_state import RandomState
from workbench.training.ranks import ALONE, Ranks, in_order
from workbench.training.resume import Snapshot, Snapshots
from workbench.training.sharded_model import rounds_of
from workbench.training.training_set import hold_out, training_examples
from workbench.training.validation import KeptWeights, Validation


@dataclass(frozen=True)
class Trained:
    """What a phase cost, its whole curve, and the weights that were kept of it beside those it ended with.

    `own_seconds` are those in which its threads really computed: without the time that other programs took. Its
    validations took `validation_seconds`, which are in neither. `tokens` are those of text and images that the decoder
    read, padding apart.
    """

    seconds: float
    own_seconds: float
    validation_seconds: float
    steps: int
    images: int
    examples: int
    tokens: int
    trainable_parameters: int
    curve: list[Step]
    kept: list[KeptWeights]


def train(
    model: VisionLanguageModel,
    adapted: list[nn.Parameter],
    phase: Phase,
    data: TrainingData,
    seed: int,
    on_step: Callable[[Step], None],
    snapshots: Snapshots | None = None,
    fixed: Collection[str] = (),
    questions: ScoredQuestions | None = None,
    ranks: Ranks = ALONE,
) -> Trained:
    """Train `model` in place, from the newest of `snapshots` on if there is one; `on_step` is called after every step.
    `fixed` are names of buffers that no step changes, and no snapshot keeps. With `questions` a validation asks those
    about the images that are held out, too. Where several `ranks` train it together, each of them calls this.

    Ends with the same weights and the same curve, but for its seconds, however often it was interrupted.
    `NotFiniteError` when the loss becomes NaN or infinite; `UserError` when there is nothing to train, or on;
    another one behind a last snapshot, when the process was asked to end.
    """
    training = Training(model, adapted, phase, data, seed, fixed, questions, ranks)
    with compiling(phase.compile, phase.name):
        if phase.compile:
            training.compile()
        found = ranks.first_before(snapshots.newest) if snapshots else None
        if found is not None:
            training.restore(found)
        with with_advice(snapshots):
            while not training.done:
                due = snapshots is not None and ranks.as_first(snapshots.due())
                on_step(training.step(look_ahead=not due))
                if snapshots and (training.done or due):
                    _keep(training, snapshots)
    return training.finish()


def _keep(training: Training, snapshots: Snapshots) -> None:
    """A snapshot of the step just done, which the first rank writes; the training ends behind it if it was asked to."""
    with training.rounds.whole():
        snapshot = training.snapshot()
        if training.ranks.first:
            snapshots.write(snapshot)
    if training.ranks.first and not training.done:
        snapshots.end_if_asked()


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
        questions: ScoredQuestions | None = None,
        ranks: Ranks = ALONE,
    ):
        self.model = model
        self.phase = phase
        self.ranks = ranks
        self.device = next(model.parameters()).device
        self.random_state = RandomState(seed, phase.name, self.device)
        parts = trainable(model, phase, adapted)
        if not any(parts.values()):
            raise UserError(nothing_trains(phase))
        everything = training_examples(data.dataset, phase.tasks, phase.data_share)
        trains, held_out = hold_out(everything, phase.held_out, seed)
        self.objective = objective_of(phase, model, data, everything, self.device)
        self.weights = PhaseWeights(self.objective.module, fixed)
        self.batches = Batches(trains, phase, self.objective, self.random_state, self.device, ranks)
        self.steps = steps_of(phase, len(trains))
        check_alike({**dict(model.named_parameters()), **self.weights.named()}, ranks)
        self.rounds, parts = rounds_of(model, self.objective, parts, phase, ranks)
        self.optimization = Optimization(parts, self.objective.extra, phase, self.steps, self.device)
        self.validation = Validation(phase, held_out, ranks)
        self.answers = HeldOutAnswers(model, phase, data, held_out, questions, ranks) if questions else None
        self.trainable_parameters = sum(parameter.numel() for chosen in parts.values() for parameter in chosen)
        self.examples = self.tokens = 0
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
        """One step, and the validation behind it when it is due; `NotFiniteError` for a loss that is no number.

        With `look_ahead` the next batch is made while a device still computes: everything is drawn in the same order,
        but until that batch has had its step no snapshot can be taken.
        """
        number = self.number + 1
        rate = self.optimization.begin(number)
        batch = self.batches.next()
        loss = self._gradients(batch)
        self.optimization.step()
        validates = self.validation.due(number, self.steps)
        if look_ahead and not validates and number < self.steps:
            self.batches.look_ahead()
        # The loss is read last, so that a device is waited for once, with all queued.
        value = finite(loss.item(), "loss", self.phase.name, number)
        self.examples += batch.examples
        self.tokens += batch.tokens
        with self.watch.paused(), self.rounds.whole() if validates else nullcontext():
            validation = self._validate(number) if validates else (None, None)
        images, (seconds, _) = number * self.phase.batch, self.watch.read()
        self.curve.append(Step(self.phase.name, number, self.steps, value, rate, images, seconds, *validation))
        return self.curve[-1]

    def compile(self) -> None:
        """Compile forward and loss on the phase's first batch, whichever step training goes on from: compiled code may
        depend on the shapes it saw first. What is drawn and computed here is forgotten."""
        self.objective.hot = torch.compile(self.objective.mean, dynamic=True)
        before = self.snapshot()
        start = Snapshot(0, cpu_copies(before.tensors), before.values)
        self._gradients(self.batches.next())
        self.restore(start)

    def finish(self) -> Trained:
        """Into evaluation mode, with the weights the phase is to finish with."""
        kept = list(self.validation.kept)
        if kept and self.number not in [each.step for each in kept]:
            with self.rounds.whole():
                weights = cpu_copies(self.weights.named())
            kept.append(KeptWeights(self.number, self.curve[-1].validation_loss or math.nan, weights))
        if self.phase.finish_with == "best":
            self.weights.load(self.validation.kept[0].weights)
        self.rounds.put_together()
        self.model.eval()
        seconds, computing = self.watch.read()
        return Trained(
            seconds=seconds,
            own_seconds=computing / torch.get_num_threads() if self.device.type == "cpu" else seconds,
            validation_seconds=self.watch.paused_seconds,
            steps=self.number,
            images=self.number * self.phase.batch,
            examples=self.examples,
            tokens=self.tokens,
            trainable_parameters=self.trainable_parameters,
            curve=self.curve,
            kept=kept,
        )

    def snapshot(self) -> Snapshot:
        """All that a resumed training needs to go on as if nothing had happened; `NotFiniteError` when a weight is no
        number."""
        self.weights.check(self.phase.name, self.number)
        check_alike(self.weights.named(), self.ranks)
        progress = {
            "examples": self.examples,
            "tokens": self.tokens,
            "seconds": (*self.watch.read(), self.watch.paused_seconds),
            "validation_metrics": metrics_of(self.curve),
            "together": self.objective.tokens.state(),
        }
        states = {
            "weights": (self.weights.named(), {}),
            "optimizer": self.optimization.state(),
            "random": self.random_state.state(),
            "validation": self.validation.state(),
            "batches": self.batches.state(),
            "progress": ({"curve": table_of(self.curve)}, progress),
        }
        return Snapshot.of(self.number, states)

    def restore(self, snapshot: Snapshot) -> None:
        """Be what the phase was when the snapshot was taken; its time goes on, too."""
        weights, _ = snapshot.part("weights")
        self.weights.load(weights)
        self.optimization.restore(*snapshot.part("optimizer"))
        self.random_state.restore(*snapshot.part("random"))
        self.validation.restore(*snapshot.part("validation"))
        self.batches.restore(*snapshot.part("batches"))
        tensors, progress = snapshot.part("progress")
        self.curve = curve_of(tensors["curve"], progress["validation_metrics"], self.phase.name, self.steps)
        self.objective.tokens.restore(progress["together"])
        self.examples, self.tokens = progress["examples"], progress["tokens"]
        self.watch = Stopwatch(*progress["seconds"])

    def _gradients(self, batch: PreparedBatch) -> Tensor:
        """The gradients of the mean loss of a batch, one micro-batch after the other; returns that loss."""
        losses, pieces = [], self.ranks.own(self.phase.pieces)
        for number, (piece, each) in enumerate(zip(pieces, batch.micro_batches, strict=True)):
            last = number + 1 == len(pieces)
            self.rounds.begin(number, last)
            with self.batches.drawing(batch.number, piece, "passes"):
                with autocast(self.device, self.phase.precision):
                    loss = self.objective.loss(each) * (each.weight / batch.weight)
                self.optimization.backward(loss)
            self.rounds.end(last)
            losses.append(loss.detach())
        return in_order(self.ranks.stacked(torch.stack(losses)))

    def _validate(self, number: int) -> tuple[float, dict[str, float] | None]:
        """The loss on what is held out after a step, which decides on its weights, and what its answers score."""
        loss = finite(self.validation.loss(self.objective), "validation loss", self.phase.name, number)
        self.validation.note(number, loss, self.weights.named())
        metrics = self.answers.metrics(self.objective) if self.answers else None
        return loss, metrics
