"""What the outcome of a stage depends on, by name, and the key that is the hash of it all.

The names are meant to be read: when a kept stage no longer has the key it would get today, comparing what it was made
of with what it would be made of says which file, which data or which version is another one.
"""

from __future__ import annotations

import hashlib
import importlib.util
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.component_files import files_of
from workbench.errors import UserError
from workbench.hashing import file_hash
from workbench.sources import Source, read_source, version_of
from workbench.trial import Component, Settings, Trial, digest

if TYPE_CHECKING:
    from workbench.registry import Registry

MadeOf = dict[str, str]  # "plugin:fusion gated" -> hash of its source, "version:torch" -> "2.13.0", ...

# The modules of the core that make the numbers of a stage. `tests/test_ingredients.py` follows the imports of what does
# the stages, and holds that none is missing here.
DATA_CODE = (
    *("annotations", "captions", "example", "file_dataset", "frames", "hashing", "picture_files", "sound", "views"),
    *("vqa_files", "workplace"),
)
PLUGIN_CODE = (  # what plugins of any kind may use
    *("batches", "capabilities", "chat", "checkpoints", "contracts", "gguf", "hugging_face", "layers"),
    *("linear_layers", "model", "peft_files", "preprocessing", "pretrained", "tiles", "tokenizer"),
    *("transformers_part", "trial"),
)
ENCODER_CODE = (
    *(*DATA_CODE, *PLUGIN_CODE, "artifacts", "component_files", "compose", "devices", "feature_work", "features"),
    *("passes", "pictures", "precision"),
)
TRAINING_CODE = (
    *(*ENCODER_CODE, "built", "chance", "contrastive", "curve", "objectives", "optimization", "peak_memory"),
    *("snapshots", "stage_inputs", "train", "training_work", "validation"),
)
EVALUATION_CODE = (
    *(*TRAINING_CODE, "evaluate", "evaluation_work", "generate", "huge_pages", "inference", "outside", "plain_text"),
    *("summary", "text_probe"),
)
# The packages of which a number is made where a module imports them: by the name of the import, the package's own.
PACKAGES = {
    **{name: name for name in ("jinja2", "numpy", "safetensors", "scipy", "tokenizers", "torch")},
    "PIL": "pillow",
}
NO_NUMBER = {"huggingface_hub", "pluggy", "pydantic"}  # packages that plugins import and that make none

SETTINGS, BEFORE, CODE = "settings", "before", "code:workbench/"
ALONE = "alone"  # the trial that shares this stage with no other
MANY = 3  # changed files of the workbench: more are counted, not named


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
        """The code of a plugin, the packages it imports or names, and the data or the files of weights it reads."""
        return self._once("component", component, lambda: self._of_component(component, trial))

    def of_code(self, component: Component) -> MadeOf:
        """The code of a plugin and of those among its options, and the packages they import or name."""
        made_of: MadeOf = {}
        for part in (component, *component.parts()):
            entry = self.registry.entry(part.kind, part.name)
            made_of |= {f"plugin:{entry.kind} {entry.name}": entry.code_hash, **versions_of(entry.packages)}
        return made_of

    def files(self, component: Component) -> tuple[Path, ...]:
        """The files that give a component its starting weights, if there are any."""
        return self._once("files", component, lambda: files_of(component, self.registry))

    def all_files(self, component: Component) -> list[tuple[Component, Path]]:
        """These, and those of the components among its options, each with whose it is."""
        return [(part, file) for part in (component, *component.parts()) for file in self.files(part)]

    def _of_component(self, component: Component, trial: Trial) -> MadeOf:
        made_of = self.of_code(component)
        if component.kind == "dataset":
            made_of[f"data:{component.name}"] = self.fingerprint(trial)
        return made_of | {f"file:{part.written(file)}": file_hash(file) for part, file in self.all_files(component)}

    def _once(self, what: str, thing: Any, make: Callable[[], Any]) -> Any:
        """By identity, which is quick: trials share their parts. The thing is kept so that no other gets its id."""
        key = what, id(thing)
        if key not in self._kept:
            self._kept[key] = thing, make()
        return self._kept[key][1]


def key_of(made_of: Mapping[str, str]) -> str:
    """The key of what is made of this; the order does not matter."""
    text = "\n".join([f"{name}={made_of[name]}" for name in sorted(made_of)])
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def core_code(modules: tuple[str, ...]) -> MadeOf:
    """The source of modules of the core, and the packages they compute with."""
    sources = {module: _source_of(module) for module in modules}
    imported = {each.module.partition(".")[0] for source in sources.values() for each in source.imports}
    code = {f"{CODE}{module}.py": source.hash for module, source in sources.items()}
    return {**code, **versions_of(tuple(sorted(imported & set(PACKAGES))))}


def differences(before: Mapping[str, str], now: Mapping[str, str], registry: Registry) -> list[str]:
    """What is another one now, in words: `plugins/fusion/gated.py changed`, `torch 2.12.0 -> 2.13.0`."""
    changed = [name for name in sorted({*before, *now}) if before.get(name) != now.get(name)]
    core = [name for name in changed if name.startswith(CODE)]
    many = [f"{len(core)} files of the workbench changed"] if len(core) > MANY else []
    left = [name for name in changed if name not in (SETTINGS, BEFORE, ALONE, *(core if many else ()))]
    told = many + [_told(name, before, now, registry) for name in left]
    return told or (["its settings changed"] if SETTINGS in changed else [])


def _told(name: str, before: Mapping[str, str], now: Mapping[str, str], registry: Registry) -> str:
    what, _, thing = name.partition(":")
    if what == "version":
        return f"{thing} {before.get(name, 'none')} -> {now.get(name, 'none')}"
    if what == "plugin":
        with suppress(UserError):  # it is not here any more
            thing = registry.entry(*thing.split(" ", 1)).source
    if what == "data":
        thing = f"the data of {thing}"
    return f"{thing} {'is new' if name not in before else 'is gone' if name not in now else 'changed'}"


@cache
def _source_of(module: str) -> Source:
    specification = importlib.util.find_spec(f"workbench.{module}")
    if specification is None or specification.origin is None:
        raise ImportError(f"workbench.{module} is missing from this installation")
    return read_source(Path(specification.origin).read_bytes())


@cache
def versions_of(packages: tuple[str, ...]) -> MadeOf:
    """The versions of packages, as far as they are installed; an alias and the package's own name are one."""
    own = {PACKAGES.get(package, package): package for package in packages if package not in NO_NUMBER}
    versions = {name.replace("_", "-"): version_of(name) for name in own}
    return {f"version:{name}": version for name, version in versions.items() if version is not None}
