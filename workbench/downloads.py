"""What a trial's parts began from that came from a hub: its commit and its licence, for whoever reads the record."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from workbench.hugging_face import hub_folder

if TYPE_CHECKING:
    from workbench.trial import Trial

PARTS = ("encoder", "language_model", "adapter")
CARD, LICENCES = "README.md", "LICEN[SC]E*"


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
