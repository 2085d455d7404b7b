"""Finds plugins; a kind, a name and options -> a component.

Three sources, loaded in this order: the built-in `plugins/`, the user's own plugin folders, and installed
packages (entry-point group `workbench`). A registry is made afresh by each `load_registry` and holds no
global state, so tests and worker processes load exactly the plugins they were given.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import inspect
import re
import sys
import traceback
import types
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, get_type_hints

import pluggy

from workbench import hookspecs
from workbench.errors import UserError, did_you_mean
from workbench.hookspecs import KINDS, hook_name


class RegistryError(UserError):
    """A plugin is unknown, registered twice, or cannot be loaded."""


@dataclass(frozen=True)
class Option:
    """A keyword-only parameter of a factory: what YAML may set."""

    name: str
    annotation: Any
    default: Any
    required: bool

    @property
    def type_name(self) -> str:
        """The annotation as a reader would write it."""
        if isinstance(self.annotation, type) and not isinstance(self.annotation, types.GenericAlias):
            return self.annotation.__name__
        return str(self.annotation).replace("typing.", "")


@dataclass(frozen=True)
class Entry:
    """One registered name."""

    kind: str
    name: str
    factory: Callable[..., Any]
    module: str
    source: str

    @property
    def summary(self) -> str:
        """The first line of the factory's docstring."""
        return (inspect.getdoc(self.factory) or "").strip().partition("\n")[0]

    @property
    def options(self) -> dict[str, Option]:
        """What YAML may set, by name."""
        signature = inspect.signature(self.factory)
        constructor = self.factory.__init__ if inspect.isclass(self.factory) else self.factory
        hints = get_type_hints(constructor, include_extras=True)
        return {
            name: Option(name, hints.get(name, Any), parameter.default, parameter.default is parameter.empty)
            for name, parameter in signature.parameters.items()
            if parameter.kind is parameter.KEYWORD_ONLY
        }

    @property
    def code_hash(self) -> str:
        """The hash of the source file that defines the plugin; what was made with other code is stale."""
        file = getattr(sys.modules.get(self.module), "__file__", None)
        return hashlib.sha256(Path(file).read_bytes()).hexdigest()[:16] if file else "builtin"


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
    _entries: dict[tuple[str, str], Entry] = field(default_factory=dict)

    def entries(self, kind: str | None = None) -> list[Entry]:
        """Every entry, or those of one kind, by kind and name."""
        order = {known: place for place, known in enumerate(KINDS)}
        chosen = [entry for entry in self._entries.values() if kind in (None, entry.kind)]
        return sorted(chosen, key=lambda entry: (order[entry.kind], entry.name))

    def entry(self, kind: str, name: str) -> Entry:
        """The entry of exactly that name; `RegistryError` with a suggestion when there is none."""
        if kind not in KINDS:
            raise RegistryError(f"there is no kind of plugin '{kind}'.{did_you_mean(kind, KINDS)} Known: {', '.join(KINDS)}")
        found = self._entries.get((kind, name))
        if found is None:
            raise RegistryError(self._unknown(kind, name))
        return found

    def create(self, kind: str, name: str, *positional: Any, **options: Any) -> Any:
        """Build a component: positional arguments from the workbench, options from the YAML."""
        return self.entry(kind, name).factory(*positional, **options)

    def add(self, entry: Entry) -> None:
        """Register; the same kind and name from two files is an error that names both."""
        earlier = self._entries.get((entry.kind, entry.name))
        if earlier is not None:
            raise RegistryError(
                f"the {entry.kind} '{entry.name}' is registered twice: in {earlier.source} and in {entry.source}."
                " Rename one of them."
            )
        _check_signature(entry)
        self._entries[entry.kind, entry.name] = entry

    def _unknown(self, kind: str, name: str) -> str:
        names = [entry.name for entry in self.entries(kind)]
        message = f"there is no {kind} '{name}'.{did_you_mean(name, names)} Known: {', '.join(names) or 'none'}"
        elsewhere = [entry.kind for entry in self.entries() if entry.name == name]
        if elsewhere:
            message += f". '{name}' is a plugin of another kind: {', '.join(elsewhere)}"
        for failure in self.failures:
            message += f"\n  not loaded: {failure.source}: {failure.reason}"
        return message


def load_registry(folders: Iterable[Path | str] = ()) -> Registry:
    """Load the built-in plugins, those of `folders`, and those of installed packages."""
    registry = Registry(folders=tuple(Path(folder).resolve() for folder in folders))
    manager = pluggy.PluginManager("workbench")
    manager.add_hookspecs(hookspecs)
    sources = [
        *_builtin_modules(),
        *(found for folder in registry.folders for found in _folder_modules(folder)),
        *_installed_modules(),
    ]
    for source, load in sources:
        _load_one(registry, manager, source, load)
    return registry


def _load_one(registry: Registry, manager: pluggy.PluginManager, source: str, load: Callable[[], Any]) -> None:
    """Import one plugin and let it register. A plugin that fails is listed and stops nothing else, but two
    plugins of one name stop everything: which of them was meant cannot be known."""
    try:
        plugin = load()
        for problem in _misspelt_hooks(plugin):
            raise RegistryError(problem)
        manager.register(plugin, name=source)
        manager.check_pending()
        _register_all(registry, manager, plugin, source)
    except RegistryError as error:
        if "registered twice" in str(error):
            raise
        registry.failures.append(Failure(source, str(error)))
    except Exception as error:  # a plugin is anyone's code: whatever it raises is its failure, not ours
        reason = f"{type(error).__name__}: {error}"
        registry.failures.append(Failure(source, reason, traceback.format_exc()))


def _register_all(registry: Registry, manager: pluggy.PluginManager, plugin: Any, source: str) -> None:
    others = [other for other in manager.get_plugins() if other is not plugin]
    module = getattr(plugin, "__name__", source)
    for kind in KINDS:

        def register(name: str, factory: Callable[..., Any], *, _kind: str = kind) -> None:
            registry.add(Entry(_kind, name, factory, module, source))

        manager.subset_hook_caller(hook_name(kind), others)(register=register)


def _misspelt_hooks(plugin: Any) -> list[str]:
    """Names like hooks that are none, and hooks without their `@hookimpl`."""
    hooks = [hook_name(kind) for kind in KINDS]
    problems = []
    for name, value in vars(plugin).items():
        if not callable(value):
            continue
        marked = hasattr(value, "workbench_impl")
        if name in hooks and not marked:
            problems.append(f"'{name}' lacks its @hookimpl (from workbench import hookimpl)")
        if name not in hooks and (marked or name.startswith("register_")):
            problems.append(f"there is no hook '{name}'.{did_you_mean(name, hooks)} Hooks: {', '.join(hooks)}")
    return problems


def _check_signature(entry: Entry) -> None:
    if not re.fullmatch(r"[A-Za-z0-9_.-]+", entry.name):
        raise RegistryError(f"'{entry.name}' is no plugin name: use letters, digits, '_', '-' and '.'")
    for parameter in inspect.signature(entry.factory).parameters.values():
        if parameter.kind in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL):
            raise RegistryError(
                f"the {entry.kind} '{entry.name}' takes '{parameter}': name its options as keyword-only parameters,"
                " so that an experiment file can be checked against them"
            )


def _builtin_modules() -> list[tuple[str, Callable[[], Any]]]:
    package = importlib.import_module("workbench.plugins")
    root = Path(next(iter(package.__path__)))
    found = []
    for file in sorted(root.glob("*/*.py")):
        if not file.name.startswith("_"):
            module = f"workbench.plugins.{file.parent.name}.{file.stem}"
            found.append((f"plugins/{file.parent.name}/{file.name}", _importer(module)))
    return found


def _importer(module: str) -> Callable[[], Any]:
    return lambda: importlib.import_module(module)


def _folder_modules(folder: Path) -> list[tuple[str, Callable[[], Any]]]:
    if not folder.is_dir():
        raise RegistryError(f"there is no plugin folder {folder}. Give a folder that holds plugin files (*.py)")
    files = [file for file in sorted(folder.rglob("*.py")) if not _ignored(file.relative_to(folder))]
    return [(str(file), _file_importer(folder, file)) for file in files]


def _ignored(file: Path) -> bool:
    return any(part.startswith(("_", ".", "test_")) or part == "tests" for part in file.parts)


def _file_importer(folder: Path, file: Path) -> Callable[[], Any]:
    return lambda: _import_file(folder, file)


def _import_file(folder: Path, file: Path) -> types.ModuleType:
    """Really import a file, as `workbench.external.<hash of the folder>.<its path>`: dataclasses, pickling and
    worker processes then find its classes by name. A changed file is imported anew."""
    content = file.read_bytes()
    digest = hashlib.sha256(str(folder).encode()).hexdigest()[:8]
    name = ".".join(["workbench.external", f"f{digest}", *file.relative_to(folder).with_suffix("").parts])
    loaded = sys.modules.get(name)
    if loaded is not None and getattr(loaded, "__content_hash__", None) == hashlib.sha256(content).hexdigest():
        return loaded
    _ensure_packages(name)
    specification = importlib.util.spec_from_file_location(name, file)
    if specification is None or specification.loader is None:
        raise RegistryError(f"{file} is not a Python file")
    module = importlib.util.module_from_spec(specification)
    sys.modules[name] = module
    try:
        specification.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    vars(module)["__content_hash__"] = hashlib.sha256(content).hexdigest()
    return module


def _ensure_packages(name: str) -> None:
    parts = name.split(".")
    for length in range(2, len(parts)):
        package = ".".join(parts[:length])
        if package not in sys.modules:
            sys.modules[package] = types.ModuleType(package)
            vars(sys.modules[package])["__path__"] = []


def _installed_modules() -> list[tuple[str, Callable[[], Any]]]:
    return [
        (f"{point.dist.name if point.dist else 'installed package'}: {point.value}", point.load)
        for point in entry_points(group="workbench")
    ]


def check_options(entry: Entry, options: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Check options from YAML against the factory's signature: [(option, what is wrong)], empty when all is well."""
    import pydantic

    problems = []
    known = entry.options
    for name, value in options.items():
        if name not in known:
            names = ", ".join(known) or "none"
            problems.append((name, f"the {entry.kind} '{entry.name}' has no option '{name}'.{did_you_mean(name, known)} Options: {names}"))
            continue
        try:
            _validate(pydantic.TypeAdapter(known[name].annotation), value)
        except pydantic.ValidationError as error:
            wrong = "; ".join(problem["msg"] for problem in error.errors()[:3])
            problems.append((name, f"{value!r} does not fit {entry.name}.{name} ({known[name].type_name}): {wrong}"))
        except (TypeError, ValueError) as error:
            problems.append((name, f"{value!r} does not fit {entry.name}.{name} ({known[name].type_name}): {error}"))
    missing: Sequence[str] = [name for name, option in known.items() if option.required and name not in options]
    problems += [(name, f"the {entry.kind} '{entry.name}' needs the option '{name}' ({known[name].type_name})") for name in missing]
    return problems


def _validate(adapter: Any, value: Any) -> Any:
    """Strict, as JSON: 1 is a float, a list is a tuple, but "1" is no number and NaN is none either."""
    import json

    return adapter.validate_json(json.dumps(value, allow_nan=False), strict=True)


def resolve_options(entry: Entry, options: Mapping[str, Any]) -> dict[str, Any]:
    """The options with their defaults filled in, checked, and of the annotated types (lists become tuples ...)."""
    import pydantic

    problems = check_options(entry, options)
    if problems:
        raise RegistryError("; ".join(problem for _, problem in problems))
    resolved = {}
    for name, option in entry.options.items():
        if name in options:
            resolved[name] = _validate(pydantic.TypeAdapter(option.annotation), options[name])
        else:
            resolved[name] = option.default
    return resolved
