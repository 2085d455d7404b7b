"""The files that give a component its starting weights, and what the keys of stages call them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from workbench.registry import Registry
    from workbench.trial import Component, Trial


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
