"""A finished trial back from its record: the spec as a trial again, and its model as it was evaluated."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from workbench.checkpoints.tokenizer import Corpus
from workbench.config.component import COMPONENTS, Component
from workbench.config.experiment import plugin_folders
from workbench.config.phase import Evaluation, Phase
from workbench.config.resolve_components import resolve_component
from workbench.config.trial import Trial
from workbench.config.written import Written
from workbench.errors import first_of
from workbench.model.build import build_dataset, corpus_of
from workbench.model.restore import RestoredModel, prepare_for_evaluation, restore
from workbench.model.vision_language_model import VisionLanguageModel
from workbench.registry import Registry, load_registry
from workbench.storage.artifacts import ARTIFACTS, Artifact
from workbench.storage.chosen_store import open_store
from workbench.storage.older_records import dataset_of
from workbench.storage.places import is_file, is_folder
from workbench.storage.records import DONE, Record, read_record
from workbench.storage.result_files import RECORD, TRIALS, ResultsError

SHOWN = 5  # ids that a message names


@dataclass(frozen=True)
class FinishedTrial:
    """A trial that has a good record in `folder`; `registry` has the plugins it is made of."""

    folder: Path
    record: Record
    trial: Trial
    registry: Registry

    def restored(self) -> RestoredModel:
        """Its model as its last phase left it: the adapter is not merged, nothing is quantized. Raises `ResultsError`
        where the weights are gone."""
        before = self._kept()
        corpus = Corpus(self._texts, before.tokenizer_file if before else None)
        return restore(before, self.trial, self.trial.phases, self.registry, corpus)

    def model(self) -> VisionLanguageModel:
        """Its model as it was evaluated, on the CPU."""
        restored = self.restored()
        prepare_for_evaluation(restored, self.trial, self.registry)
        return restored.model.eval()

    def _kept(self) -> Artifact | None:
        key = self.record.provenance.get("before")
        if key is None:
            return None
        store = open_store(self.folder.resolve().parents[2] / ARTIFACTS)
        if not store.has(key):
            raise ResultsError(
                f"the weights of the trial {self.record.id} are gone: {store.folder / key} is missing or damaged."
                f" Run the experiment '{self.record.experiment}' again"
            )
        return store.read(key)

    def _texts(self) -> Iterator[str]:
        """Only asked for by a model without a saved tokenizer: answering needs no data."""
        yield from corpus_of(self.trial, build_dataset(self.trial, self.registry)).texts()


def load_trial(name: str, results: Path, folders: Sequence[Path] = ()) -> FinishedTrial:
    """The trial of that id, of that unique beginning of an id, or in that folder; `folders` are those of plugins.
    Raises `ResultsError` where there is none, it failed, or it cannot be built again."""
    folder = find_trial(name, results)
    record = read_record(folder)
    if record.status != DONE:
        reason = (record.error or {}).get("message", "").partition("\n")[0]
        raise ResultsError(f"the trial {record.id} failed: {reason}. Run it again with --retry failed")
    origin = Path(str(record.provenance.get("folder", ".")))
    registry = load_registry(plugin_folders(origin / "any.yaml", [*plugin_folders("any.yaml"), *folders]))
    trial = trial_of(record.spec, registry, origin, record.experiment, record.axes)
    return FinishedTrial(folder, record, trial, registry)


def find_trial(name: str, results: Path) -> Path:
    """The folder with the record of the trial of that name, as `load_trial` takes it. Raises `ResultsError` where there
    is none, or more than one."""
    if is_file(Path(name) / RECORD):
        return Path(name)
    if not is_folder(results):
        raise ResultsError(f"there is no folder of results {results}. Give it with --results")
    found: dict[str, Path] = {}
    for file in sorted(results.glob(f"*/{TRIALS}/*/{RECORD}")):
        if name and file.parent.name.startswith(name):
            found.setdefault(file.parent.name, file.parent)
    if name in found:
        return found[name]
    if len(found) > 1:
        raise ResultsError(f"several trials begin with '{name}': {first_of(found, SHOWN)}. Write more of the id")
    if not found:
        every = [file.parent.name for file in sorted(results.glob(f"*/{TRIALS}/*/{RECORD}"))]
        there = f"There are: {first_of(every, SHOWN)}" if every else "None was run yet"
        raise ResultsError(
            f"there is no trial '{name}' in {results}. Give the id, its beginning, or the folder with its {RECORD}."
            f" {there}"
        )
    return next(iter(found.values()))


def trial_of(
    spec: dict[str, Any], registry: Registry, folder: Path, experiment: str = "", axes: dict[str, str] | None = None
) -> Trial:
    """A spec, as records have it, as a trial again; paths among its options are relative to `folder`. Raises
    `ResultsError` where a plugin is missing, or the spec is of another version."""
    problems: list[str] = []

    def component(kind: str, written: Any) -> Component:
        resolved = resolve_component(kind, Written(written, (kind,), {}), registry, folder)
        problems.extend(f"{'.'.join(map(str, keys))}: {message}" for keys, message in resolved.faults)
        return resolved.value

    try:
        written = {**spec, "dataset": dataset_of(spec["dataset"], registry.by_name("dataset"))}
        components = {kind: component(kind, written[kind]) for kind in COMPONENTS}
        metrics = tuple(component("metric", metric) for metric in spec["metrics"])
        phases = tuple(Phase.model_validate_json(json.dumps(phase)) for phase in spec["phases"])
        settings = {name: value for name, value in spec["evaluation"].items() if name != "outside"}
        outside = spec["evaluation"].get("outside")
        evaluation, other = (
            Evaluation.model_validate_json(json.dumps(settings)),
            outside and component("dataset", dataset_of(outside, registry.by_name("dataset"))),
        )
        prompt, seed = spec["prompt"], spec["seed"]
    except (KeyError, TypeError, ValidationError) as error:
        raise ResultsError(f"the trial was made by another version, or its spec is damaged: {error}") from error
    if problems:
        raise ResultsError(
            "the trial cannot be built again: " + "; ".join(problems) + ". Plugins of your own are given with --plugins"
        )
    return Trial(experiment, axes or {}, components, phases, metrics, evaluation, prompt, seed, other)
