"""A trial's model as the stages before left it, with its adapter, and how it is made ready for its evaluation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import Tensor, nn

from workbench.checkpoints import load_into
from workbench.compose import attach_adapter, build_model, count_parameters, quantize, uses_adapter
from workbench.contracts import Adapter, Corpus
from workbench.keys import files_of
from workbench.model import VisionLanguageModel
from workbench.trial import Phase, Trial

if TYPE_CHECKING:
    from workbench.artifacts import Artifact
    from workbench.registry import Registry


@dataclass
class Built:
    """A model as the stage before left it. `untouched` are the ids of the parameters that are as their files have
    them: whoever builds the model again gets them from there, so no stage keeps them."""

    model: VisionLanguageModel
    adapter: Adapter | None
    adapted: list[nn.Parameter]
    before: Artifact | None
    untouched: frozenset[int]


def build_on(
    before: Artifact | None, trial: Trial, phases: tuple[Phase, ...], registry: Registry, corpus: Corpus
) -> Built:
    """The trial's model with the weights of the stage before, and its adapter when one of `phases` trains it."""
    model = build_model(trial, registry, corpus)
    untouched = weights_of_files(trial, model, registry)
    attached = before is not None and bool(before.summary["adapter"])
    adapter, adapted = attach_adapter(trial, registry, model) if attached else (None, [])
    if before is not None:
        module = model.encoder if before.tokenizer_file is None else model
        loaded = load_changed(module, before.weights, untouched, str(before.folder))
        untouched -= loaded
    if not attached and uses_adapter(phases):
        adapter, adapted = attach_adapter(trial, registry, model)
    return Built(model, adapter, adapted, before, frozenset(untouched))


def weights_of_files(trial: Trial, model: VisionLanguageModel, registry: Registry) -> set[int]:
    """The ids of all parameters of the parts whose starting weights come from files."""
    parts = {"encoder": model.encoder, "language_model": model.language_model}
    read = [part for kind, part in parts.items() if files_of(trial.components[kind], registry)]
    return {id(parameter) for part in read for parameter in part.parameters()}


def load_changed(module: nn.Module, weights: dict[str, Tensor], untouched: set[int], source: str) -> set[int]:
    """Load weights that need not have the `untouched` parameters; returns the ids of what was loaded."""
    own = {name: id(each) for name, each in module.state_dict(keep_vars=True).items()}
    not_kept = [name for name, which in own.items() if which in untouched]
    load_into(module, weights, source, allow_missing=not_kept)
    return {own[name] for name in weights}


def finish(built: Built, trial: Trial, registry: Registry) -> int:
    """Merge the adapter and quantize, as for the evaluation; returns the number of parameters before the latter."""
    if built.adapter is not None:
        built.adapter.merge(built.model)
    parameters = count_parameters(built.model)
    quantize(trial, registry, built.model)
    return parameters
