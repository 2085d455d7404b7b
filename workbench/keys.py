"""What the outcome of a stage depends on, by name, and the key that is the hash of it all.

The names are meant to be read: when a kept stage no longer has the key it would get today, comparing what it was made
of with what it would be made of says which file, which data or which version is another one.
"""

from __future__ import annotations

import hashlib
import importlib.util
from collections.abc import Callable, Mapping
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.trial import Component, Settings, Trial, digest

if TYPE_CHECKING:
    from workbench.registry import Registry

MadeOf = dict[str, str]  # "plugin:fusion gated" -> hash of its source, "version:torch" -> "2.13.0", ...

DATA_CODE = (
    *("annotations", "captions", "example", "file_dataset", "frames", "picture_files", "sound", "views"),
    "vqa_files",
)
ENCODER_CODE = (
    *DATA_CODE,
    *(
        "capabilities",
        "checkpoints",
        "compose",
        "contracts",
        "devices",
        "features",
        "gguf",
        "hugging_face",
        "layers",
        "passes",
    ),
    *("pictures", "precision", "preprocessing", "pretrained", "tiles"),
)
TRAINING_CODE = (
    *(*ENCODER_CODE, "batches", "chance", "chat", "contrastive", "curve", "linear_layers", "model", "objectives"),
    *("optimization", "snapshots", "tokenizer", "train", "validation"),
)
EVALUATION_CODE = (
    *TRAINING_CODE,
    "evaluate",
    "generate",
    "huge_pages",
    "inference",
    "outside",
    "plain_text",
    "summary",
    "text_probe",
)
PACKAGES = ("numpy", "pillow", "tokenizers", "torch")  # whose numbers a result is made of

SETTINGS, BEFORE = "settings", "before"
ALONE = "alone"  # the trial that shares this stage with no other


class Ingredients:
    """Looks up what stages are made of, each thing once. `fingerprint` gives that of a trial's data."""

    def __init__(self, registry: Registry, fingerprint: Callable[[Trial], str]):
        self.registry = registry
        self.fingerprint = fingerprint
        self._kept: dict[tuple[str, int], tuple[Any, Any]] = {}

    def spec(self, part: Component | Settings) -> str:
        """The hash of a component's name and options, or of the settings of a phase or an evaluation."""
        return self._once("spec", part, lambda: digest(part.spec()))

    def of_component(self, component: Component, trial: Trial) -> MadeOf:
        """The source of a plugin, the `packages` it names, and the data or the files of weights it reads."""
        return self._once("component", component, lambda: self._of_component(component, trial))

    def files(self, component: Component) -> tuple[Path, ...]:
        """The files that give a component its starting weights, if there are any."""
        return self._once("files", component, lambda: files_of(component, self.registry))

    def _of_component(self, component: Component, trial: Trial) -> MadeOf:
        entry = self.registry.entry(component.kind, component.name)
        made_of = {f"plugin:{entry.kind} {entry.name}": entry.code_hash}
        for part in component.parts():
            made_of[f"plugin:{part.kind} {part.name}"] = self.registry.entry(part.kind, part.name).code_hash
        made_of |= {f"version:{package}": _version(package) for package in getattr(entry.factory, "packages", ())}
        if component.kind == "dataset":
            made_of[f"data:{component.name}"] = self.fingerprint(trial)
        return made_of | {f"file:{component.written(file)}": file_hash(file) for file in self.files(component)}

    def _once(self, what: str, thing: Any, make: Callable[[], Any]) -> Any:
        """By identity, which is quick: trials share their parts. The thing is kept so that no other gets its id."""
        key = what, id(thing)
        if key not in self._kept:
            self._kept[key] = thing, make()
        return self._kept[key][1]


def files_of(component: Component, registry: Registry) -> tuple[Path, ...]:
    """The files that give a component all its starting weights; none when the seed gives any."""
    factory = registry.entry(component.kind, component.name).factory
    find = getattr(factory, "files", None)
    return tuple(Path(file) for file in find(component.arguments())) if find is not None else ()


def file_named(written: str, trial: Trial, registry: Registry) -> Path:
    """The file that the keys of a trial's stages call so (`Component.written`)."""
    for component in (*trial.components.values(), *filter(None, (trial.outside,))):
        for file in files_of(component, registry):
            if component.written(file) == written:
                return file
    return trial.components["language_model"].folder / Path(written).expanduser()


def key_of(made_of: Mapping[str, str]) -> str:
    """The key of what is made of this; the order does not matter."""
    text = "\n".join([f"{name}={made_of[name]}" for name in sorted(made_of)])
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def core_code(modules: tuple[str, ...]) -> MadeOf:
    """The source of modules of the core, and the packages they compute with."""
    return {**{f"code:workbench/{module}.py": _module_hash(module) for module in modules}, **_versions()}


def differences(before: Mapping[str, str], now: Mapping[str, str], registry: Registry) -> list[str]:
    """What is another one now, in words: `plugins/fusion/gated.py changed`, `torch 2.12.0 -> 2.13.0`."""
    changed = [name for name in sorted({*before, *now}) if before.get(name) != now.get(name)]
    told = [_told(name, before, now, registry) for name in changed if name not in (SETTINGS, BEFORE, ALONE)]
    return told or (["its settings changed"] if SETTINGS in changed else [])


def file_hash(file: Path) -> str:
    """The hash of a file's content; for a folder, of all files in it. Of a file that is gone, one that none has."""
    members = sorted(each for each in file.rglob("*") if each.is_file()) if file.is_dir() else [file]
    return digest([(each.name, _hash_of(each, *_stamp(each)) if each.exists() else None) for each in members])


def _told(name: str, before: Mapping[str, str], now: Mapping[str, str], registry: Registry) -> str:
    what, _, thing = name.partition(":")
    if what == "version":
        return f"{thing} {before.get(name, 'none')} -> {now.get(name, 'none')}"
    if what == "plugin":
        thing = registry.entry(*thing.split(" ", 1)).source
    if what == "data":
        thing = f"the data of {thing}"
    return f"{thing} {'is new' if name not in before else 'is gone' if name not in now else 'changed'}"


@cache
def _module_hash(module: str) -> str:
    specification = importlib.util.find_spec(f"workbench.{module}")
    if specification is None or specification.origin is None:
        raise ImportError(f"workbench.{module} is missing from this installation")
    return hashlib.sha256(Path(specification.origin).read_bytes()).hexdigest()[:16]


@cache
def _versions() -> MadeOf:
    return {f"version:{package}": _version(package) for package in PACKAGES}


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:  # installed in a way that leaves no metadata, or not installed
        return "unknown"


def _stamp(file: Path) -> tuple[int, int, int]:
    status = file.stat()
    return status.st_size, status.st_mtime_ns, status.st_ino


@cache
def _hash_of(file: Path, size: int, changed: int, node: int) -> str:
    """Of one file as it is now: read again when its size, time or place on the disk is another."""
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()[:16]
