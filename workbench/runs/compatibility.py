"""Whether the components of every trial fit each other and their data: told before anything runs, all at once.

Models are built on the meta device, without memory or weights; what trials share is built once.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from torch import nn

from workbench.config.component import COMPONENTS, PARTS, Part
from workbench.config.phase import trains_quantized
from workbench.config.trial import Trial
from workbench.contracts.adapter import Adapter
from workbench.contracts.dataset import Dataset
from workbench.contracts.encoder import VisionShape
from workbench.contracts.example import Example
from workbench.errors import UserError
from workbench.model.build import (
    CompositionError,
    attach_adapter,
    build_dataset,
    build_metrics,
    build_model,
    corpus_of,
    count_parameters,
    create,
    naming,
    quantize,
    trainable,
)
from workbench.model.image_features import NeededFeatures, bytes_of
from workbench.model.restore import weights_of_files
from workbench.model.vision_language_model import VisionLanguageModel
from workbench.runs.data_compatibility import check_data, check_outside, check_places, check_reading, sorts
from workbench.runs.meta_device import on_meta
from workbench.training.loop import nothing_trains

if TYPE_CHECKING:
    from workbench.registry import Registry

Attached = tuple[VisionLanguageModel, Adapter, list[nn.Parameter]]
Quantized = tuple[VisionLanguageModel, frozenset[Part], bool]


@dataclass(frozen=True)
class Size:
    """What is known of a trial's model before it has weights.

    `parameters` of the finished model, `trainable` in the last phase, most of them in any phase (`most_trainable`);
    `read` from files, and kept by no stage unless they train; `tokens` and `tiles` of the encoder; whether the adapter
    or the quantizer changes something in the encoder (a quantizer that cannot say so without numbers is taken to do
    it).
    """

    parameters: int
    trainable: int
    most_trainable: int
    read: int
    tokens: VisionShape
    tiles: int
    adapts_encoder: bool
    quantizes_encoder: bool

    def bytes_of_an_image(self, precision: str) -> int:
        """What an image's features take at most."""
        return bytes_of(self.tokens, self.tiles, precision)


def sizes_of(trials: Iterable[Trial], bench: Bench) -> dict[str, Size]:
    """By trial id. `CompositionError` tells everything that does not fit, each with the trials that have it."""
    sizes: dict[str, Size] = {}
    problems: dict[str, list[Trial]] = {}
    for trial in trials:
        for look in (bench.check_data, bench.check_outside, bench.check_metrics, bench.size):
            try:
                found = look(trial)
            except CompositionError as error:
                for problem in str(error).split("\n"):
                    problems.setdefault(problem, []).append(trial)
            else:
                sizes |= {trial.id: found} if found else {}
    if problems:
        raise CompositionError("\n".join(f"{problem} {_where(having)}" for problem, having in problems.items()))
    return sizes


class Bench:
    """Builds what is needed and remembers it, failures as well. What trials share is one object of theirs, so its
    identity tells equal things quickly."""

    def __init__(self, registry: Registry):
        self.registry = registry
        self._known: dict[str, Any] = {}
        self._by_parts: dict[tuple, Any] = {}

    def dataset(self, trial: Trial) -> Dataset:
        """The trial's dataset."""
        make = partial(build_dataset, trial, self.registry)
        return self._of_data(trial, "made", lambda: self._once(("made", _specs(trial, "dataset")), make))

    def fingerprint(self, trial: Trial) -> str:
        """That of the trial's data."""
        return self._of_data(trial, "print", lambda: self.dataset(trial).fingerprint())

    def images(self, trial: Trial, look: NeededFeatures) -> tuple[str, ...]:
        """The keys of the images that a stage looks at, in the order of the dataset."""
        return self._of_data(trial, look, lambda: look.images(self.dataset(trial)))

    def check_data(self, trial: Trial) -> None:
        """The dataset has the splits, tasks and examples that are asked of it."""
        parts = ("data", id(trial.components["dataset"]), *map(id, trial.phases), id(trial.evaluation))
        key = _specs(trial, "dataset"), [phase.tasks for phase in trial.phases], trial.evaluation
        self._same_parts(parts, lambda: self._once(key, lambda: check_data(trial, self.dataset(trial))))

    def sorts(self, trial: Trial, split: str, task: str) -> list[Example]:
        """Of the examples there, one of each number of images and of own places for them."""
        key = ("sorts", _specs(trial, "dataset"), split, task)
        return self._once(key, lambda: sorts(self.dataset(trial).examples(split, task)))

    def check_outside(self, trial: Trial) -> None:
        """The outside dataset has images."""
        if trial.outside is not None:
            look = partial(check_outside, trial, lambda: self.dataset(trial.elsewhere))
            self._same_parts(("outside", id(trial.outside), id(trial.evaluation)), look)

    def check_metrics(self, trial: Trial) -> None:
        """The metrics can be built."""
        parts = ("metrics", *map(id, trial.metrics))
        key = [metric.spec() for metric in trial.metrics]
        self._same_parts(parts, lambda: self._once(key, lambda: build_metrics(trial, self.registry)))

    def size(self, trial: Trial) -> Size:
        """The size of the trial's model, which neither the seed nor the length of a phase changes."""
        parts = ("size", trial.prompt, *(id(trial.components[kind]) for kind in COMPONENTS), *_trained(trial))
        return self._same_parts(parts, lambda: self._size_of(trial))

    def shape_of(self, trial: Trial) -> VisionLanguageModel:
        """The trial's model without weights: its sizes, its tokenizer, its preprocessing."""
        return self._model(trial)

    def _size_of(self, trial: Trial) -> Size:
        key = _specs(trial, *COMPONENTS), trial.prompt, _trained(trial)
        return self._once(key, lambda: self._size(trial))

    def _size(self, trial: Trial) -> Size:
        model, training, most = self._model(trial), 0, 0
        check_places(trial, model, partial(self.sorts, trial))
        check_reading(trial, model, self.dataset(trial))
        total, tokens, tiles = count_parameters(model), model.encoder.shape, model.encoder.tiles
        given = weights_of_files(trial, model, self.registry)
        read = sum(parameter.numel() for parameter in model.parameters() if id(parameter) in given)
        adapter, adapted, quantizes, narrow = None, [], None, frozenset()
        for phase in trial.phases:
            if phase.quantized and quantizes is None:
                if adapter is not None:
                    raise CompositionError(
                        f"phase '{phase.name}' is quantized, but an earlier one put the adapter on: quantize the first"
                        " phase that trains the adapter, or an earlier one"
                    )
                model, narrow, quantizes = self._quantized(trial, model)
            if adapter is None and "adapter" in phase.train:
                model, adapter, adapted = self._attached(trial, model)
            chosen = trainable(model, phase, adapted)
            for part in narrow & chosen.keys():
                raise CompositionError(
                    f"phase '{phase.name}' trains the {part}, whose layers are quantized: train the adapter in its"
                    " place, or leave the part out with the quantizer's options"
                )
            training = sum(parameter.numel() for parameters in chosen.values() for parameter in parameters)
            if not training:
                raise CompositionError(nothing_trains(phase))
            most = max(most, training)
        encoder = {id(each) for each in model.encoder.parameters()}
        if quantizes is None:
            quantizes = self._finish(trial, model, adapter)
        adapts = any(id(each) in encoder for each in adapted)
        return Size(total, training, most, read, tokens, tiles, adapts, quantizes)

    def _model(self, trial: Trial) -> VisionLanguageModel:
        """The trial's model; encoder and language model, which may come from files, are copied from remembered ones."""
        encoder = self._once(_specs(trial, "encoder"), lambda: self._create(trial, "encoder"))
        language_model = self._once(
            _specs(trial, "dataset", "language_model"),
            lambda: self._create(trial, "language_model", corpus_of(trial, self.dataset(trial))),
        )
        connector = self._create(trial, "connector", encoder.shape, language_model.shape.width)
        fusion = self._create(trial, "fusion", connector.shape, language_model.shape)
        return VisionLanguageModel(copy.deepcopy(encoder), connector, fusion, copy.deepcopy(language_model))

    def _attached(self, trial: Trial, model: VisionLanguageModel) -> Attached:
        def attach(to: VisionLanguageModel) -> Attached:
            return to, *attach_adapter(trial, self.registry, to)

        def attach_really() -> Attached:
            made = build_model(trial, self.registry, corpus_of(trial, self.dataset(trial)))
            if trains_quantized(trial.phases):
                quantize(trial, self.registry, made)
            return attach(made)

        return on_meta(lambda: attach(model), attach_really)

    def _quantized(self, trial: Trial, model: VisionLanguageModel) -> Quantized:
        """Quantize, as for a phase; the model, which of its parts have lost weights to that, and whether the encoder
        is changed."""

        def quantized(to: VisionLanguageModel) -> Quantized:
            parts: dict[Part, nn.Module] = {part: getattr(to, part) for part in PARTS if part != "adapter"}
            counts = {part: count_parameters(module) for part, module in parts.items()}
            before = _weights_of(to.encoder)
            quantize(trial, self.registry, to)
            narrow: frozenset[Part] = frozenset(
                part for part, module in parts.items() if count_parameters(module) < counts[part]
            )
            return to, narrow, _weights_of(to.encoder) != before

        corpus = corpus_of(trial, self.dataset(trial))
        return on_meta(lambda: quantized(model), lambda: quantized(build_model(trial, self.registry, corpus)))

    def _finish(self, trial: Trial, model: VisionLanguageModel, adapter: Adapter | None) -> bool:
        """Merge and quantize, as for the evaluation; returns whether the quantizer changes the encoder."""
        try:
            if adapter is not None:
                with naming("adapter", trial.components["adapter"].name):
                    adapter.merge(model)
            before = _weights_of(model.encoder)
            quantize(trial, self.registry, model)
        except CompositionError as error:
            # Code that looks at numbers finds none here and is not to blame: only what it complains of itself counts.
            if isinstance(error.__cause__, UserError):
                raise
            return True
        return _weights_of(model.encoder) != before

    def _create(self, trial: Trial, kind: str, *positional: Any) -> Any:
        def make() -> Any:
            return create(trial, kind, self.registry, *positional)

        return on_meta(make, lambda: make().to("meta"))

    def _of_data(self, trial: Trial, what: str | NeededFeatures, look: Callable[[], Any]) -> Any:
        return self._same_parts((what, id(trial.components["dataset"])), look)

    def _same_parts(self, parts: tuple, look: Callable[[], Any]) -> Any:
        """What `look` gives, once for all trials that have these very objects as their parts."""
        if parts not in self._by_parts:
            self._by_parts[parts] = look()
        return self._by_parts[parts]

    def _once(self, key: Any, make: Callable[[], Any]) -> Any:
        name = repr(key)
        if name not in self._known:
            try:
                self._known[name] = make()
            except CompositionError as error:
                self._known[name] = error
        found = self._known[name]
        if isinstance(found, CompositionError):
            raise found
        return found


def _weights_of(module: nn.Module) -> dict[str, tuple]:
    return {name: (id(each), each.shape, each.dtype) for name, each in module.state_dict(keep_vars=True).items()}


def _specs(trial: Trial, *kinds: str) -> list[tuple[str, Any]]:
    return [(kind, trial.components[kind].spec()) for kind in kinds]


def _trained(trial: Trial) -> list[tuple[str, tuple[str, ...], bool]]:
    return [(phase.name, phase.train, phase.quantized) for phase in trial.phases]


def _where(trials: Sequence[Trial]) -> str:
    """Which trials have a problem."""
    count = len({trial.id for trial in trials})  # one may have it in several places
    more = f" and {count - 1} more" if count > 1 else ""
    return f"[trial '{trials[0].label}'{more}]"
