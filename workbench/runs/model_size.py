"""How large the models of trials are, found without weights by taking their shapes through the phases."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from torch import nn

from workbench.config.component import COMPONENTS, PARTS, Part
from workbench.config.phase import Phase, trains_quantized
from workbench.config.trial import Trial
from workbench.contracts.adapter import Adapter
from workbench.contracts.encoder import VisionShape
from workbench.errors import UserError
from workbench.model.build import (
    CompositionError,
    attach_adapter,
    build_model,
    corpus_of,
    count_parameters,
    naming,
    quantize,
    trainable,
)
from workbench.model.image_features import bytes_of
from workbench.model.restore import weights_of_files
from workbench.model.shared_weights import separated, shared_weights
from workbench.model.vision_language_model import VisionLanguageModel
from workbench.runs.data_compatibility import check_places, check_reading
from workbench.runs.memo import Memo
from workbench.runs.meta_device import on_meta
from workbench.runs.model_notes import separated_note, unquantized_note, unreached_note, weights_by_name
from workbench.runs.model_shapes import ModelShapes
from workbench.training.loop import nothing_trains

if TYPE_CHECKING:
    from workbench.registry import Registry
    from workbench.runs.trial_data import TrialData

Attached = tuple[VisionLanguageModel, Adapter, list[nn.Parameter]]
Quantized = tuple[VisionLanguageModel, frozenset[Part], bool]


@dataclass(frozen=True)
class Size:
    """What is known of a trial's model before it has weights.

    `parameters` of the finished model, `trainable` in the last phase, most of them in any phase (`most_trainable`);
    `read` from files, and kept by no stage unless they train; `tokens` and `tiles` of the encoder; whether the adapter
    or the quantizer changes something in the encoder (a quantizer that cannot say so without numbers is taken to do
    it); `notes` on what adapter and quantizer do to its weights; how much trains `by_phase`.
    """

    parameters: int
    trainable: int
    most_trainable: int
    read: int
    tokens: VisionShape
    tiles: int
    adapts_encoder: bool
    quantizes_encoder: bool
    notes: tuple[str, ...] = ()
    by_phase: tuple[int, ...] = ()

    def most_until(self, phase: int) -> int:
        """The most that trained in a phase up to the one of that number."""
        return max(self.by_phase[: phase + 1], default=0)

    def bytes_of_an_image(self, precision: str) -> int:
        """What an image's features take at most."""
        return bytes_of(self.tokens, self.tiles, precision)


class ModelSizes:
    """Finds the sizes of trials' models, each once: neither the seed nor the length of a phase changes one."""

    def __init__(self, registry: Registry, data: TrialData):
        self.registry = registry
        self.data = data
        self.shapes = ModelShapes(registry, data)
        self._memo = Memo()

    def of(self, trial: Trial) -> Size:
        """The size of the trial's model. `CompositionError` when its parts do not fit each other, the phases that train
        them, or the data."""
        parts = (trial.prompt, *(trial.components[kind] for kind in COMPONENTS), *_trained(trial), _read(trial))
        return self._memo.once(parts, lambda: self._size(trial))

    def _size(self, trial: Trial) -> Size:
        model = self.shapes.of(trial)
        check_places(trial, model, partial(self.data.sorts, trial))
        check_reading(trial, model, self.data.dataset(trial))
        given = weights_of_files(trial, model, self.registry)
        parameters, shape, tiles = count_parameters(model), model.encoder.shape, model.encoder.tiles
        read = sum(parameter.numel() for parameter in model.parameters() if id(parameter) in given)
        now, shared, weights = _Model(model), shared_weights(model), weights_by_name(model)
        for phase in trial.phases:
            self._enter(phase, trial, now)
        encoder = {id(each) for each in now.whole.encoder.parameters()}
        adapts = any(id(each) in encoder for each in now.adapted)
        trained = {id(each) for each in now.adapted}
        adapter, quantizer = (trial.components[kind].name for kind in ("adapter", "quantizer"))
        notes = [] if now.adapter is None else [*unreached_note(adapter, weights, now.whole, trained)]
        apart = self._finish(trial, now, shared)
        notes += [*separated_note(adapter, apart), *unquantized_note(quantizer, weights, now.whole)]
        parameters += sum(numbers for _, numbers in apart.values())
        last, most = (now.training[-1], max(now.training)) if now.training else (0, 0)
        return Size(
            parameters, last, most, read, shape, tiles, adapts, bool(now.quantizes), tuple(notes), tuple(now.training)
        )

    def _enter(self, phase: Phase, trial: Trial, now: _Model) -> None:
        """What becomes of the model at the beginning of a phase, and how much of it trains."""
        if phase.quantized and now.quantizes is None:
            if now.adapter is not None:
                raise CompositionError(
                    f"phase '{phase.name}' is quantized, but an earlier one put the adapter on: quantize the first"
                    " phase that trains the adapter, or an earlier one"
                )
            now.whole, now.narrow, now.quantizes = self._quantized(trial, now.whole)
        if now.adapter is None and "adapter" in phase.train:
            now.whole, now.adapter, now.adapted = self._attached(trial, now.whole)
        if phase.objective == "contrastive" and not now.whole.encoder.reads_image:
            name = trial.components["encoder"].name
            raise CompositionError(
                f"phase '{phase.name}' trains the encoder '{name}' by contrast, but it gives the same tokens for every"
                f" image, so there is nothing to tell apart. Leave the phase out for it: name the encoders that it is"
                " for, as 'only: {encoder: [...]}'"
            )
        chosen = trainable(now.whole, phase, now.adapted)
        for part in now.narrow & chosen.keys():
            raise CompositionError(
                f"phase '{phase.name}' trains the {part}, whose layers are quantized: train the adapter in its"
                " place, or leave the part out with the quantizer's options"
            )
        now.training.append(sum(parameter.numel() for parameters in chosen.values() for parameter in parameters))
        if not now.training[-1]:
            raise CompositionError(nothing_trains(phase))

    def _attached(self, trial: Trial, model: VisionLanguageModel) -> Attached:
        def attach(to: VisionLanguageModel) -> Attached:
            return to, *attach_adapter(trial, self.registry, to)

        def attach_really() -> Attached:
            made = build_model(trial, self.registry, corpus_of(trial, self.data.dataset(trial)))
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

        corpus = corpus_of(trial, self.data.dataset(trial))
        return on_meta(lambda: quantized(model), lambda: quantized(build_model(trial, self.registry, corpus)))

    def _finish(self, trial: Trial, now: _Model, shared: list[list[str]]) -> dict[str, tuple[str, int]]:
        """Merge and quantize, as for the evaluation; returns the weights that are no longer shared once merged."""
        apart = {}
        try:
            if now.adapter is not None:
                with naming("adapter", trial.components["adapter"].name):
                    now.adapter.merge(now.whole)
                apart = separated(now.whole, shared)
            if now.quantizes is None:
                before = _weights_of(now.whole.encoder)
                quantize(trial, self.registry, now.whole)
                now.quantizes = _weights_of(now.whole.encoder) != before
        except CompositionError as error:
            # Code that looks at numbers finds none here and is not to blame: only what it complains of itself counts.
            if isinstance(error.__cause__, UserError):
                raise
            now.quantizes = True if now.quantizes is None else now.quantizes
        return apart


@dataclass
class _Model:
    """A model on its way through the phases: the adapter put on it and that one's parameters, the parts that lost
    weights to the quantizer and whether that changes the encoder (None: not quantized so far), and how many parameters
    trained in each phase."""

    whole: VisionLanguageModel
    adapter: Adapter | None = None
    adapted: list[nn.Parameter] = field(default_factory=list)
    narrow: frozenset[Part] = frozenset()
    quantizes: bool | None = None
    training: list[int] = field(default_factory=list)


def _weights_of(module: nn.Module) -> dict[str, tuple]:
    return {name: (id(each), each.shape, each.dtype) for name, each in module.state_dict(keep_vars=True).items()}


def _read(trial: Trial) -> tuple[object, ...]:
    """What says which texts the decoder reads, and how many tokens it writes."""
    evaluation = trial.evaluation
    phases = [(phase.objective, phase.tasks, bool(phase.validate_with)) for phase in trial.phases]
    return evaluation.split, evaluation.task, evaluation.limit, evaluation.max_new_tokens, *phases


def _trained(trial: Trial) -> list[tuple[str, tuple[str, ...], bool]]:
    return [(phase.name, phase.train, phase.quantized) for phase in trial.phases]
