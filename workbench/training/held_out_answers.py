"""What a model that still trains answers about the images that its phase holds out: a training curve of metrics.

It answers as an evaluation would have it answer, greedily and in the trial's prompt, in the precision that the phase
trains in. To be asked changes no weight and draws no random number.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

import torch

from workbench.config.phase import Evaluation, Phase
from workbench.contracts.example import Example, Prediction
from workbench.data.image_views import Keys
from workbench.devices.precision import autocast
from workbench.errors import UserError
from workbench.layers.prepared_linear import ready_to_answer
from workbench.model.predictor import Predictor
from workbench.model.vision_language_model import VisionLanguageModel
from workbench.storage.splits import TRAIN
from workbench.training.objectives import Answers, Contrast, Objective, TrainingData
from workbench.training.ranks import ALONE, Ranks
from workbench.training.validation import chunks


@dataclass(frozen=True)
class ScoredQuestions:
    """How a validation asks: in the trial's `prompt`, the questions of the evaluation's task with answers as long as
    there; `score` gives the metrics of what was predicted, by name."""

    prompt: str
    evaluation: Evaluation
    score: Callable[[Sequence[Prediction]], dict[str, float]]


class HeldOutAnswers:
    """The questions about the images that a phase holds out, and who answers them. `UserError` where there are none."""

    def __init__(
        self,
        model: VisionLanguageModel,
        phase: Phase,
        data: TrainingData,
        held_out: Mapping[Keys, Sequence[Example]],
        questions: ScoredQuestions,
        ranks: Ranks = ALONE,
    ):
        settings = questions.evaluation.model_copy(update={"precision": phase.precision})
        self.predictor = Predictor(model, questions.prompt, settings)
        self.questions = questions
        self.data = data
        self.ranks = ranks
        self.batch = phase.batch
        self.asked: dict[Keys, list[Example]] = {}
        for example in data.dataset.examples(TRAIN, settings.task):
            if example.row in held_out:
                self.asked.setdefault(example.row, []).append(example)
        if not self.asked:
            raise UserError(
                f"phase '{phase.name}' holds out no image that the task '{settings.task}' asks about, so"
                " 'validate_with' has nothing to score. Raise its 'held_out', or leave 'validate_with' out"
            )

    def metrics(self, objective: Objective) -> dict[str, float]:
        """The metrics of all answers, by name; the model is in training mode again behind it."""
        self.predictor.model.eval()
        # No inference mode: a layer may keep what it computes here, and a step after it needs that for its gradients.
        precision = autocast(self.predictor.device, self.predictor.settings.precision)
        with torch.no_grad(), precision, ready_to_answer(self.predictor.model):
            found = self.questions.score(self._predictions(objective))
        objective.train()
        return found

    def _predictions(self, objective: Objective) -> list[Prediction]:
        """Of all questions, each rank having answered its share."""
        assert not isinstance(objective, Contrast)
        together, found = chunks(list(self.asked), self.batch), []
        own = self.ranks.own(len(together))
        for place, sets in enumerate(together):
            if place in own:
                found.append(list(self._answered(sets, objective)))
            else:
                objective.pass_by(sets)
        return list(chain.from_iterable(self.ranks.put_together(found, len(together))))

    def _answered(self, sets: Sequence[Keys], objective: Answers) -> Iterator[Prediction]:
        """One batch of sets of images, through the features that the phase keeps where its encoder is frozen."""
        predictor, questions = self.predictor, [self.asked[each] for each in sets]
        load = objective.tokens.of if objective.frozen else self.data.images.plain
        seen, _, batch = predictor.read(sets, load, questions, answered=True)
        seen = seen.to(predictor.device)
        tokens = seen if objective.frozen else predictor.model.encoder(seen)
        vision = predictor.model.see_tokens(tokens, batch.views)
        return predictor.predict(vision, questions, batch)
