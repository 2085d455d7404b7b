"""Asks a trained model every question, with the image and under two controls, and measures what it costs.

The controls say what the image is worth: `no_image` shows an even grey one, `shuffled` that of another example.
The score with the image minus the better control is the visual gain.
"""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from workbench.config.phase import Evaluation
from workbench.config.seeds import derived_seed
from workbench.contracts.dataset import Dataset
from workbench.contracts.example import Example, Prediction
from workbench.contracts.metric import CONDITIONS
from workbench.data.collator import Batch
from workbench.data.image_loader import ImageLoader
from workbench.data.image_views import Keys, Views, distinct
from workbench.errors import UserError
from workbench.layers.tensors import all_tensors
from workbench.model.generation import generate, generate_and_judge
from workbench.model.image_features import Features, FrozenTokens
from workbench.model.predictor import Predictor
from workbench.model.vision_language_model import VisionLanguageModel

WARM_UP, LEAST_TIMED, MOST_TIMED, TIMING_SECONDS = 3, 3, 10, 0.25  # answers a round, and what they may take together


@dataclass(frozen=True)
class EvaluationResult:
    """Every prediction under every condition, and the time of one answer: the lower and the higher of two rounds, one
    before everything else and one after it, since what else a machine does makes a round slow and never fast."""

    predictions: dict[str, list[Prediction]]
    latency_ms: float
    highest_latency_ms: float


def evaluate(
    predictor: Predictor,
    dataset: Dataset,
    seed: int,
    on_progress: Callable[[int, int], None],
    features: Features | None = None,
) -> EvaluationResult:
    """Answer the questions of a split; `on_progress` gets the images done and their number. Kept `features` spare
    the encoder; the time of one answer counts it all the same. Raises `UserError` where too little is asked."""
    model, settings, device = predictor.model, predictor.settings, predictor.device
    grouped = examples_by_image(dataset, settings)
    images = predictor.images(dataset)
    tokens = FrozenTokens(model.encoder, images, settings.precision, device, features, distinct(grouped))
    found: dict[str, dict[str, Prediction]] = {condition: {} for condition in CONDITIONS}
    done = 0
    with predictor.ready():
        timed = [_latency(predictor, images, grouped)]
        grey = predictor.encode(images.grey(model.encoder.image_size))
        empty = model.see_tokens(grey)
        for sets in _mixed_batches(grouped, settings.batch, seed):
            examples = [grouped[each] for each in sets]
            seen, _, batch = predictor.read(sets, tokens.of, examples, answered=True)
            seen = seen.to(device)
            visions = _by_set(model, seen, grey, batch.views) if batch.views else _by_image(model, seen, empty)
            for condition, vision in visions:
                for prediction in _ask(predictor, vision, examples, batch):
                    found[condition][prediction.example.id] = prediction
            done += len(sets)
            on_progress(done, len(grouped))
        timed.append(_latency(predictor, images, grouped))
    order = [example.id for examples in grouped.values() for example in examples]
    predictions = {condition: [by_id[each] for each in order] for condition, by_id in found.items()}
    return EvaluationResult(predictions, min(timed), max(timed))


def examples_by_image(dataset: Dataset, settings: Evaluation) -> dict[Keys, list[Example]]:
    """What is asked, by the images it is about; `UserError` when that is too little."""
    grouped: dict[Keys, list[Example]] = {}
    for example in dataset.examples(settings.split, settings.task):
        grouped.setdefault(example.images, []).append(example)
    chosen = dict(list(grouped.items())[: settings.limit])
    if len(chosen) < 2:
        raise UserError(
            f"the split '{settings.split}' gives {len(chosen)} image(s) to evaluate; the control with shuffled"
            " images needs at least 2"
        )
    return chosen


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


def _by_image(model: VisionLanguageModel, tokens: Tensor, grey: Any) -> Iterator[tuple[str, Any]]:
    """Each condition with what the model sees under it: the tokens [P,N,Dv] of an image each, a grey one for all, that
    of another."""
    seen = model.see_tokens(tokens)
    yield "image", seen
    yield "no_image", all_tensors(grey, lambda tensor: tensor.expand(len(tokens), *tensor.shape[1:]))
    yield "shuffled", all_tensors(seen, lambda tensor: tensor.roll(1, 0))


def _by_set(model: VisionLanguageModel, tokens: Tensor, grey: Tensor, views: Views) -> Iterator[tuple[str, Any]]:
    """The same for sets of views: under each condition every set has as many. tokens [P,N,Dv], grey [1,N,Dv]."""
    yield "image", model.see_tokens(tokens, views)
    yield "no_image", model.see_tokens(grey.expand_as(tokens), views)
    yield "shuffled", model.see_tokens(tokens, views.shuffled())


def _ask(predictor: Predictor, vision: Any, examples: list[list[Example]], batch: Batch) -> list[Prediction]:
    """The generated answer and the loss of the right answer for each example."""
    ids, losses = generate_and_judge(predictor.model, vision, batch, predictor.settings.max_new_tokens)
    flat = [example for questions in examples for example in questions]
    of_each = _example_losses(losses, batch.labels, batch.segments)
    return [Prediction(*each) for each in zip(flat, predictor.words(ids), of_each, strict=True)]


def _example_losses(losses: Tensor, labels: Tensor, segments: Tensor) -> list[float]:
    """losses [answer tokens] in the order of labels >= 0 [R,T] -> the mean of each question, row by row."""
    labelled = labels >= 0
    rows = torch.arange(labels.shape[0], device=labels.device)[:, None].expand_as(labels)[labelled]
    question = rows * (int(segments.max()) + 1) + segments[labelled]
    _, which, counts = question.unique_consecutive(return_inverse=True, return_counts=True)
    sums = torch.zeros(len(counts), device=losses.device).index_add_(0, which, losses.float())
    return (sums / counts).tolist()


def _latency(predictor: Predictor, images: ImageLoader, grouped: dict[Keys, list[Example]]) -> float:
    """Milliseconds from the images of one question to its whole answer: the median after a warm-up. Of a large model
    fewer answers are timed."""
    model, seconds = predictor.model, []
    for keys in list(grouped)[: WARM_UP + MOST_TIMED]:
        if len(seconds) >= WARM_UP + LEAST_TIMED and sum(seconds) > TIMING_SECONDS:
            break
        views, _, batch = predictor.read([keys], images.plain, [grouped[keys][:1]])
        started = time.perf_counter()
        generate(model, model.see(views.to(predictor.device), batch.views), batch, predictor.settings.max_new_tokens)
        seconds.append(time.perf_counter() - started)
    return 1000 * statistics.median(seconds[WARM_UP:] or seconds)
