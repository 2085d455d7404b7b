"""The files that a component begins from: which they are, how keys call them, and of what commit and licence."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from workbench.checkpoints.hugging_face import hub_folder
from workbench.ingredient import Pretrainable

if TYPE_CHECKING:
    from workbench.config.component import Component
    from workbench.config.trial import Trial
    from workbench.registry import Registry

PARTS = ("encoder", "language_model", "adapter")
CARD, LICENCES = "README.md", "LICEN[SC]E*"


def files_of(component: Component, registry: Registry) -> tuple[Path, ...]:
    """The files that give a component all its starting weights; none when the seed gives any."""
    declared = registry.plugin(component.kind, component.name).declared(Pretrainable)
    return tuple(Path(file) for file in declared.files(component.arguments()))


def file_named(written: str, trial: Trial, registry: Registry) -> Path:
    """The file that the keys of a trial's stages call so (`Component.written`)."""
    for component in (*trial.components.values(), *filter(None, (trial.outside,))):
        for file in files_of(component, registry):
            if component.written(file) == written:
                return file
    return trial.components["language_model"].folder / Path(written).expanduser()


def downloads(trial: Trial) -> dict[str, dict[str, str]]:
    """By hub id: the commit whose files the trial's parts began from, and their licence as far as these tell it."""
    found = {each: hub_folder(each) for kind in PARTS for each in trial.components[kind].hub_ids()}
    return {each: {"commit": folder.name, "licence": licence_of(folder)} for each, folder in found.items()}


def licence_of(folder: Path) -> str:
    """What a part's own model card or licence file says; nothing if it is not told."""
    card = folder / CARD
    if card.is_file():
        for line in card.read_text(encoding="utf-8", errors="replace").splitlines()[:60]:
            key, _, value = line.partition(":")
            if key.strip() in ("license", "licence") and value.strip():
                return value.strip()
    files = sorted(folder.glob(LICENCES))
    return f"see {folder.name}/{files[0].name}" if files else ""
