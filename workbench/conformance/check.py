"""Tries plugins by the rules of their kind, and shows what was found."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rich.console import Console

from workbench.conformance import (
    adapters,
    connectors,
    datasets,
    encoders,
    fusions,
    language_models,
    launchers,
    metrics,
    quantizers,
    trackers,
)
from workbench.conformance.findings import Finding, Subject, examine
from workbench.errors import UserError
from workbench.registry import Entry, Registry, load_registry, resolve_options

RULES = {
    "encoder": encoders.CHECKS,
    "connector": connectors.CHECKS,
    "fusion": fusions.CHECKS,
    "language_model": language_models.CHECKS,
    "adapter": adapters.CHECKS,
    "quantizer": quantizers.CHECKS,
    "dataset": datasets.CHECKS,
    "metric": metrics.CHECKS,
    "launcher": launchers.CHECKS,
    "tracker": trackers.CHECKS,
}


class CheckError(UserError):
    """There is nothing to check."""


def check(registry: Registry, kind: str, name: str, **options: Any) -> Iterator[Finding]:
    """Try a plugin with these options by every rule of its kind."""
    entry = registry.entry(kind, name)
    return examine(Subject(entry, resolve_options(entry, options)), RULES[kind])


def check_path(path: Path | None, kind: str | None, console: Console) -> bool:
    """Check the plugins of a file or folder (the built-in ones without), and show what is wrong; True if nothing is."""
    registry = load_registry([] if path is None else [path])
    if kind is not None:
        registry.check_kind(kind)
    entries = [entry for entry in registry.entries(kind) if _is_from(entry.source, path)]
    failures = [failure for failure in registry.failures if _is_from(failure.source, path)]
    if not entries and not failures:
        raise CheckError(
            f"there is no {kind or 'plugin'} in {path or 'plugins/'}. Give a plugin file or a folder of them"
        )
    for failure in failures:
        console.print(f"not loaded: {failure.source}: {failure.reason}", style="red", markup=False, soft_wrap=True)
    kept = [_show(registry, entry, console) for entry in entries]
    return all(kept) and not failures


def _is_from(source: str, path: Path | None) -> bool:
    """Whether a source (an absolute file, or `plugins/...` of the built-in ones) lies in what is to be checked."""
    if path is None:
        return source.startswith("plugins/")
    [built_in, *_] = importlib.import_module("workbench.plugins").__path__
    return (Path(built_in).resolve().parent / source).is_relative_to(path.resolve())


def _show(registry: Registry, entry: Entry, console: Console) -> bool:
    needed = [name for name, option in entry.options.items() if option.required]
    if needed:
        console.print(
            f"{entry.kind} {entry.name}: not checked, since it needs {', '.join(needed)}. Check it from a test:"
            f" check(registry, '{entry.kind}', '{entry.name}', {needed[0]}=...)",
            style="yellow",
            markup=False,
            soft_wrap=True,
        )
        return True
    findings = list(check(registry, entry.kind, entry.name))
    broken = [finding for finding in findings if not finding.passed]
    console.print(
        f"{entry.kind} {entry.name}: {len(findings) - len(broken)} of {len(findings)} rules kept",
        style="red" if broken else "green",
        markup=False,
        highlight=False,
    )
    for finding in broken:
        console.print(f"  {finding.title}: {finding.explanation}", markup=False, highlight=False, soft_wrap=True)
    return not broken
