"""How many floating-point operations a trial's training and one of its answers take, counted before it has weights."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from itertools import cycle, islice
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from workbench.config.component import COMPONENTS
from workbench.config.phase import Phase
from workbench.config.trial import Trial
from workbench.contracts.dataset import Dataset
from workbench.contracts.example import Example
from workbench.data.collator import Batch
from workbench.data.image_loader import ImageLoader
from workbench.data.image_views import Keys, Places, gather
from workbench.data.sampler import by_hash, sample_examples
from workbench.evaluation.evaluate import examples_by_image
from workbench.model.build import attach_adapter, build_model, count_parameters, trainable
from workbench.model.image_features import needed_by_phase
from workbench.model.vision_language_model import VisionLanguageModel
from workbench.runs.flop_counter import flops_of
from workbench.runs.memo import Memo
from workbench.runs.meta_device import without_numbers
from workbench.runs.model_shapes import Datasets, ModelShapes
from workbench.training.batches import micro_batch_slices
from workbench.training.contrastive import Contrastive
from workbench.training.training_set import hold_out, planned_steps, training_examples

if TYPE_CHECKING:
    from workbench.checkpoints.tokenizer import Corpus
    from workbench.registry import Registry

QUESTIONS, SETS, BATCHES = (
    8,
    32,
    4,
)  # looked at: questions that are answered; sets of images a phase, in so many batches
MOST_PARAMETERS = 200_000_000  # of a model that is built for real where shapes do not do
REAL_SETS = 2  # sets of images, and questions, that are looked at then

Counted = tuple[float, tuple[tuple[float, float, float], ...]]  # of an answer; of each phase what `PhaseFlops` has


@dataclass(frozen=True)
class PhaseFlops:
    """FLOPs of a phase: of one optimizer `step`, forward and backward, and of `encoding`, the passes of a frozen
    encoder over the images that train, each once, which are all seen after `pass_steps`; `steps` are planned."""

    name: str
    step: float
    encoding: float
    steps: int
    pass_steps: float

    @property
    def planned(self) -> float:
        """Of the whole phase, unless its patience ends it before."""
        return self.after(self.steps)

    def after(self, steps: int) -> float:
        """Of so many of its steps."""
        return steps * self.step + min(steps / self.pass_steps, 1.0) * self.encoding


@dataclass(frozen=True)
class TrialFlops:
    """FLOPs of one `answer` and of every phase; NaN where they are not known."""

    answer: float
    phases: tuple[PhaseFlops, ...]

    @property
    def training(self) -> float:
        """Of all phases as they are planned, as if nothing were shared with other trials."""
        return math.fsum(phase.planned for phase in self.phases)


class FlopCounts:
    """Counts FLOPs of trials, each once: neither the seed nor the length of a phase changes those of a step.

    An answer is one pass over images, prompt and right answer: as many tokens as a model writes that answers right. A
    step is the forward and backward pass over a batch, padding included, of what really has to be computed: nothing
    goes back through what is frozen and has nothing that trains before it. Texts are those of examples drawn by a hash
    of their images, so all trials on the same data, and all seeds, are counted on the same ones. An adapter is counted
    as it trains and as it is merged, a quantizer not at all: it multiplies as often. Decoding of images, validation and
    the optimizer are left out.
    """

    def __init__(
        self,
        registry: Registry,
        data: Datasets,
        corpus: Callable[[Trial], Corpus] | None = None,
        memo: Memo | None = None,
    ):
        self.registry = registry
        self.data = data
        self.shapes = ModelShapes(registry, data, corpus)
        self._memo = memo or Memo()

    def of(self, trial: Trial) -> TrialFlops:
        """The FLOPs of a trial. `CompositionError` when its parts do not fit each other; NaN where they can neither be
        run on shapes alone nor, because they are too large, for real."""
        components = [trial.components[kind] for kind in COMPONENTS if kind != "quantizer"]
        asked = trial.evaluation.split, trial.evaluation.task, trial.evaluation.limit
        parts = (trial.prompt, *components, *map(_of_a_step, trial.phases), asked)
        answer, counted = self._memo.once(parts, lambda: self._count(trial))
        phases = []
        for phase, (step, encoding, pass_steps) in zip(trial.phases, counted, strict=True):
            steps = self._steps(phase, trial)
            phases.append(PhaseFlops(phase.name, step, encoding, steps, pass_steps))
        return TrialFlops(answer, tuple(phases))

    def _steps(self, phase: Phase, trial: Trial) -> int:
        """The steps of a phase; the seed says which images are held out, and not how many."""
        parts = ("steps", trial.components["dataset"], phase)
        return self._memo.once(parts, lambda: planned_steps(phase, self.data.dataset(trial), trial.seed))

    def _count(self, trial: Trial) -> Counted:
        """On shapes, or for real where a plugin cannot do without numbers and the model is small."""
        with _random_state_kept():
            model = self.shapes.of(trial)
            try:
                return _Counting(trial, self.registry, self.data.dataset(trial), model, real=False).all()
            except Exception:  # a component is anyone's code, and says in any way that a shape will not do
                few = count_parameters(model) <= MOST_PARAMETERS
                return self._count_for_real(trial) if few else _not_known(trial)

    def _count_for_real(self, trial: Trial) -> Counted:
        dataset = self.data.dataset(trial)
        try:
            model = build_model(trial, self.registry, self.shapes.corpus(trial))
            return _Counting(trial, self.registry, dataset, model, real=True).all()
        except Exception:  # it has its own trouble, which whoever runs it will be told of
            return _not_known(trial)


class _Counting:
    """Takes the model of a trial through its phases, without moving a weight. A `real` one gets small batches."""

    def __init__(self, trial: Trial, registry: Registry, dataset: Dataset, model: VisionLanguageModel, real: bool):
        self.trial, self.registry, self.dataset, self.real = trial, registry, dataset, real
        self.model = model.float()  # products of narrow weights and wide numbers need an autocast, which there is not
        self.device = torch.device("cpu" if real else "meta")
        self.making = nullcontext if real else without_numbers
        self.collate = model.collator(trial.prompt)
        self.known: dict[tuple, int] = {}  # FLOPs of a pass, by the phase and all that its shapes depend on

    def all(self) -> Counted:
        """Of one answer, and of every phase."""
        adapter, adapted, phases = None, [], []
        for phase in self.trial.phases:
            if adapter is None and "adapter" in phase.train:
                with self.making():
                    adapter, adapted = attach_adapter(self.trial, self.registry, self.model)
            trainable(self.model, phase, adapted)
            phases.append(self._phase(phase))
        if adapter is not None:
            with self.making():
                adapter.merge(self.model)
        return self._answer(), tuple(phases)

    def _phase(self, phase: Phase) -> tuple[float, float, float]:
        """Of a step, of the passes of a frozen encoder, and how many steps see all images."""
        self.phase = phase.name
        grouped = training_examples(self.dataset, phase.tasks, phase.data_share)
        encoder_trains = any(each.requires_grad for each in self.model.encoder.parameters())
        keeps = not encoder_trains and not self.dataset.augments
        self.model.train()
        self.model.encoder.train(encoder_trains)
        step = self._contrast(grouped) if phase.objective == "contrastive" else partial(self._learn, keeps)
        size = min(phase.batch, REAL_SETS) if self.real else phase.batch
        batches = _batches(by_hash("flops", grouped), size)
        flops = views = images = 0
        for chosen in batches:
            for cut in micro_batch_slices(size, min(phase.pieces, size)):
                asked = [sample_examples(grouped[keys], phase.questions, random.Random(0)) for keys in chosen[cut]]
                seen, places = self._see(chosen[cut])
                flops += step(seen, places, asked)
                views += sum(len(each) for views_of_each in places for each in views_of_each)
                images += sum(map(len, places))
        trains, _ = hold_out(grouped, phase.held_out, 0)  # any seed holds out as many
        seen_once = len(needed_by_phase(phase).images(self.dataset)) * len(trains) / len(grouped)
        once = seen_once * views / max(images, 1) * self._encoding() if keeps else 0.0
        return flops / len(batches) * phase.batch / size, once, len(trains) / phase.batch

    def _learn(self, keeps: bool, seen: Tensor, places: list[Places], questions: list[list[Example]]) -> int:
        """Next-token loss on the answers and its gradients; `keeps` the tokens of a frozen encoder."""
        batch = self.collate(torch.empty(0), questions, places=places)
        shape = self.model.encoder.shape
        kept = torch.zeros(len(seen), shape.tokens, shape.width, device=self.device) if keeps else None

        def step() -> None:
            vision = self.model.see_tokens(self.model.encoder(seen) if kept is None else kept, batch.views)
            self.model.token_losses(vision, batch).mean().backward()

        alike = self.phase, seen.shape, str(places), *_numbers_of(batch)
        if self.real or alike not in self.known:
            self.known[alike] = self._with_gradients(step, self.model)
        return self.known[alike]

    def _contrast(self, grouped: Mapping[Keys, list[Example]]) -> Callable[..., int]:
        """The contrast of images with their captions, and its gradients."""
        with self.making():
            every = [each.answer for examples in grouped.values() for each in examples]
            module = Contrastive(self.model.encoder, every)

        def contrast(seen: Tensor, places: list[Places], questions: list[list[Example]]) -> int:
            captions = [random.Random(0).choice(examples).answer for examples in questions]
            whole = [each[0][0] for each in places]  # of each image the first view
            return self._with_gradients(lambda: module(seen[whole], captions).backward(), module)

        return contrast

    def _answer(self) -> float:
        """The mean over some questions, each asked alone; of equal shapes one is counted."""
        # As if nothing trained: torch's counter stops at a view, made without gradients, of a weight that does.
        self.model.eval().requires_grad_(False)
        grouped = examples_by_image(self.dataset, self.trial.evaluation)
        known: dict[tuple, int] = {}
        found = []
        for keys in by_hash("flops", grouped)[: REAL_SETS if self.real else QUESTIONS]:
            seen, places = self._see([keys])
            batch = self.collate(torch.empty(0), [grouped[keys][:1]], history_trains=False, places=places)
            image = int((batch.ids == self.model.language_model.tokenizer.image).sum())
            shape = seen.shape, batch.ids.shape, image, int((batch.labels >= 0).sum())
            if shape not in known:
                known[shape] = flops_of(partial(self._answering, seen, batch))
            found.append(known[shape])
        return math.fsum(found) / len(found)

    @torch.no_grad()
    def _answering(self, seen: Tensor, batch: Batch) -> None:
        self.model.token_losses(self.model.see(seen, batch.views), batch)

    @torch.no_grad()
    def _encoding(self) -> int:
        """Of the encoder's pass over one view."""
        size = self.model.encoder.image_size
        view = torch.zeros(1, 3, size, size, device=self.device)
        return flops_of(lambda: self.model.encoder(view))

    def _see(self, sets: Sequence[Keys]) -> tuple[Tensor, list[Places]]:
        """Views [P,3,H,W] without content of the images of some sets, and where those of each set are."""
        encoder = self.model.encoder
        size, images = encoder.image_size, ImageLoader(self.dataset, encoder.views)

        def load(keys: list[str]) -> list[Tensor]:
            counts = [len(each) for each in images.plain(keys)] if encoder.tiles else [1] * len(keys)
            return [torch.zeros(count, 3, size, size, device=self.device) for count in counts]

        return gather(sets, load)

    def _with_gradients(self, step: Callable[[], None], module: nn.Module) -> int:
        flops = flops_of(step)
        module.zero_grad(set_to_none=True)
        return flops


def _batches(order: Sequence[Keys], size: int) -> list[list[Keys]]:
    """Batches of that size in this order, over and over where there are too few, until enough sets are in them."""
    count = min(max(1, -(-SETS // size)), BATCHES)
    endless = cycle(order)
    return [list(islice(endless, size)) for _ in range(count)]


def _numbers_of(batch: Batch) -> list[tuple]:
    """All of a batch that has numbers: where they are the same, shapes are."""
    tensors = batch.ids, batch.positions, batch.segments, batch.labels, batch.prompt, batch.image_set
    return [() if each is None else (each.shape, each.numpy().tobytes()) for each in tensors]


def _of_a_step(phase: Phase) -> tuple:
    """What of a phase changes the FLOPs of its steps."""
    amounts = phase.batch, phase.questions, phase.pieces, phase.data_share, phase.held_out
    return phase.objective, phase.tasks, phase.train, *amounts


def _not_known(trial: Trial) -> Counted:
    return math.nan, ((math.nan, math.nan, 1.0),) * len(trial.phases)


@contextmanager
def _random_state_kept() -> Iterator[None]:
    """Nothing that is drawn afterwards is another number for what is drawn in the body."""
    gpus = range(torch.cuda.device_count()) if torch.cuda.is_initialized() else ()
    with torch.random.fork_rng(gpus):
        yield
