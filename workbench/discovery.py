"""Finds plugin files: the built-in `plugins/`, the user's own folders, and installed packages.

Nothing is imported here until it is asked for: each found plugin comes with the call that imports it.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import sys
import types
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from importlib.machinery import SourceFileLoader
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from workbench.errors import UserError

BUILT_IN, EXTERNAL = "workbench.plugins", "workbench.external"
ENTRY_POINTS = "workbench"
OWN, MARKS = "plugins", ("hookspecs.py", "registry.py", "discovery.py")  # what marks a folder as some workbench's own


@dataclass(frozen=True)
class Found:
    """A plugin that has not been imported yet, where it came from, in words for the user, and whether it is the
    workbench's own."""

    source: str
    load: Callable[[], Any]
    own: bool = False


def find_plugins(folders: Iterable[Path], installed: bool = True) -> Iterator[Found]:
    """Built-in plugins, those of `folders` (a folder, or one file), and those of `installed` packages, in this order.

    A file that several of them reach is found once. What is the own plugin of another workbench than the one that runs
    cannot be loaded, and says so when it is tried.
    """
    root = own_plugins()
    seen = set()
    for file in _plugin_files(root):
        seen.add(file)
        module = ".".join([BUILT_IN, *file.relative_to(root).with_suffix("").parts])
        yield Found(f"plugins/{file.relative_to(root).as_posix()}", partial(importlib.import_module, module), own=True)
    for folder in folders:
        if not folder.exists():
            raise UserError(f"there is no plugin folder {folder}. Give a folder that holds plugin files (*.py)")
        if is_of_another(folder):
            yield Found(str(folder), partial(_refuse, root))
            continue
        for file in _plugin_files(folder):
            if file not in seen:
                seen.add(file)
                base = folder if folder.is_dir() else folder.parent
                load = partial(_refuse, root) if _is_copy(file, root) else partial(import_file, base, file)
                yield Found(str(file), load)
    for point in entry_points(group=ENTRY_POINTS) if installed else ():
        yield Found(f"{point.dist.name if point.dist else 'installed package'}: {point.value}", point.load)


def own_plugins() -> Path:
    """The folder of the built-in plugins of the workbench that runs."""
    return Path(next(iter(importlib.import_module(BUILT_IN).__path__))).resolve()


def is_of_another(folder: Path) -> bool:
    """Whether a folder holds the built-in plugins of another workbench, such as a checkout that is not the one
    installed: its `plugins/` is nobody's own folder, and has the very names that are there already."""
    return _is_own(folder.resolve()) and folder.resolve() != own_plugins()


def import_file(folder: Path, file: Path) -> types.ModuleType:
    """Really import a file, as `workbench.external.<hash of the folder>.<its path>`.

    Dataclasses, pickles and worker processes then find its classes by name, and `from . import _shared` finds its
    neighbours. A changed file is imported anew.
    """
    content = hashlib.sha256(file.read_bytes()).hexdigest()
    name = _module_name(folder, file)
    loaded = sys.modules.get(name)
    # Where a neighbour imported it before, it has no mark yet.
    if loaded is not None and vars(loaded).setdefault("__content_hash__", content) == content:
        return loaded
    specification = importlib.util.spec_from_file_location(name, file, loader=_SourceLoader(name, str(file)))
    if specification is None or specification.loader is None:
        raise UserError(f"{file} is not a Python file")
    module = importlib.util.module_from_spec(specification)
    vars(module)["__content_hash__"] = content
    sys.modules[name] = module
    try:
        specification.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


class _SourceLoader(SourceFileLoader):
    """Reads the source each time: bytecode is kept by whole seconds, and a plugin is edited and tried faster."""

    def path_stats(self, path: str) -> dict[str, Any]:
        raise OSError(f"no bytecode is kept of {path}")


def _is_own(folder: Path) -> bool:
    """Whether a folder lies as a workbench's plugins do: beside its core in a checkout, within it when installed."""
    core = folder.parent / "workbench"
    places = [folder.parent] if (core / OWN).is_dir() else [folder.parent, core]
    return folder.name == OWN and any(all((place / mark).is_file() for mark in MARKS) for place in places)


def _is_copy(file: Path, root: Path) -> bool:
    """Whether a file of another workbench's plugins is one that the workbench which runs has too."""
    homes = [folder for folder in file.parents if folder != root and _is_own(folder)]
    return any((root / file.relative_to(home)).is_file() for home in homes)


def _refuse(root: Path) -> None:
    raise UserError(
        f"it belongs to another copy of the workbench than the one that runs, which has its own plugins in {root}."
        " Plugins of your own go into another folder; to use this copy, install it with `pip install -e`"
    )


def _plugin_files(folder: Path) -> list[Path]:
    if folder.is_file():
        return [folder]
    return [file for file in sorted(folder.rglob("*.py")) if not _ignored(file.relative_to(folder))]


def _ignored(file: Path) -> bool:
    """Tests, hidden files, and what plugins share (`_name.py`)."""
    return any(part.startswith(("_", ".", "test_")) or part in ("tests", "conftest.py") for part in file.parts)


def _module_name(folder: Path, file: Path) -> str:
    """The file's name as a module; the packages above it are made where they are missing."""
    root = hashlib.sha256(str(folder).encode()).hexdigest()[:8]
    *packages, module = file.relative_to(folder).with_suffix("").parts
    _ensure_package(EXTERNAL, None)
    name, place = f"{EXTERNAL}.f{root}", folder
    _ensure_package(name, place)
    for package in packages:
        name, place = f"{name}.{package}", place / package
        _ensure_package(name, place)
    # A dot in a file's name would read as a package.
    return f"{name}.{module.replace('.', '_')}"


def _ensure_package(name: str, place: Path | None) -> None:
    if name not in sys.modules:
        package = types.ModuleType(name)
        package.__path__ = [] if place is None else [str(place)]
        sys.modules[name] = package
