"""Finds plugins; a kind, a name and options -> a component.

Three sources, loaded in this order: the built-in `plugins/`, the user's own plugin folders, and installed
packages (entry-point group `workbench`). A registry is made afresh by each `load_registry` and holds no
global state, so tests and worker processes load exactly the plugins they were given.
"""

from __future__ import annotations

import inspect
import re
import sys
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import pluggy

from workbench import hookspecs
from workbench.code_hashes.sources import Code
from workbench.devices.foreign_imports import ForeignImports
from workbench.discovery import BUILT_IN, Found, find_plugins
from workbench.errors import UserError, did_you_mean, words_of
from workbench.hookspecs import KINDS, hook_name
from workbench.ingredient import Ingredient
from workbench.options import Option, OptionError, check_signature, options_of

__all__ = [
    "Plugin",
    "Failure",
    "Option",
    "Registry",
    "RegistryError",
    "check_options",
    "load_registry",
    "resolve_options",
]

Contract = TypeVar("Contract")

# What the workbench gives the factory of each kind; options come from the experiment file.
POSITIONAL = {"connector": ("vision", "text_width"), "fusion": ("vision", "decoder"), "language_model": ("corpus",)}


class RegistryError(UserError):
    """The border to plugins: one is unknown, or cannot be used."""


class DuplicateError(RegistryError):
    """Two plugins of one kind and name: which was meant cannot be known, so this one stops `load_registry`."""


@dataclass(frozen=True)
class Plugin:
    """A name that is registered for a kind, what builds it, and where it came from."""

    kind: str
    name: str
    factory: Callable[..., Any]
    module: str
    source: str
    code: Code | None = None

    @property
    def built_in(self) -> bool:
        """Whether it comes with the workbench."""
        return self.module.startswith(BUILT_IN)

    @property
    def summary(self) -> str:
        """The first line of the factory's docstring."""
        return (inspect.getdoc(self.factory) or "").strip().partition("\n")[0]

    @property
    def code_hash(self) -> str:
        """The hash of the plugin's source file as it was when it was loaded, and of all that it imports of one's own:
        what was made with other code is stale."""
        return self.code.hash if self.code else self.source

    @cached_property
    def packages(self) -> tuple[str, ...]:
        """The installed packages that its numbers may depend on: those it imports, and those it names itself."""
        return (*self.declared(Ingredient).packages, *(self.code.packages if self.code else ()))

    def declared(self, contract: type[Contract]) -> type[Contract]:
        """The class that says what is asked before anything is built: the factory; or, where that is a function or
        any other class, the contract itself with its defaults."""
        if isinstance(self.factory, type) and issubclass(self.factory, contract):
            return self.factory
        return contract

    @cached_property
    def options(self) -> dict[str, Option]:
        """What YAML may set, by name: the factory's keyword-only parameters."""
        return options_of(self.factory)


@dataclass(frozen=True)
class Failure:
    """A plugin file that could not be used, and why."""

    source: str
    reason: str
    details: str = ""


@dataclass
class Registry:
    """What was found. `folders` are the user's plugin folders it was loaded from."""

    folders: tuple[Path, ...] = ()
    failures: list[Failure] = field(default_factory=list)
    _plugins: dict[tuple[str, str], Plugin] = field(default_factory=dict)

    def plugins(self, kind: str | None = None) -> list[Plugin]:
        """Every plugin, or those of one kind, by kind and name."""
        chosen = [plugin for plugin in self._plugins.values() if kind in (None, plugin.kind)]
        return sorted(chosen, key=lambda plugin: (KINDS.index(plugin.kind), plugin.name))

    def by_name(self, kind: str) -> dict[str, Plugin]:
        """The plugins of one kind by name."""
        return {plugin.name: plugin for plugin in self.plugins(kind)}

    def plugin(self, kind: str, name: str) -> Plugin:
        """The plugin of exactly that name; `RegistryError` with a suggestion when there is none."""
        self.check_kind(kind)
        found = self._plugins.get((kind, name))
        if found is None:
            raise RegistryError(self._unknown(kind, name))
        return found

    def check_kind(self, kind: str) -> None:
        """`RegistryError` with a suggestion when there is no such kind of plugin."""
        if kind not in KINDS:
            hint = did_you_mean(kind, KINDS)
            raise RegistryError(f"there is no kind of plugin '{kind}'.{hint} Known: {', '.join(KINDS)}")

    def create(self, kind: str, name: str, *positional: Any, **options: Any) -> Any:
        """Build a component: positional arguments from the workbench, options from the YAML. `RegistryError` when there
        is no such plugin, and whatever its factory raises."""
        return self.plugin(kind, name).factory(*positional, **options)

    def add(self, plugin: Plugin) -> None:
        """Register. `DuplicateError` names both files that register one kind and name; `RegistryError` says what no
        experiment could use."""
        _check_plugin(plugin)
        earlier = self._plugins.get((plugin.kind, plugin.name))
        if earlier is not None:
            raise DuplicateError(
                f"the {plugin.kind} '{plugin.name}' is registered twice: in {earlier.source} and in {plugin.source}."
                " Rename one of them."
            )
        self._plugins[plugin.kind, plugin.name] = plugin

    def _unknown(self, kind: str, name: str) -> str:
        names = [plugin.name for plugin in self.plugins(kind)]
        message = f"there is no {kind} '{name}'.{did_you_mean(name, names)} Known: {', '.join(names) or 'none'}"
        elsewhere = [plugin.kind for plugin in self.plugins() if plugin.name == name]
        if elsewhere:
            message += f". '{name}' is a plugin of another kind: {', '.join(elsewhere)}"
        for failure in self.failures:
            message += f"\n  not loaded: {failure.source}: {failure.reason}"
        return message


def load_registry(folders: Iterable[Path | str] = (), installed: bool = True) -> Registry:
    """Load the built-in plugins, those of `folders` (folders or single files), and those of `installed` packages.

    A plugin that cannot be used is listed in `failures` and stops nothing else. Two plugins of one name raise, and one
    that changes what torch computes for all others.
    """
    registry = Registry(folders=tuple(dict.fromkeys(Path(folder).resolve() for folder in folders)))
    imports = ForeignImports()
    for found in find_plugins(registry.folders, installed):
        if not found.own:
            imports.begin(found.source)
        try:
            for plugin in _plugins_of(found):
                registry.add(plugin)
        except DuplicateError:
            raise
        except UserError as error:
            registry.failures.append(Failure(found.source, str(error)))
        except KeyboardInterrupt as interruption:
            interruption.add_note(f"while {found.source} was imported")
            raise
        except (Exception, SystemExit) as error:  # a plugin is anyone's code: whatever it raises is its own failure
            said = words_of(error) if isinstance(error, SystemExit) else f"{type(error).__name__}: {error}"
            registry.failures.append(Failure(found.source, said, traceback.format_exc()))
    if refused := imports.end():
        raise RegistryError(refused)
    return registry


def _plugins_of(found: Found) -> Sequence[Plugin]:
    """Import what was found and ask what it offers: of the workbench's own once in the life of a process."""
    offering = found.load()
    if not inspect.ismodule(offering) or not offering.__name__.startswith(f"{BUILT_IN}."):
        return _offered_by(offering, found.source)
    kept = vars(offering).get("__plugins__")
    if kept is None:
        kept = vars(offering)["__plugins__"] = _offered_by(offering, found.source)
    return kept


def _offered_by(offering: Any, source: str) -> Sequence[Plugin]:
    """What is registered, asked by a plugin manager of its own: what is broken touches nothing else."""
    for problem in _misspelt_hooks(offering):
        raise RegistryError(problem)
    manager = pluggy.PluginManager("workbench")
    manager.add_hookspecs(hookspecs)
    manager.register(offering, name=source)
    module = offering.__name__ if inspect.ismodule(offering) else offering.__module__
    code = _code_of(module)
    plugins: list[Plugin] = []
    for kind in KINDS:

        def register(name: str, factory: Callable[..., Any], *, _kind: str = kind) -> None:
            plugins.append(Plugin(_kind, name, factory, module, source, code))

        getattr(manager.hook, hook_name(kind))(register=register)
    if not plugins:
        raise RegistryError(
            "it registers nothing: implement a hook such as register_fusions with @hookimpl, or begin the file's name"
            " with '_' if other plugins only import it"
        )
    return plugins


def _code_of(module: str) -> Code | None:
    loaded = sys.modules.get(module)
    file = getattr(loaded, "__file__", None)
    if file is None:
        return None
    found = Code(Path(file), module)
    # What Python has imported it does not import again: the file may have changed since, the code has not.
    return vars(loaded).setdefault("__code__", found) if module.startswith(BUILT_IN) else found


def _misspelt_hooks(offering: Any) -> list[str]:
    """Names like hooks that are none, and hooks without their `@hookimpl`."""
    hooks = [hook_name(kind) for kind in KINDS]
    problems = []
    for name, value in inspect.getmembers(offering, inspect.isroutine):
        marked = hasattr(value, "workbench_impl")
        own = getattr(value, "__module__", None) == getattr(offering, "__name__", None)
        if name in hooks and not marked:
            problems.append(f"'{name}' lacks its @hookimpl (from workbench import hookimpl)")
        if name not in hooks and (marked or (own and name.startswith("register_"))):
            problems.append(f"there is no hook '{name}'.{did_you_mean(name, hooks)} Hooks: {', '.join(hooks)}")
    return problems


def _check_plugin(plugin: Plugin) -> None:
    called = f"the {plugin.kind} '{plugin.name}'"
    if not isinstance(plugin.name, str) or not re.fullmatch(r"[A-Za-z0-9_.-]+", plugin.name):
        raise RegistryError(f"'{plugin.name}' is no plugin name: use letters, digits, '_', '-' and '.'")
    if not callable(plugin.factory):
        raise RegistryError(
            f"{called} is registered with {plugin.factory!r}: give a class or a function that builds it"
        )
    try:
        check_signature(plugin.factory, POSITIONAL.get(plugin.kind, ()))
    except OptionError as error:
        raise RegistryError(f"{called} cannot be used: {error}") from error


def check_options(plugin: Plugin, options: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Check options from YAML against the factory's signature: [(option, what is wrong)], empty when all is well."""
    problems = []
    known = plugin.options
    for name, value in options.items():
        if name not in known:
            hint = f"{did_you_mean(name, known)} Options: {', '.join(known) or 'none'}"
            problems.append((name, f"the {plugin.kind} '{plugin.name}' has no option '{name}'.{hint}"))
            continue
        try:
            known[name].validate(value)
        except ValueError as error:
            problems.append((name, f"{value!r} does not fit {plugin.name}.{name} ({known[name].type_name}): {error}"))
    for name, option in known.items():
        if option.required and name not in options:
            problems.append((name, f"the {plugin.kind} '{plugin.name}' needs the option '{name}' ({option.type_name})"))
    return problems


def resolve_options(plugin: Plugin, options: Mapping[str, Any]) -> dict[str, Any]:
    """The options with their defaults filled in, checked, and of the annotated types (lists become tuples ...);
    `RegistryError` tells every one that does not fit."""
    problems = check_options(plugin, options)
    if problems:
        raise RegistryError("; ".join(problem for _, problem in problems))
    return {
        name: option.validate(options[name]) if name in options else option.default
        for name, option in plugin.options.items()
    }
