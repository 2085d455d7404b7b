"""Plugins that each break a rule of their kind, for the contract tests to find."""

from __future__ import annotations

import itertools
import random
from dataclasses import replace
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn

from tests.plugins.squares import Squares
from tests.tiny import builtin_registry
from workbench.conformance.reference import ReferenceConnector, ReferenceDecoder, ReferenceEncoder
from workbench.contracts import Adapter, DecoderShape, Fusion, Metric, Quantizer, Tracker, VisionShape
from workbench.layers import CrossAttention

LOCAL: Any = builtin_registry().entry("launcher", "local").factory
LORA: Any = builtin_registry().entry("adapter", "lora").factory


class NotBuilt(ReferenceEncoder):
    def __init__(self):
        raise ZeroDivisionError("no encoder today")


class OnADevice(ReferenceEncoder):
    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1, device="cpu"))

    def forward(self, images: Tensor) -> Tensor:
        return super().forward(images) * self.scale


class KeepsTheMode(ReferenceEncoder):
    def transform(self, picture):
        return super().transform(picture) if picture.mode == "RGB" else torch.zeros(1, 8, 8)


class DividesByTheSpread(ReferenceEncoder):
    def transform(self, picture):
        pixels = super().transform(picture)
        return (pixels - pixels.mean()) / pixels.std()


class WrongShape(ReferenceEncoder):
    def forward(self, images: Tensor) -> Tensor:
        return super().forward(images)[:, 1:]


class NormalisesTheBatch(ReferenceEncoder):
    def forward(self, images: Tensor) -> Tensor:
        return super().forward(images - images.mean(0))


class PoolsWrongly(ReferenceEncoder):
    def pool(self, images: Tensor) -> Tensor:
        return self(images)


class HasAnUnusedLayer(ReferenceEncoder):
    def __init__(self):
        super().__init__()
        self.unused = nn.Linear(3, 3)


class Blind(ReferenceEncoder):
    def forward(self, images: Tensor) -> Tensor:
        return super().forward(images * 0)


class Noisy(ReferenceEncoder):
    def forward(self, images: Tensor) -> Tensor:
        return super().forward(images) + torch.randn(1)


class SharesItsWeights(ReferenceEncoder):
    def __deepcopy__(self, memo):
        return self


class Forgetful(ReferenceEncoder):
    def __init__(self):
        super().__init__()
        self.seen = torch.zeros(1)

    def forward(self, images: Tensor) -> Tensor:
        if self.training:
            self.seen += 1
        return super().forward(images) + self.seen


class SinglePrecision(ReferenceConnector):
    def forward(self, tokens: Tensor) -> Tensor:
        projected = super().forward(tokens)
        return torch.zeros(projected.shape).index_copy_(0, torch.arange(len(tokens)), projected)


class WiderThanItSays(ReferenceConnector):
    def __init__(self, vision: VisionShape, text_width: int):
        super().__init__(vision, text_width)
        self.shape = VisionShape(text_width, vision.tokens + 1)


class CentresTheBatch(ReferenceConnector):
    def forward(self, tokens: Tensor) -> Tensor:
        return super().forward(tokens - tokens.mean(0))


class Attending(Fusion):
    """Cross-attention before the first block, closed at the start: keeps every rule."""

    def __init__(self, vision: VisionShape, decoder: DecoderShape):
        super().__init__()
        self.attention = CrossAttention(decoder.width, vision.width, 4)
        self.back = CrossAttention(vision.width, decoder.width, 4)

    def prepare(self, vision, mask):
        return vision, mask

    def fuse_block(self, index, hidden, vision, prompt):
        seen, mask = vision
        if index == 2:
            return hidden + self.attention(hidden, self.attention.keys_values(seen, mask)), vision
        if index == 0 and prompt is not None:
            read = self.back(seen, self.back.keys_values(hidden), self.shown(prompt))
            vision = seen + read.masked_fill(~prompt.any(1)[:, None, None], 0.0), mask
        return hidden, vision

    reads_text = True

    def shown(self, prompt: Tensor) -> Tensor:
        return prompt[:, None, None, :]


class ReadsTheAnswer(Attending):
    def shown(self, prompt: Tensor) -> Tensor:
        return torch.ones_like(prompt)[:, None, None, :]


class ReadsOtherQuestions(Attending):
    reads_text = False


class StartsOpen(Attending):
    def __init__(self, vision: VisionShape, decoder: DecoderShape):
        super().__init__(vision, decoder)
        nn.init.ones_(self.attention.output.weight)


class MixesTheSequence(Attending):
    def fuse_block(self, index, hidden, vision, prompt):
        hidden, vision = super().fuse_block(index, hidden, vision, prompt)
        return hidden + 0.1 * self.attention.output.bias.abs().sum() * hidden.mean(1, keepdim=True), vision


class CountsPlaces(Fusion):
    def __init__(self, vision: VisionShape, decoder: DecoderShape):
        super().__init__()
        self.step = nn.Linear(vision.width, decoder.width)

    def fuse_block(self, index, hidden, vision, prompt):
        places = torch.arange(hidden.shape[1])[:, None] / 10
        return hidden + places * self.step(vision.mean(1, keepdim=True)), vision


class SeesNothingToNaN(Attending):
    def fuse_block(self, index, hidden, vision, prompt):
        hidden, vision = super().fuse_block(index, hidden, vision, prompt)
        return hidden if prompt is None else hidden / (prompt.any(1).float()[:, None, None]), vision


class AveragesThePictures(Attending):
    def prepare(self, vision, mask):
        return vision.mean(0), mask


class LooksAtWhatIsNotThere(Attending):
    def prepare(self, vision, mask):
        return vision, None


class LooksAtTheFirstPicture(Attending):
    def prepare(self, vision, mask):
        return vision[:, :4], None


class ForgetsTheSegments(Fusion):
    def prepare(self, vision, mask):
        return vision, mask

    def fuse_inputs(self, vision, inputs):
        return (
            builtin_registry()
            .entry("fusion", "concat_projection")
            .factory.fuse_inputs(
                self, vision, type(inputs)(**{**vars(inputs), "segments": inputs.segments.clamp(max=1)})
            )
        )

    def __init__(self, vision: VisionShape, decoder: DecoderShape):
        super().__init__()
        self.tokens = vision.tokens


class LooksAhead(ReferenceDecoder):
    def forward(self, embeds, positions, mask, cache=None):
        return super().forward(embeds, positions, torch.ones_like(mask), cache)


class IgnoresPositions(ReferenceDecoder):
    def forward(self, embeds, positions, mask, cache=None):
        return super().forward(embeds, torch.arange(embeds.shape[1]).expand(embeds.shape[:2]), mask, cache)


class KeepsNoCache(ReferenceDecoder):
    def new_cache(self, rows, capacity):
        return None


class PicksTheFirst(ReferenceDecoder):
    def hidden_at(self, embeds, positions, mask, places):
        return self(embeds, positions, mask)[:, : places.shape[1]]


class RegistersTwice(ReferenceDecoder):
    def __init__(self, corpus):
        super().__init__(corpus)
        self.again = self.layers


class TrainsItsTokenizerAnew(ReferenceDecoder):
    def __init__(self, corpus):
        super().__init__(type(corpus)(corpus.texts))


class StartsLoud(LORA):
    def attach(self, model):
        trained = super().attach(model)
        nn.init.ones_(trained[1])
        return trained


class ReturnsAll(LORA):
    def attach(self, model):
        return [*super().attach(model), nn.Parameter(torch.ones(3))]


class Freezes(LORA):
    def attach(self, model):
        model.requires_grad_(False)
        return super().attach(model)


class NeverMerges(LORA):
    def merge(self, model):
        return None


class NeverUnmerges(LORA):
    def unmerge(self, model):
        return None


class ReturnsNothing(Adapter):
    def attach(self, model):
        return []


class Doubles(Quantizer):
    bits = 8.0

    def quantize(self, model):
        model.copy = nn.Parameter(torch.zeros(10))


class Halves(Quantizer):
    bits = 8.0

    def quantize(self, model):
        for parameter in model.parameters():
            parameter.data = (parameter.data * 1.5).half().float().half()
        model.float()


class Inexact(Quantizer):
    bits = 32.0

    def quantize(self, model):
        for parameter in model.parameters():
            parameter.data.mul_(1.1)


class CutsOff(Quantizer):
    """Keeps no narrow weights: only the rule on gradients is asked."""

    bits = 32.0
    differentiable = True

    def quantize(self, model):
        for module in model.modules():
            if isinstance(module, nn.Linear):
                module.register_forward_hook(lambda _module, _inputs, output: output.detach())


class SaysNoBits(Quantizer):
    def quantize(self, model):
        return None


class SameIds(Squares):
    def examples(self, split, task):
        return [type(each)("0", *list(vars(each).values())[1:]) for each in super().examples(split, task)[:5]]


class SamePictures(Squares):
    def examples(self, split, task):
        return super().examples("train", task)[:5]


class NoQuestions(Squares):
    def examples(self, split, task):
        return [type(each)(each.id, each.picture, "", ("yes",)) for each in super().examples(split, task)[:5]]


class WrongPlaces(Squares):
    def examples(self, split, task):
        return [replace(each, question="is <image> like <image> ?") for each in super().examples(split, task)]


class GreyPictures(Squares):
    def picture(self, key):
        return super().picture(key).convert("L")


class Restless(Squares):
    count = itertools.count()

    def fingerprint(self):
        return str(next(self.count))


class DrawsElsewhere(Squares):
    def augment(self, picture, random: random.Random):
        return Image.new(picture.mode, picture.size, (next(Restless.count), 0, 0))


class OneForAll(Metric):
    def scores(self, predictions):
        return [1.0]


class UpsideDown(Metric):
    def scores(self, predictions):
        return [prediction.loss for prediction in predictions]


class Percents(Metric):
    percent = True

    def scores(self, predictions):
        return [100.0 * (prediction.answer in prediction.example.answers) for prediction in predictions]


class ComparesThem(Metric):
    def scores(self, predictions):
        right = [float(prediction.answer in prediction.example.answers) for prediction in predictions]
        return [score - sum(right) / len(right) / 2 for score in right]


class Counting(OneForAll):
    """Right answers among all, made of counts."""

    percent = True

    def scores(self, predictions):
        return [float(prediction.answer in prediction.example.answers) for prediction in predictions]

    def counts(self, predictions):
        return [(score, 1.0) for score in self.scores(predictions)]

    def summary(self, totals):
        return totals[..., 0] / totals[..., 1]


class CountsTheBatch(Counting):
    def counts(self, predictions):
        return [(score, sum(self.scores(predictions))) for score in self.scores(predictions)]


class TakesTheFirst(Counting):
    def summary(self, totals):
        return totals[0] / totals[1]


class GrowsWithTheQuestions(Counting):
    def details(self, totals):
        return {"right": totals[..., 0]}


class DoesItItself(LOCAL):
    """Runs jobs in the process that launches them."""

    def begin(self, job):
        from workbench.workers import Finished

        self.crew.prepare("cpu")(job, lambda *_: None)
        self.ended.append(Finished(job.key))

    def open(self, crew):
        super().open(crew)
        self.crew, self.ended = crew, []

    def news(self, timeout):
        while self.ended:
            yield self.ended.pop()


class HidesDeath(LOCAL):
    """Tells a dead worker's job as done."""

    def _bury(self, worker):
        from workbench.workers import Finished

        return Finished(super()._bury(worker).key)


class StopsNothing(LOCAL):
    def stop(self, key):
        pass


class LeavesWorkers(LOCAL):
    left: list = []

    def close(self):
        self.left.extend(self._staff)


class WantsATraining(Tracker):
    def open(self, experiment, folder):
        self.folder = folder

    def advance(self, training, step, steps, loss):
        self.last = training

    def finish(self, trial, axes, metrics):
        pass

    def close(self):
        self.last.strip()


class NamesFilesByLabels(WantsATraining):
    def advance(self, training, step, steps, loss):
        super().advance(training, step, steps, loss)
        (self.folder / f"{training}.txt").write_text(str(loss))


class ScattersFiles(WantsATraining):
    def finish(self, trial, axes, metrics):
        (self.folder / f"{trial}.txt").write_text(str(metrics))
