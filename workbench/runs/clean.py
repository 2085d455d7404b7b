"""Removes what no record needs and no unfinished run will ask for."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from workbench.runs.plan import Plan
from workbench.storage.artifacts import ARTIFACTS, ArtifactStore
from workbench.storage.atomic import remove_at_once
from workbench.storage.own_stages import is_store, other_folders, own_stages, size_of
from workbench.storage.records import read_record
from workbench.storage.result_files import TRIALS, ResultsError
from workbench.storage.run_notes import RunNotes


def clean(results: Path, dry: bool = False, unfinished: bool = False) -> tuple[dict[str, int], dict[str, int]]:
    """Remove stages that are needed no more from `results` (the folder of all experiments); with `dry`, only say which.
    Whatever no run has made is left alone.

    Needed is what a record of a trial goes back to, phase by phase, and, but with `unfinished`, every stage of a run
    that is not finished. Features can be made again from a kept encoder and go when their run is finished. Returns
    bytes by key: of what was removed, and of what was kept for unfinished runs only. `ResultsError` when there is
    nothing to clean, a run is going on, or a record or the note of an unfinished run is damaged.
    """
    store, runs = _store_of(results), RunNotes(results / ARTIFACTS)
    with runs.unused() as alone:
        if not alone:
            raise ResultsError(f"a run is going on in {results}. Clean when it is finished")
        recorded = _of_records(results, store)
        stages = {key: folders for key, folders in own_stages(store).items() if key not in recorded}
        unneeded = {key: sum(map(size_of, folders)) for key, folders in stages.items()}
        needed = set() if unfinished else runs.needed()
        kept = {key: size for key, size in unneeded.items() if key in needed}
        gone = {key: size for key, size in unneeded.items() if key not in needed}
        if not dry:
            runs.sweep()
            runs.remove_locks()
            for key in gone:
                for folder in stages[key]:
                    remove_at_once(folder)
            if unfinished:
                runs.forget_needed()
        return gone, kept


def left_alone(results: Path) -> list[Path]:
    """The folders among kept stages that `clean` leaves alone: no run made them, or they are not as it left them."""
    return other_folders(_store_of(results))


def left_to_do(plan: Plan, done: Collection[str], lasting: Collection[str], store: ArtifactStore) -> set[str]:
    """The stages that later runs may ask for: all of the trials that are not `done`; but of those that failed for good
    (`lasting`) only what is there. A stage that failed for good keeps its snapshots until `workbench clean`."""
    found: set[str] = set()
    for id_, stages in plan.chains.items():
        if id_ in done:
            continue
        keys = {key for stage in stages for key in (stage.key, *plan.needs(stage))}
        found |= {key for key in keys if id_ not in lasting or store.has(key)}
    return found


def _store_of(results: Path) -> ArtifactStore:
    store = ArtifactStore(results / ARTIFACTS)
    if not is_store(store):
        raise ResultsError(
            f"{results} holds no stages that a run kept there. Give the folder of results with --results"
        )
    return store


def _of_records(results: Path, store: ArtifactStore) -> set[str]:
    """The training stages that records go back to."""
    found: set[str] = set()
    for file in results.glob(f"*/{TRIALS}/*/record.json"):
        try:
            key = read_record(file.parent).provenance.get("before")
        except ResultsError:  # damaged: its trial will be run again, and may need anything
            raise ResultsError(f"{file} is damaged. Run its experiment again first") from None
        while key and key not in found and (summary := store.summary(key)) is not None:
            found.add(key)
            key = summary.get("before")
    return found
