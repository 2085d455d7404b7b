"""Is an image of a kind the model never learned from, so that its answer had better be withheld?

The same questions are asked about the images of another dataset. Two numbers say how strange an image looks, both
the higher the stranger:

- **energy**: -log sum exp of the logits of the answer's first token (Liu et al. 2020, https://arxiv.org/abs/2010.03759,
  section 3). It is the decoder's, so it depends on the question too.
- **distance**: how far the encoder's pooled, normalised tokens are from the k-th nearest of the training images (Sun
  et al. 2022, https://arxiv.org/abs/2204.06507, section 3). It is the encoder's alone. Images with tiles count as
  wholes, and of several images the strangest.

How well each tells the two kinds apart is its AUROC: the probability that an image from outside looks stranger than
one of the evaluation.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle, islice
from typing import Any

import numpy
import torch
from torch import Tensor
from torch.nn import functional

from workbench.config.phase import Evaluation
from workbench.contracts.dataset import Dataset
from workbench.contracts.example import Example, is_image
from workbench.data.image_loader import ImageLoader
from workbench.data.image_views import Keys, distinct
from workbench.errors import UserError
from workbench.evaluation.evaluate import examples_by_image
from workbench.evaluation.scored import Scored
from workbench.model.generation import first_logits
from workbench.model.image_features import Features, encode_views
from workbench.model.predictor import Predictor
from workbench.storage.splits import TRAIN

OUTSIDE = "outside"  # the condition of its lines in predictions.jsonl
MEASURES = ("energy", "distance")
BANK, NEIGHBOUR = 1_000, 10  # training images that are compared with, and which nearest of them counts


@dataclass(frozen=True)
class OutOfDistributionScores:
    """How strange the image of each question looks, by measure: of the evaluation's own, and of those from outside.

    `shown` are the questions with the key of the image from outside; `places`, where each of the evaluation's stands
    among all that it asks, some of which may be text alone. None: all are about images.
    """

    inside: Mapping[str, list[float]]
    outside: Mapping[str, list[float]]
    shown: Sequence[tuple[Example, str]]
    places: Sequence[int] | None = None

    def numbers(self, primary: Scored, withheld: float) -> dict[str, float]:
        """For each measure: its AUROC; the share of answers about outside images that are withheld when this share of
        the evaluation's own is; and the primary metric of those that are still answered."""
        found: dict[str, float] = {}
        for name in MEASURES:
            inside, outside = numpy.array(self.inside[name]), numpy.array(self.outside[name])
            limit = numpy.quantile(inside, 1 - withheld)
            answered = [self._place(each) for each in numpy.flatnonzero(inside <= limit).tolist()]
            found[f"{OUTSIDE}.{name}.auroc"] = auroc(inside, outside)
            found[f"{OUTSIDE}.{name}.withheld"] = float((outside > limit).mean())
            found[f"{OUTSIDE}.{name}.answered"] = primary.value(answered)[""]
        return found

    def added_to(self, lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """The lines of predictions.jsonl with every single number: those of the evaluation come first, in order."""
        for place in range(len(self.inside["energy"])):
            lines[self._place(place)] |= {"strangeness": self._at(self.inside, place)}
        for place, (example, key) in enumerate(self.shown):
            line = {"condition": OUTSIDE, "id": example.id, "image": key, "group": "", "question": example.question}
            lines.append({**line, "strangeness": self._at(self.outside, place)})
        return lines

    def _place(self, number: int) -> int:
        return number if self.places is None else self.places[number]

    def _at(self, measured: Mapping[str, list[float]], place: int) -> dict[str, float]:
        return {name: round(values[place], 6) for name, values in measured.items()}


def auroc(inside: numpy.ndarray, outside: numpy.ndarray) -> float:
    """The probability that one of `outside` is greater than one of `inside`, ties counting half (Mann-Whitney's U)."""
    from scipy import stats  # it takes a second to import, which a plan need not wait for

    ranks = stats.rankdata(numpy.concatenate([inside, outside]))[len(inside) :]
    wins = ranks.sum() - len(outside) * (len(outside) + 1) / 2
    return float(wins / (len(inside) * len(outside)))


def outside_images(outside: Dataset, settings: Evaluation, most: int) -> list[str]:
    """Its first images of the evaluation's split and task; of its last split, its first task where it has no such.
    Raises `UserError` for fewer than two."""
    split = settings.split if settings.split in outside.splits() else outside.splits()[-1]
    task = settings.task if settings.task in outside.tasks() else outside.tasks()[0]
    found = distinct(example.images for example in outside.examples(split, task))[:most]
    if len(found) < 2:
        raise UserError(f"it has {len(found)} image(s) in the split '{split}': give at least 2")
    return found


def out_of_distribution_scores(
    predictor: Predictor, dataset: Dataset, outside: Dataset, features: Features | None = None
) -> OutOfDistributionScores:
    """Ask the evaluation's questions about its own images and about as many from outside, taken in turn. Raises
    `UserError` where one of the two has too few images."""
    encoder, settings, device = predictor.model.encoder, predictor.settings, predictor.device
    asked = examples_by_image(dataset, settings)
    grouped = {keys: each for keys, each in asked.items() if is_image(keys[0])}
    sets = list(grouped)
    others = outside_images(outside, settings, sum(map(len, sets)))
    turn = cycle(others)
    paired = [tuple(islice(turn, len(each))) for each in sets]
    own, foreign = predictor.images(dataset), predictor.images(outside)

    def tokens_of(images: ImageLoader) -> Callable[[Sequence[str]], list[Tensor]]:
        return lambda chosen: encode_views(encoder, images.once(chosen), settings.precision, device)

    seen = tokens_of(own) if features is None else features.tokens
    with predictor.ready():
        parts = (tokens_of(own)(part) for part in _parts(training_keys(dataset), settings.batch))
        bank = [_pooled(torch.cat([views[:1] for views in part])) for part in parts]
        known = torch.cat(bank)  # [B,Dv]
        questions = list(grouped.values())
        inside = _measured(predictor, seen, sets, questions, known)
        strange = _measured(predictor, tokens_of(foreign), paired, questions, known)
    shown = [(each, first) for examples, (first, *_) in zip(questions, paired, strict=True) for each in examples]
    everything = [example for examples in asked.values() for example in examples]
    places = [place for place, example in enumerate(everything) if example.images]
    return OutOfDistributionScores(inside, strange, shown, places)


def training_keys(dataset: Dataset) -> list[str]:
    """Training images, evenly spread over the split."""
    split = TRAIN if TRAIN in dataset.splits() else dataset.splits()[0]
    keys = distinct(each.images for task in dataset.tasks() for each in dataset.examples(split, task))
    return keys[:: max(1, len(keys) // BANK)][:BANK]


def _parts(items: Sequence[Any], size: int) -> Iterator[Sequence[Any]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]


def _pooled(tokens: Tensor) -> Tensor:
    """tokens [P,N,Dv] -> their mean, of length 1 [P,Dv]."""
    return functional.normalize(tokens.float().mean(1), dim=-1)


def _measured(
    predictor: Predictor,
    tokens_of: Callable[[list[str]], list[Tensor]],
    sets: Sequence[Keys],
    questions: Sequence[list[Example]],
    known: Tensor,
) -> dict[str, list[float]]:
    """Both measures for every question, set by set; the distance is that of the strangest image. known [B,Dv]."""
    model = predictor.model
    found: dict[str, list[float]] = {name: [] for name in MEASURES}
    neighbour = min(NEIGHBOUR, len(known))
    for part in _parts(list(zip(sets, questions, strict=True)), predictor.settings.batch):
        examples = [each for _, each in part]
        tokens, places, batch = predictor.read([keys for keys, _ in part], tokens_of, examples)
        tokens = tokens.to(predictor.device)
        logits = first_logits(model, model.see_tokens(tokens, batch.views), batch)  # [questions,V]
        found["energy"] += (-logits.float().logsumexp(-1)).tolist()
        wholes = tokens[[views[0] for images in places for views in images]]
        distances = iter(torch.cdist(_pooled(wholes), known).kthvalue(neighbour, dim=-1).values.tolist())
        for images, each in zip(places, examples, strict=True):
            found["distance"] += [max(islice(distances, len(images)))] * len(each)
    return found
