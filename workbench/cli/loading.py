"""The experiment that a command is given, with the plugins it asks for, and how to ask for the same again."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from workbench.config.experiment import Experiment
    from workbench.registry import Registry


def load(
    file: Path, overrides: list[str] | None, folders: list[Path] | None, results: Path, device: str = "auto"
) -> tuple[Experiment, Registry]:
    """The checked experiment, and the plugins it was checked against; `ExperimentError` names all that is wrong."""
    from workbench.config.experiment import load_experiment, plugin_folders
    from workbench.registry import load_registry
    from workbench.runs.auto_precision import precision_for
    from workbench.runs.matching import Matching

    registry = load_registry(plugin_folders(file, folders or ()))
    return load_experiment(
        file, registry, overrides or (), precision_for(results, device), Matching(registry, file)
    ), registry


def command_line(name: str, file: Path, overrides: list[str] | None, folders: list[Path] | None, results: Path) -> str:
    """What to type for another command to do the same, as `workbench run FILE --set seeds=[1]`."""
    words = ["workbench", name, str(file)]
    words += [word for each in overrides or () for word in ("--set", each)]
    words += [word for each in folders or () for word in ("--plugins", str(each))]
    return shlex.join([*words, *(["--results", str(results)] if results != Path("results") else [])])
