"""`workbench check`: tries the plugins of a file, a folder or an experiment, and shows what is wrong."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from workbench.config.component import Component, named
from workbench.config.experiment import Experiment
from workbench.config.overrides import read_settings
from workbench.config.resolve_components import resolve_component
from workbench.config.written import Written
from workbench.conformance.check import RULES, check_component
from workbench.conformance.examine import CannotCheck
from workbench.conformance.external_plugins import external_components
from workbench.conformance.unread import show_unread
from workbench.errors import UserError, did_you_mean
from workbench.registry import Plugin, Registry, load_registry


def check_path(path: Path | None, kind: str | None, console: Console, overrides: Sequence[str] = ()) -> bool:
    """Check the plugins of a file or folder (the built-in ones without), with options as `fusion.heads=2` sets them,
    and show what is wrong; True if nothing is."""
    registry = load_registry([] if path is None else [path])
    if kind is not None:
        registry.check_kind(kind)
    plugins = [plugin for plugin in registry.plugins(kind) if _is_from(plugin.source, path)]
    failures = [failure for failure in registry.failures if _is_from(failure.source, path)]
    if not plugins and not failures:
        raise UserError(
            f"there is no {kind or 'plugin'} in {path or 'plugins/'}. Give a plugin file or a folder of them"
        )
    settings = _settings(overrides, plugins, registry)
    for failure in failures:
        console.print(f"not loaded: {failure.source}: {failure.reason}", style="red", markup=False, soft_wrap=True)
    kept = [_check_plugin(plugin, settings.get(plugin.kind, {}), registry, console) for plugin in plugins]
    return all(kept) and not failures


def check_experiment(experiment: Experiment, registry: Registry, kind: str | None, console: Console) -> bool:
    """Check every plugin of an experiment that does not come with the workbench, with the options its trials use."""
    if kind is not None:
        registry.check_kind(kind)
    components = [each for each in external_components(experiment, registry) if kind in (None, each.kind)]
    if not components:
        console.print(f"{experiment.path} uses no {kind or 'plugin'} but those of the workbench", markup=False)
    return all([_show(named(each), each, registry, console) for each in components])


def _is_from(source: str, path: Path | None) -> bool:
    """Whether a source (an absolute file, or `plugins/...` of the built-in ones) lies in what is to be checked."""
    if path is None:
        return source.startswith("plugins/")
    [built_in, *_] = importlib.import_module("workbench.plugins").__path__
    return (Path(built_in).resolve().parent / source).is_relative_to(path.resolve())


def _settings(overrides: Sequence[str], plugins: Sequence[Plugin], registry: Registry) -> dict[str, dict[str, Any]]:
    """Options by kind; each of them is one of some plugin there."""
    settings = read_settings(overrides)
    for kind, options in settings.items():
        registry.check_kind(kind)
        if not isinstance(options, dict):
            raise UserError(f"--set {kind}={options}: give an option, as --set {kind}.OPTION=value")
        known = {option for plugin in plugins if plugin.kind == kind for option in plugin.options}
        for option in [option for option in options if option not in known]:
            there = f"{did_you_mean(option, known)} Options: {', '.join(sorted(known)) or 'none'}"
            raise UserError(f"--set {kind}.{option}: no {kind} there has such an option.{there}")
    return settings


def _check_plugin(plugin: Plugin, settings: Mapping[str, Any], registry: Registry, console: Console) -> bool:
    """Check a plugin with those of the settings that it knows."""
    options = {option: value for option, value in settings.items() if option in plugin.options}
    needed = [option for name, option in plugin.options.items() if option.required and name not in options]
    if needed:
        told = " ".join(f"--set {plugin.kind}.{each.name}=..." for each in needed)
        wanted = ", ".join(f"{each.name} ({each.type_name})" for each in needed)
        console.print(
            f"{plugin.kind} {plugin.name}: not checked, since it needs {wanted}. Give it with {told}",
            style="yellow",
            markup=False,
            soft_wrap=True,
        )
        return True
    written = Written({"name": plugin.name, **options}, (plugin.kind,), {})
    resolved = resolve_component(plugin.kind, written, registry, Path())
    if resolved.value is None:
        raise UserError("; ".join(message for _, message in resolved.faults))
    return _show(f"{plugin.kind} {plugin.name}", resolved.value, registry, console)


def _show(name: str, component: Component, registry: Registry, console: Console) -> bool:
    show_unread(console, registry.plugin(component.kind, component.name))
    try:
        results = list(check_component(component, registry))
    except CannotCheck as reason:
        console.print(f"{name}: could not be checked: {reason}", style="yellow", markup=False, soft_wrap=True)
        return False
    broken = [result for result in results if not result.passed]
    told = f"{name}: {len(results) - len(broken)} of {len(RULES[component.kind])} rules kept"
    console.print(told, style="red" if broken else "green", markup=False, highlight=False, soft_wrap=True)
    for result in broken:
        console.print(f"  {result.title}: {result.why}", markup=False, highlight=False, soft_wrap=True)
    return not broken
