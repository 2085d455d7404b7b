"""How many images the trials of a report left out as broken."""

from __future__ import annotations

from collections.abc import Iterable

from workbench.storage.records import Record


def skipped_images(records: Iterable[Record]) -> dict[str, int]:
    """By split and task, as `train/questions`: how many images any of the trials left out; what left out none is not
    there."""
    found: dict[str, set[str]] = {}
    for record in records:
        for where, images in record.provenance.get("skipped_images", {}).items():
            found.setdefault(where, set()).update(images)
    return {where: len(images) for where, images in found.items() if images}
