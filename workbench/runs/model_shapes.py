"""The models of trials without weights: built on the meta device, which takes neither memory nor time to draw them."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from workbench.config.component import Component
from workbench.config.trial import Trial
from workbench.model.build import corpus_of, create
from workbench.model.vision_language_model import VisionLanguageModel
from workbench.runs.memo import Memo
from workbench.runs.meta_device import on_meta

if TYPE_CHECKING:
    from workbench.checkpoints.tokenizer import Corpus, Tokenizer
    from workbench.contracts.dataset import Dataset
    from workbench.registry import Registry


class Datasets(Protocol):
    """Who has the datasets of trials, each read once."""

    def dataset(self, trial: Trial) -> Dataset:
        """The trial's dataset; `CompositionError` when it cannot be built."""
        ...


class ModelShapes:
    """Builds the shapes of models. Encoder and language model, which may come from files, are read once and copied.
    `corpus` gives what a trial's decoder learns its tokenizer from, by default the text of its dataset."""

    def __init__(self, registry: Registry, data: Datasets, corpus: Callable[[Trial], Corpus] | None = None):
        self.registry = registry
        self.data = data
        self.corpus = corpus or self._own_corpus
        self._memo = Memo()
        self._tokenizers: dict[Component, dict[int, Tokenizer]] = {}  # by dataset: those trained on its text

    def of(self, trial: Trial) -> VisionLanguageModel:
        """The trial's model: its sizes, its tokenizer, its preprocessing. `CompositionError` when its parts do not fit
        each other."""
        parts = trial.components
        encoder = self._memo.once((parts["encoder"],), lambda: self._create(trial, "encoder"))
        language_model = self._memo.once(
            (parts["dataset"], parts["language_model"]),
            lambda: self._create(trial, "language_model", self.corpus(trial)),
        )
        connector = self._create(trial, "connector", encoder.shape, language_model.shape.width)
        fusion = self._create(trial, "fusion", connector.shape, language_model.shape)
        return VisionLanguageModel(copy.deepcopy(encoder), connector, fusion, copy.deepcopy(language_model))

    def _own_corpus(self, trial: Trial) -> Corpus:
        """The text of the trial's dataset; a tokenizer of a size is trained on it once."""
        trained = self._tokenizers.setdefault(trial.components["dataset"], {})
        return corpus_of(trial, self.data.dataset(trial), None, trained)

    def _create(self, trial: Trial, kind: str, *positional: Any) -> Any:
        def make() -> Any:
            return create(trial, kind, self.registry, *positional)

        return on_meta(make, lambda: make().to("meta"), trial.components[kind].options)
