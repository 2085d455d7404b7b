"""A trial in a folder of its own: written whole, and read back to a model that computes the same bits.

config.json             the trial's spec and record, and which parts have files here
weights.safetensors     all weights but those that are still as the parts' files have them
adapter.safetensors     what the adapter trained, where it is kept apart
tokenizer.json          the tokenizer
adapter_peft/           the same in peft's own format, where the adapter can write it
encoder/, language_model/, adapter/   what pretrained parts were read from
plugins/                sources of plugins that are not the workbench's own: to be read, and given with --plugins
README.md               the model card
llava/                  on request: the model as transformers' LlavaForConditionalGeneration
"""

from __future__ import annotations

import dataclasses
import json
import math
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

import workbench
from workbench.artifacts import TOKENIZER, WEIGHTS, Artifact
from workbench.atomic import new_folder
from workbench.built import Built, build_on, finish
from workbench.checkpoints import read_weights
from workbench.contracts import Corpus
from workbench.errors import UserError
from workbench.experiment import plugin_folders
from workbench.finished import Finished, trial_of
from workbench.hugging_face import TEXTS, checkpoint_files, checkpoint_folder
from workbench.keys import files_of
from workbench.llava_folder import write_llava
from workbench.model import VisionLanguageModel
from workbench.model_card import CARD, model_card
from workbench.registry import Registry, load_registry
from workbench.trial import Component, Trial, trains_quantized

CONFIG, ADAPTER, PLUGINS, LLAVA = "config.json", "adapter.safetensors", "plugins", "llava"
FORMAT, VERSION = "workbench_export", 1
CHECKPOINT = "checkpoint"  # the option with which a part names its pretrained files, on disk or on the hub
PARTS = ("encoder", "language_model", "adapter")


class ExportError(UserError):
    """A folder that cannot be written, or that holds no exported trial."""


@dataclass(frozen=True)
class Exported:
    """A trial that was exported to `folder`."""

    folder: Path
    config: dict[str, Any]
    trial: Trial
    registry: Registry

    def model(self) -> VisionLanguageModel:
        """Its model as it was evaluated."""
        apart = self.config["adapter"] == "separate"
        weights = read_weights(self.folder / WEIGHTS) | (read_weights(self.folder / ADAPTER) if apart else {})
        summary = {"adapter": apart, "quantized": trains_quantized(self.trial.phases)}
        before = Artifact(self.folder, weights, self.folder / TOKENIZER, summary, [])
        built = build_on(before, self.trial, (), self.registry, Corpus(_no_texts, before.tokenizer_file))
        finish(built, self.trial, self.registry)
        return built.model.eval()


def export(finished: Finished, out: Path, separate: bool = False, llava: bool = False) -> None:
    """Write the folder, all of it or nothing.

    With `separate`, what the adapter trained is kept in a file of its own, as it always is beside weights that were
    quantized before it was trained; with `llava`, a folder `llava` in it is the
    model as transformers loads it, not quantized.
    """
    if out.exists():
        raise ExportError(f"{out} is there already. Give a folder that is not there yet")
    built = finished.built()
    if separate and built.adapter is None:
        raise ExportError(f"the trial {finished.record.id} trained no adapter: leave out --separate-adapter")
    if llava and built.packed:
        raise ExportError(f"the trial {finished.record.id} was quantized before it was trained: leave out --llava")
    separate = separate or (built.adapter is not None and bool(built.packed))  # into narrow weights none can be merged
    with new_folder(out, ExportError) as folder:
        spec, parts = _with_parts(finished, folder)
        _write_weights(built, folder, separate)
        (folder / TOKENIZER).write_text(built.model.language_model.tokenizer.json(), encoding="utf-8")
        _copy_plugins(finished, folder / PLUGINS)
        record = dataclasses.asdict(finished.record)
        metrics = {name: value if math.isfinite(value) else None for name, value in record["metrics"].items()}
        adapter = "none" if built.adapter is None else "separate" if separate else "merged"
        config = {FORMAT: VERSION, "workbench": workbench.__version__, "adapter": adapter, "parts": parts}
        config |= {"spec": spec, "record": {**record, "metrics": metrics}}
        (folder / CONFIG).write_text(json.dumps(config, indent=1, allow_nan=False) + "\n", encoding="utf-8")
        licences = {kind: _licence(folder / kind) for kind in parts}
        (folder / CARD).write_text(model_card(finished, adapter, licences), encoding="utf-8")
        if llava:
            write_llava(built.model, finished.trial, folder / LLAVA)


def is_exported(folder: Path) -> bool:
    """Whether an exported trial lies there."""
    try:
        return FORMAT in json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    except (OSError, ValueError, TypeError):
        return False


def read_exported(folder: Path, folders: Sequence[Path] = ()) -> Exported:
    """The trial in an exported folder. Code that lies in it is run only when `folders`, those of plugins, name it."""
    config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    if config[FORMAT] != VERSION:
        raise ExportError(f"{folder} was exported by another version of the workbench: {config.get('workbench')}")
    registry = load_registry([*plugin_folders("any.yaml"), *folders])
    try:
        spec, parts = config["spec"], config["parts"]
        for kind, (option, place) in parts.items():
            spec[kind] = {**spec[kind], option: str(folder / place)}
        record = config["record"]
        trial = trial_of(spec, registry, folder, record["experiment"], record["axes"])
    except (KeyError, TypeError, ValueError) as error:
        raise ExportError(f"{folder / CONFIG} is damaged: {error!r}. Export the trial again") from error
    return Exported(folder, config, trial, registry)


def _with_parts(finished: Finished, folder: Path) -> tuple[dict[str, Any], dict[str, tuple[str, str]]]:
    """The spec, and for each part with files the option that names them and where they are copied to."""
    spec, parts = dict(finished.trial.spec()), {}
    for kind in PARTS:
        component = finished.trial.components[kind]
        option, files, source = _files(component, finished.registry)
        if option is None:
            continue
        (folder / kind).mkdir()
        own = source if source.is_dir() else source.parent
        told = [each for each in (*sorted(own.glob("LICEN[SC]E*")), own / CARD) if each.is_file()]
        for file in (*files, *told):
            shutil.copyfile(file, folder / kind / file.name)
        place = f"{kind}/{source.name}" if source.is_file() else kind
        spec[kind] = {**spec[kind], option: place}
        parts[kind] = (option, place)
    return spec, parts


def _files(component: Component, registry: Registry) -> tuple[str | None, Sequence[Path], Path]:
    """The option that names a part's files, these, and their folder or the one file. What has none here may name a
    `checkpoint` of the hub."""
    files = files_of(component, registry)
    for name, value in component.arguments().items():
        if isinstance(value, (str, Path)) and files:
            path = Path(value)
            if all(path == file or path in file.parents for file in files):
                return name, files, path
    hub = component.arguments().get(CHECKPOINT)
    if not isinstance(hub, str) or files:
        return None, (), Path()
    folder = checkpoint_folder(hub, TEXTS)
    return CHECKPOINT, checkpoint_files(str(folder)), folder


def _write_weights(built: Built, folder: Path, separate: bool) -> None:
    """What is not in the files of the parts; the model is left with its adapter merged."""
    from safetensors.torch import save_file

    adapted = {id(parameter) for parameter in built.adapted} if separate else set()
    if built.adapter is not None and not separate:
        built.adapter.merge(built.model)
    weights = built.model.state_dict(keep_vars=True)
    changed = {
        name: each for name, each in weights.items() if id(each) not in adapted and not built.as_in_files(name, each)
    }
    save_file(_plain(changed), folder / WEIGHTS)
    if separate and built.adapter is not None:
        save_file(_plain({name: each for name, each in weights.items() if id(each) in adapted}), folder / ADAPTER)
        write_as_peft = getattr(built.adapter, "save", None)
        if write_as_peft is not None:
            write_as_peft(built.model, folder / "adapter_peft")
        built.adapter.merge(built.model)


def _plain(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Copies, because safetensors takes no two names for one tensor, and a decoder may tie its head."""
    return {name: each.detach().cpu().contiguous().clone() for name, each in weights.items()}


def _copy_plugins(finished: Finished, folder: Path) -> None:
    """The sources of the trial's plugins from the user's own folders, with what they share."""
    own = finished.registry.folders
    for component in (*finished.trial.components.values(), *finished.trial.metrics):
        file = Path(finished.registry.entry(component.kind, component.name).source).resolve()
        if file.is_file() and any(each == file or each in file.parents for each in own):
            target = folder / component.kind
            target.mkdir(parents=True, exist_ok=True)
            for source in (file, *file.parent.glob("_*.py")):
                shutil.copyfile(source, target / source.name)


def _licence(folder: Path) -> str:
    """What a part's own model card or licence file says."""
    card = folder / CARD
    if card.is_file():
        for line in card.read_text(encoding="utf-8", errors="replace").splitlines()[:60]:
            key, _, value = line.partition(":")
            if key.strip() in ("license", "licence") and value.strip():
                return value.strip()
    files = sorted(folder.glob("LICEN[SC]E*"))
    return f"see {folder.name}/{files[0].name}" if files else ""


def _no_texts() -> Iterator[str]:
    raise ExportError(f"the exported folder lacks its {TOKENIZER}: export the trial again")
    yield
