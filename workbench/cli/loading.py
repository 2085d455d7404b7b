"""The experiment that a command is given, with the plugins it asks for, and how to ask for the same again."""

from __future__ import annotations

import shlex
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from workbench.config.experiment import Experiment
    from workbench.registry import Registry


def load(
    file: Path,
    overrides: list[str] | None,
    folders: list[Path] | None,
    results: Path,
    device: str = "auto",
    automatic: str | None = None,
) -> tuple[Experiment, Registry]:
    """The checked experiment, and the plugins it was checked against; `ExperimentError` names all that is wrong.
    `automatic` is the precision that `auto` stands for on a device that is not here."""
    from workbench.config.experiment import load_experiment, plugin_folders
    from workbench.registry import load_registry
    from workbench.runs.auto_precision import precision_for
    from workbench.runs.matching import Matching

    registry = load_registry(plugin_folders(file, folders or ()))
    precision = precision_for(results, device)
    if automatic is not None:
        precision = partial(_begun_with_or, results, automatic)
    return load_experiment(file, registry, overrides or (), precision, Matching(registry, file)), registry


def _begun_with_or(results: Path, automatic: str, name: str) -> str:
    from workbench.runs.auto_precision import begun_with

    return begun_with(results / name) or automatic


def command_line(name: str, file: Path, overrides: list[str] | None, folders: list[Path] | None, results: Path) -> str:
    """What to type for another command to do the same, as `workbench run FILE --set seeds=[1]`."""
    words = ["workbench", name, str(file)]
    words += [word for each in overrides or () for word in ("--set", each)]
    words += [word for each in folders or () for word in ("--plugins", str(each))]
    return shlex.join([*words, *(["--results", str(results)] if results != Path("results") else [])])
