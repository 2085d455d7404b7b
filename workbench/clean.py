"""Removes what no record needs and no unfinished run will ask for."""

from __future__ import annotations

from pathlib import Path

from workbench.artifacts import ArtifactStore
from workbench.errors import UserError
from workbench.plan import ARTIFACTS
from workbench.records import TRIALS, ResultsError, read_record


class CleanError(UserError):
    """There is nothing to clean, or somebody is at work there."""


def clean(results: Path, dry: bool = False) -> dict[str, int]:
    """Remove stages that are needed no more from `results` (the folder of all experiments); with `dry`, only say which.

    Needed is what a record of a trial goes back to, phase by phase, and every stage of a run that is not finished.
    Features can be made again from a kept encoder and go when their run is finished. Returns bytes by key.
    """
    if not (results / ARTIFACTS).is_dir():
        raise CleanError(f"{results} holds no kept stages. Give the folder of results with --results")
    store = ArtifactStore(results / ARTIFACTS)
    with store.unused() as alone:
        if not alone:
            raise CleanError(f"a run is going on in {results}. Clean when it is finished")
        needed = store.needed() | _of_records(results, store)
        unneeded = [key for key in store.names() if key not in needed]
        if dry:
            return {key: store.size(key) for key in unneeded}
        store.sweep()
        return {key: store.remove(key) for key in unneeded}


def _of_records(results: Path, store: ArtifactStore) -> set[str]:
    """The training stages that records go back to."""
    found: set[str] = set()
    for file in results.glob(f"*/{TRIALS}/*/record.json"):
        try:
            key = read_record(file.parent).provenance.get("before")
        except ResultsError:  # damaged: its trial will be run again, and may need anything
            raise CleanError(f"{file} is damaged. Run its experiment again first") from None
        while key and key not in found:
            found.add(key)
            key = (store.summary(key) or {}).get("before")
    return found
