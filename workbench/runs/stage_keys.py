"""What the outcome of a stage depends on, by name, and the key that is the hash of it all.

The names are meant to be read: when a kept stage no longer has the key it would get today, comparing what it was made
of with what it would be made of says which file, which data or which version is another one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.code_hashes.package_code import CODE, versions_of
from workbench.config.component import Component
from workbench.config.component_files import files_of
from workbench.config.phase import Settings
from workbench.config.trial import Trial
from workbench.errors import UserError
from workbench.storage.hashing import MadeOf, digest, file_hash

if TYPE_CHECKING:
    from workbench.registry import Registry


SETTINGS, BEFORE = "settings", "before"
UNSHARED = "alone"  # the trial that shares this stage with no other
MANY = 3  # changed files of the workbench: more are counted, not named


class Ingredients:
    """Looks up what stages are made of, each thing once. `fingerprint` gives that of a trial's data."""

    def __init__(self, registry: Registry, fingerprint: Callable[[Trial], str]):
        self.registry = registry
        self.fingerprint = fingerprint
        self._kept: dict[tuple[str, Component | Settings], Any] = {}

    def spec(self, part: Component | Settings) -> str:
        """The hash of a component's name and options, or of the settings of a phase or an evaluation."""
        return self._once("spec", part, lambda: digest(_work_of(part)))

    def of_component(self, component: Component, trial: Trial) -> MadeOf:
        """The code of a plugin, the packages it imports or names, and the data or the files of weights it reads."""
        return self._once("component", component, lambda: self._of_component(component, trial))

    def of_code(self, component: Component) -> MadeOf:
        """The code of a plugin and of those among its options, and the packages they import or name."""
        made_of: MadeOf = {}
        for part in (component, *component.parts()):
            plugin = self.registry.plugin(part.kind, part.name)
            made_of |= {f"plugin:{plugin.kind} {plugin.name}": plugin.code_hash, **versions_of(plugin.packages)}
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

    def _once(self, what: str, thing: Component | Settings, make: Callable[[], Any]) -> Any:
        key = what, thing
        if key not in self._kept:
            self._kept[key] = make()
        return self._kept[key]


def _work_of(part: Component | Settings) -> Any:
    """What its outcome depends on. That nothing is held out is not said: so it was before anything could be."""
    return part.work if isinstance(part, Component) and part.withheld else part.spec()


def differences(before: Mapping[str, str], now: Mapping[str, str], registry: Registry) -> list[str]:
    """What is another one now, in words: `plugins/fusion/gated.py changed`, `torch 2.12.0 -> 2.13.0`."""
    changed = [name for name in sorted({*before, *now}) if before.get(name) != now.get(name)]
    core = [name for name in changed if name.startswith(CODE)]
    many = [f"{len(core)} files of the workbench changed"] if len(core) > MANY else []
    left = [name for name in changed if name not in (SETTINGS, BEFORE, UNSHARED, *(core if many else ()))]
    told = many + [_told(name, before, now, registry) for name in left]
    return told or (["its settings changed"] if SETTINGS in changed else [])


def _told(name: str, before: Mapping[str, str], now: Mapping[str, str], registry: Registry) -> str:
    what, _, thing = name.partition(":")
    if what == "version":
        return f"{thing} {before.get(name, 'none')} -> {now.get(name, 'none')}"
    if what == "plugin":
        with suppress(UserError):  # it is not here any more
            thing = registry.plugin(*thing.split(" ", 1)).source
    if what == "data":
        thing = f"the data of {thing}"
    return f"{thing} {'is new' if name not in before else 'is gone' if name not in now else 'changed'}"
