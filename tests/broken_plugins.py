"""Plugins that each break a rule of their kind, for the contract tests to find."""

from __future__ import annotations

import itertools
import random
import time
from dataclasses import replace
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn

from tests.own_plugins.squares import Squares
from tests.tiny import builtin_registry
from workbench.conformance.reference_parts import ReferenceConnector, ReferenceDecoder, ReferenceEncoder
from workbench.contracts.adapter import Adapter
from workbench.contracts.encoder import VisionShape
from workbench.contracts.fusion import Fusion
from workbench.contracts.language_model import DecoderShape
from workbench.contracts.metric import Metric
from workbench.contracts.quantizer import Quantizer
from workbench.contracts.tracker import Tracker
from workbench.layers.cross_attention import CrossAttention

LOCAL: Any = builtin_registry().plugin("launcher", "local").factory
LORA: Any = builtin_registry().plugin("adapter", "lora").factory
LATE = 14  # the seed of a generator whose 73rd number is the first below 0.02


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
    def transform(self, image):
        return super().transform(image) if image.mode == "RGB" else torch.zeros(1, 8, 8)


class DividesByTheSpread(ReferenceEncoder):
    def transform(self, image):
        pixels = super().transform(image)
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


class SaysItIsBlind(ReferenceEncoder):
    reads_image = False


class SeesABit(ReferenceEncoder):
    """Blind but for what it pools."""

    reads_image = False

    def forward(self, images: Tensor) -> Tensor:
        return super().forward(images * 0)

    def pool(self, images: Tensor) -> Tensor:
        return super().forward(images).mean(1)


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


class OnceInFifty(ReferenceEncoder):
    """By a generator of its own, which no seed reaches."""

    def __init__(self):
        super().__init__()
        self.own = random.Random(LATE)

    def forward(self, images: Tensor) -> Tensor:
        return super().forward(images) + (0.1 if self.own.random() < 0.02 else 0.0)


class EveryFiftieth(ReferenceEncoder):
    def __init__(self):
        super().__init__()
        self.calls = 0

    def forward(self, images: Tensor) -> Tensor:
        self.calls += 1
        return super().forward(images) + (0.1 if self.calls % 50 == 0 else 0.0)


class EveryOtherDay(ReferenceEncoder):
    def forward(self, images: Tensor) -> Tensor:
        return super().forward(images) + (int(time.time()) // 86400) % 2


class SometimesDraws(ReferenceEncoder):
    """Asks Python's random numbers, which hardly ever matter."""

    def forward(self, images: Tensor) -> Tensor:
        return super().forward(images) + (0.1 if random.random() < 1e-9 else 0.0)


class SetsTheSeed(ReferenceEncoder):
    def forward(self, images: Tensor) -> Tensor:
        torch.manual_seed(0)
        return super().forward(images)


class KeepsTheFirstAnswer(ReferenceEncoder):
    answer: Tensor | None = None

    def forward(self, images: Tensor) -> Tensor:
        if self.answer is None or self.answer.shape[0] != len(images):
            self.answer = super().forward(images)
        return self.answer


class WritesOverItsAnswers(ReferenceEncoder):
    room: Tensor | None = None

    def forward(self, images: Tensor) -> Tensor:
        tokens = super().forward(images)
        if torch.is_grad_enabled():
            return tokens
        if self.room is None or self.room.shape != tokens.shape:
            self.room = torch.empty_like(tokens)
        return self.room.copy_(tokens)


class DrawsItsWeightsElsewhere(ReferenceEncoder):
    chance = random.Random()

    def __init__(self):
        super().__init__()
        nn.init.constant_(self.patches.weight, self.chance.random())


class NotFinite(ReferenceEncoder):
    def forward(self, images: Tensor) -> Tensor:
        return super().forward(images) / 0


class ShrinksImages(ReferenceEncoder):
    def transform(self, image):
        image.thumbnail((8, 8))
        return super().transform(image)


class CentresInPlace(ReferenceEncoder):
    def forward(self, images: Tensor) -> Tensor:
        return super().forward(images.sub_(0.1))


class CentresInPlaceToTrain(ReferenceEncoder):
    def forward(self, images: Tensor) -> Tensor:
        return super().forward(images.sub_(0.1) if self.training else images - 0.1)


class BatchNormalises(ReferenceConnector):
    """In training by the batch, in eval mode by running statistics."""

    def __init__(self, vision: VisionShape, text_width: int):
        super().__init__(vision, text_width)
        self.norm = nn.BatchNorm1d(vision.width)

    def forward(self, tokens: Tensor) -> Tensor:
        return super().forward(self.norm(tokens.mT).mT)


class DoublesTokens(ReferenceConnector):
    def forward(self, tokens: Tensor) -> Tensor:
        return super().forward(tokens.mul_(2))


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


class AveragesTheImages(Attending):
    def prepare(self, vision, mask):
        return vision.mean(0), mask


class LooksAtWhatIsNotThere(Attending):
    def prepare(self, vision, mask):
        return vision, None


class LooksAtTheFirstImage(Attending):
    def prepare(self, vision, mask):
        return vision[:, :4], None


class ForgetsTheSegments(Fusion):
    def prepare(self, vision, mask):
        return vision, mask

    def fuse_inputs(self, vision, inputs):
        return (
            builtin_registry()
            .plugin("fusion", "concat_projection")
            .factory.fuse_inputs(  # pyright: ignore[reportFunctionMemberAccess]
                self, vision, type(inputs)(**{**vars(inputs), "segments": inputs.segments.clamp(max=1)})
            )
        )

    def __init__(self, vision: VisionShape, decoder: DecoderShape):
        super().__init__()
        self.tokens = vision.tokens


class ReturnsHiddenAlone(Attending):
    def fuse_block(self, index, hidden, vision, prompt):  # pyright: ignore[reportIncompatibleMethodOverride] (broken on purpose)
        return super().fuse_block(index, hidden, vision, prompt)[0]


class AddsInPlace(Attending):
    def fuse_block(self, index, hidden, vision, prompt):
        fused, vision = super().fuse_block(index, hidden, vision, prompt)
        hidden += fused - hidden
        return hidden, vision


class WritesOverWhatItReadsToAnswer(Attending):
    """In place only where no gradient is wanted."""

    def fuse_block(self, index, hidden, vision, prompt):
        fused, vision = super().fuse_block(index, hidden, vision, prompt)
        return fused if torch.is_grad_enabled() else hidden.copy_(fused), vision


class ScalesItsVision(Attending):
    def fuse_block(self, index, hidden, vision, prompt):
        vision[0].mul_(0.9)
        return super().fuse_block(index, hidden, vision, prompt)


class BatchStatistics(Attending):
    """By the images of the batch, in eval mode too."""

    def prepare(self, vision, mask):
        return vision - vision.mean(0, keepdim=True), mask


class RunningStatistics(Attending):
    def __init__(self, vision: VisionShape, decoder: DecoderShape):
        super().__init__(vision, decoder)
        self.norm = nn.BatchNorm1d(vision.width)

    def prepare(self, vision, mask):
        return self.norm(vision.mT).mT, mask


class LooksAtOtherRows(Attending):
    def fuse_block(self, index, hidden, vision, prompt):
        hidden, vision = super().fuse_block(index, hidden, vision, prompt)
        return hidden + 0.01 * self.attention.output.weight.abs().sum() * hidden.mean(0, keepdim=True), vision


class FusesOnceInFifty(Attending):
    def __init__(self, vision: VisionShape, decoder: DecoderShape):
        super().__init__(vision, decoder)
        self.own = random.Random(LATE)

    def fuse_block(self, index, hidden, vision, prompt):
        hidden, vision = super().fuse_block(index, hidden, vision, prompt)
        return hidden + (1e-4 if self.own.random() < 0.02 else 0.0), vision


class LooksAhead(ReferenceDecoder):
    def forward(self, embeds, positions, mask, cache=None):
        return super().forward(embeds, positions, torch.ones_like(mask), cache)


class IgnoresPositions(ReferenceDecoder):
    def forward(self, embeds, positions, mask, cache=None):
        return super().forward(embeds, torch.arange(embeds.shape[1]).expand(embeds.shape[:2]), mask, cache)


class SeesAWindowOfPlaces(ReferenceDecoder):
    """Longer than a question, shorter than a row of several."""

    def forward(self, embeds, positions, mask, cache=None):
        new, known = mask.shape[-2:]
        near = torch.arange(known - new, known)[:, None] - torch.arange(known) < 32
        return super().forward(embeds, positions, mask & near, cache)


class ShiftsTokens(ReferenceDecoder):
    """By a gate that starts closed."""

    def __init__(self, corpus, width=64):
        super().__init__(corpus, width)
        self.gate = nn.Parameter(torch.zeros(width))

    def forward(self, embeds, positions, mask, cache=None):
        before = nn.functional.pad(embeds, (0, 0, 1, 0))[:, :-1]
        return super().forward(embeds + self.gate * before, positions, mask, cache)


class KeepsNoCache(ReferenceDecoder):
    def new_cache(self, rows, capacity):  # pyright: ignore[reportIncompatibleMethodOverride] (broken on purpose)
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


class GRUBlock(nn.Module):
    def __init__(self, width: int):
        super().__init__()
        self.attention = nn.GRU(width, width, batch_first=True)
        self.norm = nn.LayerNorm(width)

    def forward(self, hidden, past, *_):
        states, last = self.attention(self.norm(hidden), past)
        return hidden + states, last


class RecurrentCache:
    """The last state of each block."""

    def __init__(self, depth: int):
        self.states: list[Any] = [None] * depth

    def keep_rows(self, rows):
        kept = RecurrentCache(len(self.states))
        kept.states = [state[:, rows] for state in self.states]
        return kept


class Recurrent(ReferenceDecoder):
    """A GRU: what it has read it cannot hide from a token."""

    def __init__(self, corpus, width: int = 64):
        super().__init__(corpus, width)
        self.layers = nn.ModuleList(GRUBlock(width) for _ in range(2))
        self.shape = DecoderShape(width, 2, 4)

    @property
    def attentions(self):  # pyright: ignore[reportIncompatibleMethodOverride] (broken on purpose)
        return [layer.attention for layer in self.layers]

    def forward(self, embeds, positions, mask, cache: Any = None):
        for index, layer in enumerate(self.layers):
            embeds, last = layer(embeds, None if cache is None else cache.states[index])
            if cache is not None:
                cache.states[index] = last
        return self.norm(embeds)

    def new_cache(self, rows, capacity):  # pyright: ignore[reportIncompatibleMethodOverride] (broken on purpose)
        return RecurrentCache(len(self.layers))


class Decaying(nn.Module):
    """A linear state space of one pole a channel, over what came before."""

    def __init__(self, width: int):
        super().__init__()
        self.pole = nn.Parameter(torch.zeros(width))
        self.input = nn.Linear(width, width)

    def forward(self, hidden):
        length = hidden.shape[1]
        ages = (torch.arange(length)[:, None] - torch.arange(length)).clamp(min=0)  # [S,S]
        weights = torch.sigmoid(self.pole) ** ages[..., None] * (ages == ages.abs())[..., None]
        weights = weights * torch.ones(length, length).tril()[..., None]
        return torch.einsum("skd,rkd->rsd", weights, self.input(hidden))


class StateSpaceBlock(nn.Module):
    def __init__(self, width: int):
        super().__init__()
        self.attention = Decaying(width)
        self.norm = nn.LayerNorm(width)

    def forward(self, hidden, *_):
        return hidden + self.attention(self.norm(hidden))


class StateSpace(Recurrent):
    def __init__(self, corpus, width: int = 64):
        super().__init__(corpus, width)
        self.layers = nn.ModuleList(StateSpaceBlock(width) for _ in range(2))

    def forward(self, embeds, positions, mask, cache=None):
        for layer in self.layers:
            embeds = layer(embeds)
        return self.norm(embeds)


class AddsToItsEmbeddings(ReferenceDecoder):
    def forward(self, embeds, positions, mask, cache=None):
        embeds += 0.1
        return super().forward(embeds, positions, mask, cache)


class DecodesOnceInFifty(ReferenceDecoder):
    def __init__(self, corpus, width: int = 64):
        super().__init__(corpus, width)
        self.own = random.Random(LATE)

    def head(self, hidden):
        return super().head(hidden) + (0.1 if self.own.random() < 0.02 else 0.0)


class Wrapped(nn.Module):
    """A linear layer that an adapter took the place of."""

    def __init__(self, layer: nn.Linear, change):
        super().__init__()
        self.layer = layer
        self.scale = nn.Parameter(torch.ones(1))
        self.change = change

    def forward(self, hidden):
        return self.layer(self.change(hidden)) * self.scale


class Wrapping(Adapter):
    """Wraps the linear layers of the decoder: keeps the rules that are asked of it."""

    def attach(self, model: Any):
        trained = []
        for block in model.language_model.blocks:
            for name in ("up", "down"):
                wrapped = Wrapped(getattr(block.mlp, name), type(self).change)
                setattr(block.mlp, name, wrapped)
                trained.append(wrapped.scale)
        return trained

    @staticmethod
    def change(hidden):
        return hidden


class AdaptsOnceInFifty(Wrapping):
    own = random.Random()

    def attach(self, model):
        self.own.seed(LATE)
        return super().attach(model)

    @staticmethod
    def change(hidden):
        return hidden + 0.1 if AdaptsOnceInFifty.own.random() < 0.02 else hidden


class AdaptsInPlace(Wrapping):
    @staticmethod
    def change(hidden):
        return hidden.mul_(1.1)


class AdaptsTheBatch(Wrapping):
    @staticmethod
    def change(hidden):
        return hidden - hidden.mean(0, keepdim=True)


class Rounds(Quantizer):
    """Keeps no narrow weights: only some rules are asked."""

    bits = 32.0

    def quantize(self, model: Any):
        for block in model.language_model.blocks:
            block.mlp.up = Wrapped(block.mlp.up, type(self).change)

    @staticmethod
    def change(hidden):
        return hidden


class RoundsInPlace(Rounds):
    @staticmethod
    def change(hidden):
        return hidden.round_(decimals=3)


class RoundsOnceInFifty(Rounds):
    own = random.Random()

    def quantize(self, model):
        self.own.seed(LATE)
        super().quantize(model)

    @staticmethod
    def change(hidden):
        return hidden.round(decimals=1) if RoundsOnceInFifty.own.random() < 0.02 else hidden


class RoundsByChance(Quantizer):
    bits = 32.0
    own = random.Random()

    def quantize(self, model):
        for each in model.parameters():
            each.data.add_(self.own.random() * 1e-3)


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


class SameImages(Squares):
    def examples(self, split, task):
        return super().examples("train", task)[:5]


class NoQuestions(Squares):
    def examples(self, split, task):
        return [type(each)(each.id, each.image, "", ("yes",)) for each in super().examples(split, task)[:5]]


class WrongPlaces(Squares):
    def examples(self, split, task):
        return [
            replace(each, question="is <image> like <image> ?", interleaved=True)
            for each in super().examples(split, task)
        ]


class GreyImages(Squares):
    def image(self, key):
        return super().image(key).convert("L")


class Restless(Squares):
    count = itertools.count()

    def fingerprint(self):
        return str(next(self.count))


class DrawsElsewhere(Squares):
    def augment(self, image, random: random.Random):
        return Image.new(image.mode, image.size, (next(Restless.count), 0, 0))


class HandsOutItsImage(Squares):
    def __init__(self):
        super().__init__()
        self.kept = {}

    def image(self, key):
        return self.kept.setdefault(key, super().image(key))


class HandsOutItsList(Squares):
    def __init__(self):
        super().__init__()
        self.kept = {}

    def examples(self, split, task):
        return self.kept.setdefault((split, task), super().examples(split, task))


class ListsAnswers(Squares):
    def examples(self, split, task):
        return [replace(each, more=[]) for each in super().examples(split, task)]


class AsksOtherwiseTomorrow(Squares):
    def examples(self, split, task):
        return super().examples(split, task)[: 5 + int(time.time() // 86400) % 2]


class ShowsAnotherOnceInFifty(Squares):
    own = random.Random(LATE)

    def image(self, key):
        return Image.new("RGB", (16, 16)) if self.own.random() < 0.02 else super().image(key)


class SortsPredictions(Metric):
    def scores(self, predictions: Any):
        predictions.sort(key=lambda each: each.answer)
        return [float(each.answer in each.example.answers) for each in predictions]


class LowersAnswers(Metric):
    def scores(self, predictions):
        for each in predictions:
            object.__setattr__(each, "answer", each.answer.upper())
        return [float(each.answer.lower() in each.example.answers) for each in predictions]


class ScoresOnceInFifty(Metric):
    def __init__(self):
        self.own = random.Random(LATE)

    def scores(self, predictions):
        wrong = self.own.random() < 0.02
        return [0.0 if wrong else float(each.answer in each.example.answers) for each in predictions]


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
        from workbench.contracts.launcher import Finished

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

    def _remove(self, worker):
        from workbench.contracts.launcher import Finished

        return Finished(super()._remove(worker).key)


class StopsNothing(LOCAL):
    def stop(self, key):
        pass


class LeavesWorkers(LOCAL):
    left: list = []

    def close(self):
        self.left.extend(self._workers)


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


class RoundsTheMetrics(Tracker):
    def open(self, experiment, folder):
        pass

    def advance(self, training, step, steps, loss):
        pass

    def finish(self, trial, axes, metrics: Any):
        metrics.update({name: round(value) for name, value in metrics.items()})

    def close(self):
        pass
