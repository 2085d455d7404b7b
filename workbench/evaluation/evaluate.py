"""Asks a trained model every question, with the image and under the controls that the file names, and measures what it
costs.

The controls say what the image is worth: `prior` asks no model, `mean_image` and `no_image` show the same image to all,
`shuffled` and `other_answer` that of another question. Which one a question is shown depends on the questions alone.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from workbench.config.phase import Evaluation
from workbench.config.seeds import derived_seed
from workbench.contracts.dataset import Dataset
from workbench.contracts.example import Example, Prediction, is_image
from workbench.data.collator import Batch
from workbench.data.image_loader import ImageLoader
from workbench.data.image_views import Keys, Places, Views, distinct
from workbench.data.sampler import limited
from workbench.errors import UserError
from workbench.evaluation.latency import measure_latency
from workbench.evaluation.partners import Partners, other_answers, shuffled
from workbench.evaluation.training_split import TrainingSplit
from workbench.layers.tensors import all_tensors
from workbench.model.image_features import Features, FrozenTokens
from workbench.model.predictor import Predictor
from workbench.storage.conditions import PRIOR, WITH_IMAGE

# Controls with one image for all, and those with the image of another question.
EVEN: dict[str, Callable[[Predictor, ImageLoader, TrainingSplit], Tensor]] = {
    "no_image": lambda predictor, images, _: images.grey(predictor.model.encoder.image_size),
    "mean_image": lambda _, images, training: training.mean_image(images),
}
EXCHANGED: dict[str, Callable[[Mapping[Keys, Sequence[Example]]], Partners]] = {
    "shuffled": shuffled,
    "other_answer": other_answers,
}

Rows = dict[Keys, list[list[Example]]]  # by the images that are shown: rows of questions about them


@dataclass(frozen=True)
class EvaluationResult:
    """Every prediction under every condition, the mean number of tokens that were written for an answer with its image,
    and the time of one answer and of one token: the lower and the higher of two rounds, one before everything else and
    one after it, since what else a machine does makes a round slow and never fast.

    A control may leave questions out that it has nothing to show for: `left_out` counts them, where there are any, and
    `presumed` those whose other answer is only likely.
    """

    predictions: dict[str, list[Prediction]]
    latency_ms: float
    highest_latency_ms: float
    token_latency_ms: float
    highest_token_latency_ms: float
    generated_tokens: float
    left_out: dict[str, int] = field(default_factory=dict)
    presumed: dict[str, int] = field(default_factory=dict)


def evaluate(
    predictor: Predictor,
    dataset: Dataset,
    seed: int,
    on_progress: Callable[[int, int], None],
    features: Features | None = None,
    training: TrainingSplit | None = None,
) -> EvaluationResult:
    """Answer the questions of a split; `on_progress` gets the images done and their number. Kept `features` spare
    the encoder; the time of one answer counts it all the same. Raises `UserError` where too little is asked."""
    grouped = examples_by_image(dataset, predictor.settings)
    asked = [example for examples in grouped.values() for example in examples]
    asking = _Asking(predictor, dataset, grouped, features, training or TrainingSplit(dataset))
    with predictor.ready():
        timed = [measure_latency(predictor, asking.images, grouped)]
        asking.ask_all(seed, on_progress)
        timed.append(measure_latency(predictor, asking.images, grouped))
    answers, tokens = ([getattr(each, name) for each in timed] for name in ("answer_ms", "token_ms"))
    found = asking.found
    predictions = {
        condition: [by_id[each.id] for each in asked if each.id in by_id] for condition, by_id in found.items()
    }
    left_out = {name: len(asked) - len(each) for name, each in predictions.items() if len(each) < len(asked)}
    return EvaluationResult(
        predictions=predictions,
        latency_ms=min(answers),
        highest_latency_ms=max(answers),
        token_latency_ms=min(tokens),
        highest_token_latency_ms=max(tokens),
        generated_tokens=sum(each.tokens for each in predictions[WITH_IMAGE]) / len(asked),
        left_out=left_out,
        presumed=asking.presumed,
    )


def examples_by_image(dataset: Dataset, settings: Evaluation) -> dict[Keys, list[Example]]:
    """What is asked, by the images it is about; `UserError` when that is too little."""
    grouped: dict[Keys, list[Example]] = {}
    for example in dataset.examples(settings.split, settings.task):
        grouped.setdefault(example.row, []).append(example)
    chosen = {keys: grouped[keys] for keys in limited(grouped, settings.limit)}
    shown = sum(is_image(first) for first, *_ in chosen)
    if shown < 2:
        raise UserError(
            f"the split '{settings.split}' gives {shown} image(s) to evaluate; the control with shuffled"
            " images needs at least 2"
        )
    return chosen


class _Asking:
    """An evaluation that is going on: what it asks, what it shows, and the predictions found so far, by condition and
    question."""

    def __init__(
        self,
        predictor: Predictor,
        dataset: Dataset,
        grouped: Mapping[Keys, list[Example]],
        features: Features | None,
        training: TrainingSplit,
    ):
        model, settings = predictor.model, predictor.settings
        self.predictor, self.grouped, self.training = predictor, grouped, training
        self.images = predictor.images(dataset)
        self.tokens = FrozenTokens(
            model.encoder, self.images, settings.precision, predictor.device, features, distinct(grouped)
        )
        partners = {name: EXCHANGED[name](grouped) for name in settings.controls if name in EXCHANGED}
        self.exchanged = {name: _rows(each.shown, grouped) for name, each in partners.items()}
        self.presumed = {name: each.presumed for name, each in partners.items() if each.presumed}
        self.found: dict[str, dict[str, Prediction]] = {name: {} for name in (WITH_IMAGE, *settings.controls)}

    def ask_all(self, seed: int, on_progress: Callable[[int, int], None]) -> None:
        """Ask everything under all conditions, batch by batch, so that the tokens of an image are read once."""
        settings = self.predictor.settings
        if PRIOR in settings.controls:
            prior = self.training.prior(settings.task)
            self._keep(PRIOR, prior.predictions(each for examples in self.grouped.values() for each in examples))
        even = self._even()
        done = 0
        for sets in _mixed_batches(self.grouped, settings.batch, seed):
            self._ask_about(sets, even)
            done += len(sets)
            on_progress(done, len(self.grouped))
        for condition, rows in self.exchanged.items():  # what is left: images put together of several questions'
            for some in _parts([(keys, each) for keys, parts in rows.items() for each in parts], settings.batch):
                sets, examples = [keys for keys, _ in some], [each for _, each in some]
                seen, _, batch = self.predictor.read(sets, self.tokens.of, examples, answered=True)
                self._ask(condition, self._see(seen.to(self.predictor.device), batch.views), examples, batch)

    def _ask_about(self, sets: Sequence[Keys], even: Mapping[str, tuple[Tensor, Any]]) -> None:
        """What there is to ask about some sets of images: their own questions, and those they are shown to."""
        examples = [self.grouped[each] for each in sets]
        seen, places, batch = self.predictor.read(sets, self.tokens.of, examples, answered=True)
        seen = seen.to(self.predictor.device)
        self._ask(WITH_IMAGE, self._see(seen, batch.views), examples, batch)
        for condition, (tokens, vision) in even.items():
            if batch.views is None:
                shown = _for_each(vision, len(seen))
            else:
                shown = self._see(tokens.expand_as(seen), batch.views)
            self._ask(condition, shown, examples, batch)
        at = dict(zip(sets, places, strict=True))
        for condition, rows in self.exchanged.items():
            here = [(at[keys], part) for keys in sets for part in rows.pop(keys, [])]
            for some in _parts(here, self.predictor.settings.batch):
                self._ask_others(condition, seen, some)

    def _ask_others(self, condition: str, seen: Tensor, rows: Sequence[tuple[Places, list[Example]]]) -> None:
        """Rows of questions about views that are there, each with where they are in seen [P,N,Dv]."""
        examples = [part for _, part in rows]
        used = sorted({view for places, _ in rows for views in places for view in views})
        at = {view: place for place, view in enumerate(used)}
        places = [[[at[view] for view in views] for views in each] for each, _ in rows]
        batch = self.predictor.collate(torch.empty(0), examples, history_trains=False, places=places)
        batch = batch.to(self.predictor.device)
        self._ask(condition, self._see(seen[used], batch.views), examples, batch)

    def _even(self) -> dict[str, tuple[Tensor, Any]]:
        """By control: the tokens [1,N,Dv] of the image that all are shown, and what the fusion needs of it."""
        chosen = (name for name in self.predictor.settings.controls if name in EVEN)
        tokens = {
            name: self.predictor.encode(EVEN[name](self.predictor, self.images, self.training)) for name in chosen
        }
        return {name: (each, self._see(each, None)) for name, each in tokens.items()}

    def _see(self, tokens: Tensor, views: Views | None) -> Any:
        return self.predictor.model.see_tokens(tokens, views)

    def _ask(self, condition: str, vision: Any, examples: list[list[Example]], batch: Batch) -> None:
        self._keep(condition, self.predictor.predict(vision, examples, batch))

    def _keep(self, condition: str, predictions: Iterable[Prediction]) -> None:
        self.found[condition] |= {each.example.id: each for each in predictions}


def _rows(shown: Mapping[str, Keys], grouped: Mapping[Keys, Sequence[Example]]) -> Rows:
    """By the images that are shown: the questions about them, in rows of no more than the most of any images' own."""
    most = max(map(len, grouped.values()))
    asked: dict[Keys, list[Example]] = {}
    for example in (each for examples in grouped.values() for each in examples):
        if example.id in shown:
            asked.setdefault(shown[example.id], []).append(example)
    return {keys: list(_parts(examples, most)) for keys, examples in asked.items()}


def _parts(items: list[Any], size: int) -> Iterator[list[Any]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]


def _for_each(vision: Any, count: int) -> Any:
    """What the fusion needs of one image, for so many sets of that one."""
    return all_tensors(vision, lambda tensor: tensor.expand(count, *tensor.shape[1:]))


def _mixed_batches(grouped: Mapping[Keys, Sequence[Example]], size: int, seed: int) -> Iterator[list[Keys]]:
    """Batches of sets of images in random order, but those of as many images with as many questions together, so
    that little is padded. No batch holds a single set, or it could not be shuffled."""
    order = list(grouped)
    random.Random(derived_seed(seed, "controls")).shuffle(order)
    order.sort(key=lambda each: (len(each), len(grouped[each])))
    size = max(size, 2)
    starts = list(range(0, len(order), size))
    if len(order) - starts[-1] == 1:
        starts.pop()
    for start, end in zip(starts, [*starts[1:], len(order)], strict=True):
        yield order[start:end]
