"""Measures a little of a stage, to say how long all of it will take."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from workbench.contracts.dataset import Dataset
from workbench.contracts.encoder import Encoder
from workbench.data.collator import Collator
from workbench.data.image_loader import ImageLoader, threads_beside
from workbench.data.image_views import distinct
from workbench.devices.precision import dtype_of
from workbench.devices.threads import one_thread
from workbench.evaluation.evaluate import evaluate, examples_by_image
from workbench.model.build import corpus_of, create
from workbench.model.image_features import BATCH, Features, encode_all, needed_by_phase
from workbench.model.predictor import Predictor
from workbench.model.restore import RestoredModel, prepare_for_evaluation, restore
from workbench.runs.stages import FeatureStage, Stage
from workbench.training.curve import Step
from workbench.training.loop import train
from workbench.training.objectives import TrainingData
from workbench.training.training_set import planned_steps

if TYPE_CHECKING:
    from workbench.checkpoints.tokenizer import Tokenizer
    from workbench.config.component import Component
    from workbench.runs.plan import AnyStage, Plan
    from workbench.runs.planner import Planner

STEPS = 4  # steps, or batches, that are run; the first is not counted


class Probe:
    """Runs a few steps of stages, in this process and on one thread, as a worker would; nothing is kept.

    A stage that will read features is given random tokens, so that its time is that without the encoder. Only steps of
    training can be measured on another `device`.
    """

    def __init__(self, planner: Planner, plan: Plan, device: str = "cpu"):
        self.planner = planner
        self.plan = plan
        self.device = torch.device(device)
        self._tokenizers: dict[Component, dict[int, Tokenizer]] = {}  # by dataset: those trained on its text

    def seconds(self, stage: AnyStage) -> float:
        """The seconds the whole stage will take, from a few of its steps or batches."""
        with one_thread():
            if isinstance(stage, FeatureStage):
                return self._features(stage)
            return self._evaluation(stage) if stage.evaluates else self._training(stage)

    def step_seconds(self, stage: Stage, steps: int) -> float:
        """The seconds of one step of a training, from so many of them; validations are not counted, as in records."""
        trained: list[float] = []
        with one_thread():
            self._train(stage, steps, lambda step: trained.append(step.seconds))
        return (trained[-1] - trained[0]) / (steps - 1) / stage.devices

    def _features(self, stage: FeatureStage) -> float:
        dataset = self.planner.data.dataset(stage.trial)
        encoder = create(stage.trial, "encoder", self.planner.registry)
        keys = self.planner.data.images(stage.trial, stage.look)[slice(*stage.part)]
        clock = _Clock()
        self._encode(keys[: STEPS * BATCH], dataset, encoder, stage.look.precision, clock)
        return clock.each() * len(keys) / BATCH

    def _training(self, stage: Stage) -> float:
        trial, phase = stage.trial, stage.trial.phases[stage.index]
        clock = _Clock()
        self._train(stage, STEPS, lambda _: clock.tick())
        # One process did here what as many devices share.
        return clock.each() / phase.devices * planned_steps(phase, self.planner.data.dataset(trial), trial.seed)

    def _train(self, stage: Stage, steps: int, on_step: Callable[[Step], None]) -> None:
        """The first steps of a phase."""
        trial, phase = stage.trial, stage.trial.phases[stage.index]
        dataset = self.planner.data.dataset(trial)
        built = self._built(stage)
        model = built.model.to(self.device)
        collate = Collator(model.language_model.tokenizer, trial.prompt, model.fusion.reads_text)
        kept = None
        if stage.key in self.plan.features:
            kept = _stand_in(self.planner.data.images(trial, needed_by_phase(phase)), model.encoder, phase.precision)
        images = ImageLoader(dataset, model.encoder.views, threads=threads_beside(str(self.device)))
        data = TrainingData(dataset, images, collate, kept)
        short = phase.model_copy(update={"steps": steps, "epochs": None})
        train(model, built.adapted, short, data, trial.seed, on_step)

    def _evaluation(self, stage: Stage) -> float:
        trial = stage.trial
        dataset = self.planner.data.dataset(trial)
        built = self._built(stage)
        prepare_for_evaluation(built, trial, self.planner.registry)
        model = built.model
        settings = trial.evaluation
        sets = list(examples_by_image(dataset, settings))
        short = settings.model_copy(update={"limit": min(STEPS * settings.batch, len(sets))})
        few = list(examples_by_image(dataset, short))
        keys, encoding = distinct(few), 0.0
        if stage.key in self.plan.features:
            features = _stand_in(keys, model.encoder, settings.precision)
        else:
            clock = _Clock()
            features = Features([self._encode(keys, dataset, model.encoder, settings.precision, clock)])
            encoding = clock.each() / BATCH
        answers = _Clock()
        predictor = Predictor(model, trial.prompt, short)
        evaluate(predictor, dataset, trial.seed, lambda *_: answers.tick(), features)
        return len(distinct(sets)) * encoding + len(sets) * answers.each() / settings.batch

    def _encode(
        self, keys: Sequence[str], dataset: Dataset, encoder: Encoder, precision: str, clock: _Clock
    ) -> tuple[list[str], Tensor]:
        images = ImageLoader(dataset, encoder.views)
        return encode_all(encoder, images, keys, precision, torch.device("cpu"), lambda *_: clock.tick())

    def _built(self, stage: Stage) -> RestoredModel:
        """The model with its starting weights, which take as long as others."""
        trial, phases = stage.trial, stage.trial.phases[: stage.index + 1]
        trained = self._tokenizers.setdefault(trial.components["dataset"], {})
        corpus = corpus_of(trial, self.planner.data.dataset(trial), None, trained)
        return restore(None, trial, phases, self.planner.registry, corpus)


def _stand_in(keys: Sequence[str], encoder: Encoder, precision: str) -> Features:
    """Tokens of one view of these images, the same for each, that take no memory of their own."""
    tokens = torch.randn(1, encoder.shape.tokens, encoder.shape.width).to(dtype_of(precision))
    return Features([(keys, tokens.expand(len(keys), -1, -1))])


class _Clock:
    """The time between ticks."""

    def __init__(self):
        self._ticks = [time.perf_counter()]

    def tick(self) -> None:
        """Something was done once."""
        self._ticks.append(time.perf_counter())

    def each(self) -> float:
        """Seconds of one, without the first, which warms up."""
        counted = self._ticks[1:] if len(self._ticks) > 2 else self._ticks
        return (counted[-1] - counted[0]) / (len(counted) - 1)
