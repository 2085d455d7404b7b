"""A trial -> its components and its model, and how large that is."""

from __future__ import annotations

import re
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from workbench.checkpoints.tokenizer import Corpus
from workbench.config.component import PARTS, Component, Part
from workbench.config.phase import Phase, trains_quantized
from workbench.config.seeds import derived_seed
from workbench.config.trial import Trial
from workbench.contracts.adapter import Adapter
from workbench.contracts.dataset import Dataset
from workbench.contracts.metric import Metric
from workbench.data.broken_images import without_broken_images
from workbench.data.held_out import HeldOutImages
from workbench.errors import UserError, words_of
from workbench.model.vision_language_model import VisionLanguageModel
from workbench.storage.splits import HELD_OUT

if TYPE_CHECKING:
    from workbench.checkpoints.tokenizer import Tokenizer
    from workbench.registry import Registry


class CompositionError(UserError):
    """The border where plugins become one model: components that cannot be built, or do not fit each other."""


@contextmanager
def naming(kind: str, name: str) -> Iterator[None]:
    """Whatever a component raises in the body is told as what is wrong with it, by kind and name."""
    try:
        yield
    except UserError as error:
        raise CompositionError(f"{kind} '{name}' cannot be used: {error}") from error
    except SystemExit as error:
        raise CompositionError(f"{kind} '{name}' cannot be used: {words_of(error)}") from error
    except Exception as error:  # a component is anyone's code: whatever it raises is its own failure
        frame = traceback.extract_tb(error.__traceback__)[-1]
        place = f"{Path(frame.filename).name}, line {frame.lineno}"
        # What torch says of its own code behind that helps nobody here.
        said = re.split(r"\s*\"?\s*(?:Exception raised from|frame #\d+:)", words_of(error))[0]
        message = f"{kind} '{name}' cannot be used: {said} ({type(error).__name__} in {place})"
        raise CompositionError(message) from error


def create(trial: Trial, kind: str, registry: Registry, *positional: Any) -> Any:
    """Build the trial's component of that kind, with its own seed."""
    torch.manual_seed(derived_seed(trial.seed, kind))
    return build(trial.components[kind], registry, *positional)


def build(component: Component, registry: Registry, *positional: Any) -> Any:
    """Build a component, and before it those among its options."""
    held_out = HeldOutImages(component.withheld) if component.withheld else None
    return _built(component, registry, held_out, *positional)


def arguments_of(component: Component, registry: Registry, held_out: HeldOutImages | None = None) -> dict[str, Any]:
    """What a component is built with: its options, the components among them built. What is `held_out` is chosen out of
    all datasets among them together."""
    options = component.arguments()
    for name, value in options.items():
        if isinstance(value, dict):
            options[name] = {
                key: _built(each, registry, held_out) if isinstance(each, Component) else each
                for key, each in value.items()
            }
    return options


def build_dataset(trial: Trial, registry: Registry) -> Dataset:
    """The data of the trial, without images that cannot be read. Raises `CompositionError` where it cannot be built."""
    return create(trial, "dataset", registry)


def build_model(trial: Trial, registry: Registry, corpus: Corpus) -> VisionLanguageModel:
    """The trial's model with its starting weights; no adapter is attached yet."""
    encoder = create(trial, "encoder", registry)
    language_model = create(trial, "language_model", registry, corpus)
    connector = create(trial, "connector", registry, encoder.shape, language_model.shape.width)
    fusion = create(trial, "fusion", registry, connector.shape, language_model.shape)
    return VisionLanguageModel(encoder, connector, fusion, language_model)


def corpus_of(
    trial: Trial, dataset: Dataset, tokenizer_file: Path | None = None, trained: dict[int, Tokenizer] | None = None
) -> Corpus:
    """The text a tokenizer is trained on: questions and answers of every task, of the training split only. `trained`
    holds those that were trained on it before, and takes new ones."""

    def texts() -> Iterator[str]:
        for task in dataset.tasks():
            for example in dataset.examples("train", task):
                for turn in example.history:
                    yield from (turn.question, turn.answer)
                yield from (example.question, *example.answers)

    return Corpus(texts, tokenizer_file, {} if trained is None else trained)


def attach_adapter(trial: Trial, registry: Registry, model: VisionLanguageModel) -> tuple[Adapter, list[nn.Parameter]]:
    """Attach the trial's adapter; returns it with the parameters it trains."""
    adapter = create(trial, "adapter", registry)
    torch.manual_seed(derived_seed(trial.seed, "adapter weights"))
    with naming("adapter", trial.components["adapter"].name):
        return adapter, adapter.attach(model)


def quantize(trial: Trial, registry: Registry, model: VisionLanguageModel) -> None:
    """Quantize the model with the trial's quantizer."""
    quantizer = create(trial, "quantizer", registry)
    with naming("quantizer", trial.components["quantizer"].name):
        if trains_quantized(trial.phases) and not quantizer.differentiable:
            raise CompositionError(
                "no gradient passes through its layers, so nothing can train on them: leave out the phases' 'quantized'"
            )
        quantizer.quantize(model)


def build_metrics(trial: Trial, registry: Registry) -> dict[str, Metric]:
    """The metrics of the trial, by the names they have in its record."""
    return {each.name: build(each, registry) for each in trial.metrics}


def trainable(model: VisionLanguageModel, phase: Phase, adapted: list[nn.Parameter]) -> dict[Part, list[nn.Parameter]]:
    """The parameters that train in a phase, by part; every other parameter is frozen."""
    model.requires_grad_(False)
    own = {id(parameter) for parameter in adapted}
    parts: dict[Part, list[nn.Parameter]] = {}
    for part in PARTS:
        if part not in phase.train:
            continue
        if part == "adapter":
            chosen = adapted
        else:
            chosen = [each for each in getattr(model, part).parameters() if id(each) not in own]
        for parameter in chosen:
            parameter.requires_grad_(True)
        parts[part] = chosen
    return parts


def uses_adapter(phases: tuple[Phase, ...]) -> bool:
    """Whether one of these phases trains the adapter: from there on it is attached."""
    return any("adapter" in phase.train for phase in phases)


def count_parameters(model: nn.Module) -> int:
    """How many numbers the parameters hold, those of shared ones counted once."""
    return sum(parameter.numel() for parameter in model.parameters())


def count_bytes(model: nn.Module) -> int:
    """Bytes of weights as they lie in memory: parameters and persistent buffers, shared ones once."""
    tensors = {id(tensor): tensor for tensor in model.state_dict(keep_vars=True).values()}
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())


def _built(component: Component, registry: Registry, held_out: HeldOutImages | None, *positional: Any) -> Any:
    options = arguments_of(component, registry, held_out)
    with naming(component.kind, component.name):
        made = registry.create(component.kind, component.name, *positional, **options)
        if not isinstance(made, Dataset):
            return made
        whole = without_broken_images(made)
        if held_out is None:
            return whole
        if not any(component.parts()):
            return held_out.out_of(whole)
        # Its parts have the split: one that does not hand it on has images held out of it as a whole as well.
        return whole if HELD_OUT in whole.splits() else held_out.of_whole().out_of(whole)
