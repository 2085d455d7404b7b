"""Whether the components of every trial fit each other and their data: told before anything runs, all at once.

Models are built on the meta device, without memory or weights; what trials share is built once.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from workbench.compose import (
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
from workbench.contracts import Adapter, Dataset
from workbench.errors import UserError, did_you_mean
from workbench.evaluate import examples_by_picture
from workbench.model import VisionLanguageModel
from workbench.train import nothing_trains, training_examples
from workbench.trial import Trial

if TYPE_CHECKING:
    from workbench.registry import Registry

MODEL = ("dataset", "encoder", "connector", "fusion", "language_model")

Size = tuple[int, int]
Attached = tuple[VisionLanguageModel, Adapter, list[nn.Parameter]]


def sizes_of(trials: Iterable[Trial], registry: Registry) -> dict[str, Size]:
    """By trial id: the parameters of the finished model, and how many of them train in the last phase.

    `CompositionError` tells everything that does not fit, each with the trials that have it.
    """
    bench = _Bench(registry)
    sizes: dict[str, Size] = {}
    problems: dict[str, list[Trial]] = {}
    for trial in trials:
        for look in (bench.check_data, bench.check_metrics, bench.size):
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


class _Bench:
    """Builds what is needed and remembers it, failures as well."""

    def __init__(self, registry: Registry):
        self.registry = registry
        self._known: dict[str, Any] = {}

    def check_data(self, trial: Trial) -> None:
        """The dataset has the splits, tasks and examples that are asked of it."""
        key = _specs(trial, "dataset"), [phase.tasks for phase in trial.phases], trial.evaluation
        self._once(key, lambda: _check_data(trial, self._dataset(trial)))

    def check_metrics(self, trial: Trial) -> None:
        """The metrics can be built."""
        self._once([metric.spec() for metric in trial.metrics], lambda: build_metrics(trial, self.registry))

    def size(self, trial: Trial) -> Size:
        """The size of the trial's model, which neither the seed nor the length of a phase changes."""
        key = _specs(trial, *MODEL, "adapter", "quantizer"), [(phase.name, phase.train) for phase in trial.phases]
        return self._once(key, lambda: self._size(trial))

    def _size(self, trial: Trial) -> Size:
        model, training = self._model(trial), 0
        total = count_parameters(model)
        adapter, adapted = None, []
        for phase in trial.phases:
            if adapter is None and "adapter" in phase.train:
                model, adapter, adapted = self._attached(trial, model)
            parts = trainable(model, phase, adapted)
            training = sum(parameter.numel() for parameters in parts.values() for parameter in parameters)
            if not training:
                raise CompositionError(nothing_trains(phase))
        self._finish(trial, model, adapter)
        return total, training

    def _model(self, trial: Trial) -> VisionLanguageModel:
        """The trial's model; encoder and language model, which may come from files, are copied from remembered ones."""
        encoder = self._once(_specs(trial, "encoder"), lambda: self._create(trial, "encoder"))
        language_model = self._once(
            _specs(trial, "dataset", "language_model"),
            lambda: self._create(trial, "language_model", corpus_of(trial, self._dataset(trial))),
        )
        connector = self._create(trial, "connector", encoder.shape, language_model.shape.width)
        fusion = self._create(trial, "fusion", connector.shape, language_model.shape)
        return VisionLanguageModel(copy.deepcopy(encoder), connector, fusion, copy.deepcopy(language_model))

    def _attached(self, trial: Trial, model: VisionLanguageModel) -> Attached:
        def attach(to: VisionLanguageModel) -> Attached:
            return to, *attach_adapter(trial, self.registry, to)

        corpus = corpus_of(trial, self._dataset(trial))
        return _on_meta(lambda: attach(model), lambda: attach(build_model(trial, self.registry, corpus)))

    def _finish(self, trial: Trial, model: VisionLanguageModel, adapter: Adapter | None) -> None:
        """Merge and quantize, as for the evaluation."""
        try:
            if adapter is not None:
                with naming("adapter", trial.components["adapter"].name):
                    adapter.merge(model)
            quantize(trial, self.registry, model)
        except CompositionError as error:
            # Code that looks at numbers finds none here and is not to blame: only what it complains of itself counts.
            if isinstance(error.__cause__, UserError):
                raise

    def _create(self, trial: Trial, kind: str, *positional: Any) -> Any:
        def make() -> Any:
            return create(trial, kind, self.registry, *positional)

        return _on_meta(make, lambda: make().to("meta"))

    def _dataset(self, trial: Trial) -> Dataset:
        return self._once(("made", _specs(trial, "dataset")), lambda: build_dataset(trial, self.registry))

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


def _on_meta(make: Callable[[], Any], make_really: Callable[[], Any]) -> Any:
    """What `make` gives on the meta device. Code that looks at numbers cannot run there: it is run for real."""
    try:
        with torch.device("meta"):
            return make()
    except CompositionError as error:
        if isinstance(error.__cause__, UserError):
            raise
        return make_really()


def _specs(trial: Trial, *kinds: str) -> list[tuple[str, Any]]:
    return [(kind, trial.components[kind].spec()) for kind in kinds]


def _check_data(trial: Trial, dataset: Dataset) -> None:
    name, evaluation = trial.components["dataset"].name, trial.evaluation
    with naming("dataset", name):
        tasks, splits = tuple(dataset.tasks()), tuple(dataset.splits())
    asked = [("evaluation", "task", evaluation.task, tasks), ("evaluation", "split", evaluation.split, splits)]
    for phase in trial.phases:
        asked += [(f"phase '{phase.name}'", "task", task, tasks) for task in phase.tasks]
    unknown = [
        f"{where}: the dataset '{name}' has no {what} '{word}'.{did_you_mean(word, known)}"
        f" {what.capitalize()}s: {', '.join(known)}"
        for where, what, word, known in asked
        if word not in known
    ]
    if unknown:
        raise CompositionError("\n".join(unknown))
    with naming("dataset", name):
        examples_by_picture(dataset, evaluation)
        for phase in trial.phases:
            training_examples(dataset, phase.tasks)


def _where(trials: Sequence[Trial]) -> str:
    """Which trials have a problem."""
    more = f" and {len(trials) - 1} more" if len(trials) > 1 else ""
    return f"[trial '{trials[0].label}'{more}]"
