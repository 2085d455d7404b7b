"""A trial in a folder of its own: written whole, and read back to a model that computes the same bits.

config.json             the trial's spec and record, and which parts have files here
weights.safetensors     all weights but those that are still as the parts' files have them; quantized, all of them
adapter.safetensors     what the adapter trained, where it is kept apart
tokenizer.json          the tokenizer
adapter_peft/           the same in peft's own format, where the adapter can write it
encoder/, language_model/, adapter/   what pretrained parts were read from; quantized, without the wide weights
plugins/                sources of plugins that are not the workbench's own: to be read, and given with --plugins
README.md               the model card
llava/                  on request: the model as transformers' LlavaForConditionalGeneration
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import shutil
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

import workbench
from workbench.checkpoints.tokenizer import Corpus
from workbench.checkpoints.weights import load_into, read_weights
from workbench.config.component_files import licence_of
from workbench.config.experiment import plugin_folders
from workbench.config.phase import trains_quantized
from workbench.config.trial import Trial
from workbench.contracts.quantizer import FULL_BITS
from workbench.errors import UserError
from workbench.inference.llava_export import write_llava
from workbench.inference.load_trial import FinishedTrial, trial_of
from workbench.inference.model_card import CARD, model_card
from workbench.inference.part_files import copy_parts, make_room
from workbench.model.build import build_model, create, quantize
from workbench.model.restore import SHARED, RestoredModel, prepare_for_evaluation, restore
from workbench.model.shared_weights import separate_weights, shared_weights
from workbench.model.vision_language_model import VisionLanguageModel
from workbench.registry import Registry, load_registry
from workbench.storage.artifacts import TOKENIZER, WEIGHTS, Artifact
from workbench.storage.atomic import new_folder
from workbench.storage.older_records import record_of, weights_of
from workbench.storage.places import is_there, regular, unusable
from workbench.storage.records import altered_files
from workbench.storage.result_files import ResultsError

CONFIG, ADAPTER, PEFT, PLUGINS, LLAVA = "config.json", "adapter.safetensors", "adapter_peft", "plugins", "llava"
FORMAT, VERSION = "workbench_export", 2


@dataclass(frozen=True)
class Exported:
    """A trial that was exported to `folder`."""

    folder: Path
    config: dict[str, Any]
    trial: Trial
    registry: Registry

    def model(self) -> VisionLanguageModel:
        """Its model as it was evaluated, on the CPU. Raises `CheckpointError` where the weights do not fit it."""
        corpus = Corpus(_no_texts, self.folder / TOKENIZER)
        apart, shared = self.config["adapter"] == "separate", self.config.get(SHARED)
        weights = read_weights(self.folder / WEIGHTS) | (read_weights(self.folder / ADAPTER) if apart else {})
        if self.config["quantized"]:
            model = build_model(self.trial, self.registry, corpus)
            if shared is not None:
                separate_weights(model, shared)
            make_room(model)
            quantize(self.trial, self.registry, model)
            load_into(model, _with_shared(weights, model), self.folder / WEIGHTS)
            return model.eval()
        summary = {"adapter": apart, "quantized": trains_quantized(self.trial.phases)}
        summary |= {} if shared is None else {SHARED: shared}
        before = Artifact(self.folder, weights, corpus.tokenizer_file, summary, [])
        restored = restore(before, self.trial, (), self.registry, corpus)
        prepare_for_evaluation(restored, self.trial, self.registry)
        return restored.model.eval()


def export(finished: FinishedTrial, out: Path, separate: bool = False, llava: bool = False) -> None:
    """Write the folder, all of it or nothing.

    With `separate`, what the adapter trained is kept in a file of its own, as it always is beside weights that were
    quantized before it was trained, and the weights are those before the trial's quantizer; with `llava`, a folder
    `llava` in it is the model as transformers loads it, not quantized. Raises `UserError` where the folder is there,
    or the trial has no such form.
    """
    _check_files(finished, out)
    restored = finished.restored()
    _check(finished.record.id, restored, separate, llava)
    separate = separate or (restored.adapter is not None and bool(restored.packed))  # none merges into narrow weights
    trial, registry = finished.trial, finished.registry
    quantized = not separate and not restored.packed and create(trial, "quantizer", registry).bits < FULL_BITS
    adapter = "none" if restored.adapter is None else "separate" if separate else "merged"
    with new_folder(out) as folder:
        spec, parts = copy_parts(trial, registry, folder, weights=not quantized)
        if separate:
            _write_apart(restored, folder)
        _merge(restored)
        shared = None if separate else shared_weights(restored.model)
        if llava:
            write_llava(restored.model, trial, folder / LLAVA)
        if quantized:
            quantize(trial, registry, restored.model)
            _save(_once(restored.model.state_dict(keep_vars=True)), folder / WEIGHTS)
        elif not separate:
            _save(_changed(restored), folder / WEIGHTS)
        (folder / TOKENIZER).write_text(restored.model.language_model.tokenizer.json(), encoding="utf-8")
        _copy_plugins(finished, folder / PLUGINS)
        _write_config(
            finished, folder, {"adapter": adapter, "quantized": quantized, SHARED: shared, "parts": parts, "spec": spec}
        )
        _write_card(finished, folder, adapter, parts)


def is_exported(folder: Path) -> bool:
    """Whether an exported trial lies there, whole or damaged: its config.json says so."""
    try:
        return FORMAT in json.loads(regular(folder / CONFIG).read_text(encoding="utf-8"))
    except (OSError, ValueError, TypeError, RecursionError):
        return False


def read_exported(folder: Path, folders: Sequence[Path] = ()) -> Exported:
    """The trial in an exported folder. Code that lies in it is run only when `folders`, those of plugins, name it.
    Raises `ResultsError` for a folder that is damaged or of another version."""
    config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    if config[FORMAT] != VERSION:
        raise ResultsError(f"{folder} was exported by another version of the workbench: {config.get('workbench')}")
    registry = load_registry([*plugin_folders("any.yaml"), *folders])
    try:
        spec, parts = config["spec"], config["parts"]
        for kind, (option, place) in parts.items():
            spec[kind] = {**spec[kind], option: str(folder / place)}
        record = record_of(config["record"])
        trial = trial_of(spec, registry, folder, record["experiment"], record["axes"])
    except ResultsError as error:
        raise ResultsError(f"{folder / CONFIG}: {error}") from error
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ResultsError(f"{folder / CONFIG} is damaged: {error!r}. Export the trial again") from error
    return Exported(folder, {**config, "record": record}, trial, registry)


def _check_files(finished: FinishedTrial, out: Path) -> None:
    """Where it is written there is nothing, and what is read is what was written."""
    if problem := unusable(out):
        raise UserError(f"cannot write to {out}: {problem}")
    if is_there(out):
        raise UserError(f"{out} is there already. Give a folder that is not there yet")
    for name in altered_files(finished.folder, finished.record):  # of which a model card tells
        raise ResultsError(
            f"{finished.folder / name} is not what was written: its checksum differs. Run the experiment"
            f" '{finished.record.experiment}' again"
        )


def _check(trial: str, restored: RestoredModel, separate: bool, llava: bool) -> None:
    """Whether the trial of that id can be written as it is asked for."""
    if separate and restored.adapter is None:
        raise UserError(f"the trial {trial} trained no adapter: leave out --separate-adapter")
    if llava and restored.packed:
        raise UserError(f"the trial {trial} was quantized before it was trained: leave out --llava")


def _write_apart(restored: RestoredModel, folder: Path) -> None:
    """What the adapter trained, in peft's own format as well where it can be, and the weights without it."""
    weights, adapted = restored.model.state_dict(keep_vars=True), {id(parameter) for parameter in restored.adapted}
    _save({name: each for name, each in _changed(restored).items() if id(each) not in adapted}, folder / WEIGHTS)
    _save({name: each for name, each in weights.items() if id(each) in adapted}, folder / ADAPTER)
    if restored.adapter is not None:
        restored.adapter.save(restored.model, folder / PEFT)


def _merge(restored: RestoredModel) -> None:
    """Merge the adapter, which may change a weight where it lies: that is no longer as its file has it."""
    if restored.adapter is None:
        return
    before = _digests(restored)
    restored.adapter.merge(restored.model)
    after = _digests(restored)
    restored.untouched = frozenset(which for which in after if before[which] == after[which])


def _digests(restored: RestoredModel) -> dict[int, bytes]:
    """What tells the bits of each parameter that is as its files have it."""
    found = {
        id(each): each.detach().cpu().flatten()
        for each in restored.model.parameters()
        if id(each) in restored.untouched
    }
    return {which: hashlib.sha256(each.view(torch.uint8).numpy().data).digest() for which, each in found.items()}


def _changed(restored: RestoredModel) -> dict[str, Tensor]:
    """The weights that are not as their files have them."""
    weights = restored.model.state_dict(keep_vars=True)
    return {name: each for name, each in weights.items() if not restored.as_in_files(name, each)}


def _once(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Each tensor under the first of its names: a decoder may share its embedding with its head."""
    first = {id(each): name for name, each in reversed(weights.items())}
    return {name: weights[name] for name in first.values()}


def _with_shared(weights: dict[str, Tensor], model: nn.Module) -> dict[str, Tensor]:
    """Weights that were saved once, under every name that the model has for them now."""
    own = {name: id(each) for name, each in model.state_dict(keep_vars=True).items()}
    weights = weights_of(weights, own)
    saved = {own[name]: weight for name, weight in weights.items() if name in own}
    return weights | {name: saved[which] for name, which in own.items() if which in saved}


def _save(weights: Mapping[str, Tensor], file: Path) -> None:
    """Copies, because safetensors takes no two names for one tensor."""
    from safetensors.torch import save_file

    save_file({name: each.detach().cpu().contiguous().clone() for name, each in weights.items()}, file)


def _copy_plugins(finished: FinishedTrial, folder: Path) -> None:
    """The sources of the trial's plugins from the user's own folders, with what they share."""
    own = finished.registry.folders
    for component in (*finished.trial.components.values(), *finished.trial.metrics):
        file = Path(finished.registry.plugin(component.kind, component.name).source).resolve()
        if file.is_file() and any(each == file or each in file.parents for each in own):
            target = folder / component.kind
            target.mkdir(parents=True, exist_ok=True)
            for source in (file, *file.parent.glob("_*.py")):
                shutil.copyfile(source, target / source.name)


def _write_config(finished: FinishedTrial, folder: Path, form: Mapping[str, Any]) -> None:
    """The form that the trial was written in, and its record, in which JSON has no number for what is none."""
    record = dataclasses.asdict(finished.record)
    metrics = {name: value if math.isfinite(value) else None for name, value in record["metrics"].items()}
    config = {FORMAT: VERSION, "workbench": workbench.__version__, **form, "record": {**record, "metrics": metrics}}
    (folder / CONFIG).write_text(json.dumps(config, indent=1, allow_nan=False) + "\n", encoding="utf-8")


def _write_card(finished: FinishedTrial, folder: Path, adapter: str, parts: Collection[str]) -> None:
    """The model card, which tells how large everything else in the folder is."""
    licences = {kind: licence_of(folder / kind) for kind in parts}
    size = sum(file.stat().st_size for kind in ("", *parts) for file in (folder / kind).glob("*") if file.is_file())
    (folder / CARD).write_text(model_card(finished, adapter, size, licences), encoding="utf-8")


def _no_texts() -> Iterator[str]:
    raise ResultsError(f"the exported folder lacks its {TOKENIZER}: export the trial again")
    yield
