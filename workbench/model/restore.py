"""A trial's model as the stages before left it, with its adapter, and how it is made ready for its evaluation."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import Tensor, nn

from workbench.checkpoints.tokenizer import Corpus
from workbench.checkpoints.weights import load_into
from workbench.config.component_files import files_of
from workbench.config.phase import Phase, trains_quantized
from workbench.config.trial import Trial
from workbench.contracts.adapter import Adapter
from workbench.model.build import attach_adapter, build_model, count_parameters, naming, quantize, uses_adapter
from workbench.model.merge import merge_adapter
from workbench.model.shared_weights import separate_weights
from workbench.model.vision_language_model import VisionLanguageModel
from workbench.storage.older_records import weights_of

if TYPE_CHECKING:
    from workbench.registry import Registry
    from workbench.storage.artifacts import Artifact

SHARED = "shared"  # in a summary: the weights that have several names, where these are fewer than in a new model


@dataclass
class RestoredModel:
    """A model as the stage before left it.

    `untouched` are the ids of the parameters that are as their files have them: whoever builds the model again gets
    them from there, so no stage keeps them. `packed` are the names of the buffers of layers that were quantized before
    training, and whether these were made of such parameters; `parameters_packed` is how many parameters they replace.
    """

    model: VisionLanguageModel
    adapter: Adapter | None
    adapted: list[nn.Parameter]
    before: Artifact | None
    untouched: frozenset[int]
    packed: Mapping[str, bool]
    parameters_packed: int

    def as_in_files(self, name: str, tensor: Tensor) -> bool:
        """Whether a tensor of the model's state is what is made of its files anew."""
        return id(tensor) in self.untouched or self.packed.get(name, False)


def restore(
    before: Artifact | None, trial: Trial, phases: tuple[Phase, ...], registry: Registry, corpus: Corpus
) -> RestoredModel:
    """The trial's model with the weights of the stage before; quantized, and with its adapter, when one of `phases`
    asks for it or the stage before was."""
    model = build_model(trial, registry, corpus)
    if before is not None and SHARED in before.summary:
        separate_weights(model, before.summary[SHARED])
    untouched = weights_of_files(trial, model, registry)
    quantized = before is not None and bool(before.summary.get("quantized"))
    attached = before is not None and bool(before.summary["adapter"])
    layers, count = _quantized(trial, model, registry, untouched) if quantized else ({}, 0)
    adapter, adapted = attach_adapter(trial, registry, model) if attached else (None, [])
    if before is not None:
        module = model.encoder if before.tokenizer_file is None else model
        packed = _names(model, layers)
        remade = [name for name, from_files in packed.items() if from_files]
        untouched -= load_changed(module, before.weights, untouched, str(before.folder), remade)
    if not quantized and trains_quantized(phases):
        layers, count = _quantized(trial, model, registry, untouched)
    if not attached and uses_adapter(phases):
        adapter, adapted = attach_adapter(trial, registry, model)
    loaded = before.weights if quantized and before is not None else {}
    packed = {name: from_files and name not in loaded for name, from_files in _names(model, layers).items()}
    return RestoredModel(model, adapter, adapted, before, frozenset(untouched), packed, count)


def weights_of_files(trial: Trial, model: VisionLanguageModel, registry: Registry) -> set[int]:
    """The ids of all parameters of the parts whose starting weights come from files."""
    parts = {"encoder": model.encoder, "language_model": model.language_model}
    read = [part for kind, part in parts.items() if files_of(trial.components[kind], registry)]
    return {id(parameter) for part in read for parameter in part.parameters()}


def load_changed(
    module: nn.Module, weights: dict[str, Tensor], untouched: set[int], source: str, remade: Iterable[str] = ()
) -> set[int]:
    """Load weights that need not have the `untouched` parameters, nor the buffers that are `remade` of these; returns
    the ids of what was loaded."""
    own = {name: id(each) for name, each in module.state_dict(keep_vars=True).items()}
    weights = weights_of(weights, own)
    not_kept = [name for name, which in own.items() if which in untouched]
    load_into(module, weights, source, allow_missing=[*not_kept, *remade])
    return {own[name] for name in weights}


def prepare_for_evaluation(restored: RestoredModel, trial: Trial, registry: Registry) -> int:
    """Merge the adapter and quantize, as for the evaluation; returns the number of parameters before the latter. Raises
    `CompositionError` where merging changes what the model computes."""
    if restored.adapter is not None:
        with naming("adapter", trial.components["adapter"].name):
            merge_adapter(restored.adapter, restored.model, restored.adapted)
    parameters = count_parameters(restored.model) + restored.parameters_packed
    if not trains_quantized(trial.phases):
        quantize(trial, registry, restored.model)
    return parameters


def _quantized(
    trial: Trial, model: VisionLanguageModel, registry: Registry, untouched: set[int]
) -> tuple[dict[nn.Module, bool], int]:
    """Quantize to train on it: the new layers, with whether they were made of `untouched` weights alone, and how many
    parameters they replace. What is gone is taken out of `untouched`: another tensor may get its id."""
    old, own = set(model.modules()), dict(model.named_parameters(remove_duplicate=False))
    quantize(trial, registry, model)
    left = {id(parameter) for parameter in model.parameters()}
    gone = {name: parameter for name, parameter in own.items() if id(parameter) not in left}
    layers = {}
    for name, module in model.named_modules():
        if module not in old:
            replaced = {id(each) for weight, each in gone.items() if f"{weight}.".startswith(f"{name}.")}
            layers[module] = bool(replaced) and replaced <= untouched
    untouched &= left
    return layers, sum(each.numel() for each in set(gone.values()))


def _names(model: nn.Module, layers: Mapping[nn.Module, bool]) -> dict[str, bool]:
    """The buffers of these layers by name, wherever they stand now."""
    return {
        f"{name}.{buffer}": layers[module]
        for name, module in model.named_modules(remove_duplicate=False)
        if module in layers
        for buffer, _ in module.named_buffers(recurse=False)
    }
