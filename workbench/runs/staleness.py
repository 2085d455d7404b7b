"""Which results are no longer those of the code, the data and the weights there are now.

An experiment file tells what each trial would be made of now, as it does for a plan. Without it, what a record says it
was made of is looked up piece by piece, as far as the pieces are here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.checkpoints.hugging_face import without_downloads
from workbench.code_hashes.package_code import EVALUATION, core_code
from workbench.config.component import COMPONENTS, Component
from workbench.config.phase import DEFAULT_TEXT
from workbench.config.resolve_components import resolve_component
from workbench.config.written import Written
from workbench.model.build import build
from workbench.runs.stage_keys import BEFORE, SETTINGS, UNSHARED, Ingredients, differences
from workbench.runs.stages import OUTSIDE, Chains, Stage
from workbench.runs.trial_data import TrialData
from workbench.storage.hashing import MadeOf, canonical, file_hash

if TYPE_CHECKING:
    from workbench.config.experiment import Experiment
    from workbench.config.trial import Trial
    from workbench.registry import Registry
    from workbench.reports.results_data import Study
    from workbench.storage.records import Record


SHORT = 200  # characters of a reason that are told


@dataclass(frozen=True)
class Staleness:
    """`changed`: by trial id, what is another one now; `not_compared`: what could not be looked at, and why."""

    changed: Mapping[str, tuple[str, ...]]
    not_compared: tuple[str, ...]


def with_staleness(study: Study, registry: Registry, experiment: Experiment | None = None) -> Study:
    """The study with what is to be said of results that are out of date."""
    staleness = find_stale(study.done, registry, experiment)
    tested = replace(experiment, trials=experiment.final) if experiment else None
    final = with_staleness(study.final, registry, tested) if study.final else None
    return replace(study, stale=staleness.changed, not_compared=staleness.not_compared, final=final)


def find_stale(records: Sequence[Record], registry: Registry, experiment: Experiment | None = None) -> Staleness:
    """Compare what finished trials were made of with what they would be made of now. Whatever is missing here, plugins,
    data or weights, is told and stops nothing, nor is any weight downloaded for it."""
    silent = sum(not record.provenance.get("made_of") for record in records)
    unknown = [f"{silent} of {len(records)} trials do not say what they were made of"] if silent else []
    changed, now = {}, _Now(registry)
    with without_downloads():
        last = _last_stages(registry, experiment)
        for record in records:
            if record.provenance.get("made_of"):
                stage = last.get(record.id)
                changed[record.id] = tuple(_since(record, stage, registry) if stage else now.differences(record))
    return Staleness({id_: told for id_, told in changed.items() if told}, (*unknown, *now.not_compared))


def _last_stages(registry: Registry, experiment: Experiment | None) -> dict[str, Stage]:
    """By trial id, the stage that would make its record now, of those whose data and files are here."""
    chains, found = Chains(registry, TrialData(registry).fingerprint), {}
    for trial in experiment.trials if experiment else ():
        try:
            if _has_files(trial, chains.ingredients):
                found[trial.id] = chains.chain(trial)[-1]
        except Exception:  # a plugin is anyone's code; what it lacks is told piece by piece
            continue
    return found


def _has_files(trial: Trial, ingredients: Ingredients) -> bool:
    """Whether the weights that the trial's parts begin from are here, and the text that it is tried on."""
    files = [file for component in trial.components.values() for _, file in ingredients.all_files(component)]
    return all(file.exists() for file in (*files, *filter(None, (trial.text_file,))))


def _since(record: Record, stage: Stage, registry: Registry) -> list[str]:
    """What is another one now than when the record was made; a trial that shared no work is compared by that alone."""
    if record.provenance.get("key") == stage.key:
        return []
    made_of = record.provenance["made_of"]
    told = differences(made_of, stage.made_of, registry)
    return told or ([] if UNSHARED in made_of else ["its settings changed"])


class _Now:
    """What evaluations would be made of now; each part is looked up once for all records that have it."""

    def __init__(self, registry: Registry):
        self.registry = registry
        self.ingredients = Ingredients(registry, lambda trial: "")
        self.core = core_code(EVALUATION)
        self._parts: dict[tuple, tuple[MadeOf, tuple[str, ...]]] = {}
        self._not_compared: dict[str, None] = {}

    @property
    def not_compared(self) -> tuple[str, ...]:
        """What could not be looked up so far."""
        return tuple(self._not_compared)

    def differences(self, record: Record) -> list[str]:
        """What is another one now than when the record was made, as far as that can be said."""
        folder = Path(str(record.provenance.get("folder", ".")))
        now, missing = dict(self.core), []
        for kind, written, mark in _parts_of(record.spec):
            found, faults = self._part(kind, written, folder, mark)
            now |= found
            missing += faults
        text = record.spec.get("evaluation", {}).get("text", "")
        if text not in ("", DEFAULT_TEXT):
            found, faults = _of_files({f"file:{text}": folder / Path(text).expanduser()})
            now |= found
            missing += faults
        self._not_compared |= dict.fromkeys(missing)
        made_of = {name: each for name, each in record.provenance["made_of"].items() if name not in (SETTINGS, BEFORE)}
        if missing:  # of what is not here nobody knows whether it is gone
            made_of = {name: each for name, each in made_of.items() if name in now}
        return differences({name: each for name, each in made_of.items() if name != UNSHARED}, now, self.registry)

    def _part(self, kind: str, written: Any, folder: Path, mark: str) -> tuple[MadeOf, tuple[str, ...]]:
        known = kind, canonical(written), folder, mark
        if known not in self._parts:
            try:
                self._parts[known] = self._look_up(kind, written, folder, mark)
            except Exception as error:  # a plugin is anyone's code: whatever it raises is told, and the report written
                self._parts[known] = {}, (_in_short(kind, _name_of(written), error),)
        return self._parts[known]

    def _look_up(self, kind: str, written: Any, folder: Path, mark: str) -> tuple[MadeOf, tuple[str, ...]]:
        resolved = resolve_component(kind, Written(written, (kind,), {}), self.registry, folder)
        if resolved.value is None:
            return {}, tuple(_in_short(kind, _name_of(written), message) for _, message in resolved.faults)
        component = resolved.value
        made_of, faults = self.ingredients.of_code(component), []
        try:
            files = {f"file:{part.written(file)}": file for part, file in self.ingredients.all_files(component)}
            found, faults = _of_files(files)
            made_of = made_of | found
            if kind == "dataset":
                made_of[f"data:{component.name}{mark}"] = self._fingerprint(component)
        except Exception as error:  # as above: its code can be compared all the same
            faults.append(_in_short(kind, component.name, error))
        return made_of, tuple(faults)

    def _fingerprint(self, dataset: Component) -> str:
        return build(dataset, self.registry).fingerprint()


def _parts_of(spec: Mapping[str, Any]) -> Iterator[tuple[str, Any, str]]:
    """The components that an evaluation is made of: kind, how it is written, and what marks its data."""
    adapted = any("adapter" in phase.get("train", ()) for phase in spec.get("phases", ()))
    for kind in COMPONENTS:
        if kind in spec and (kind != "adapter" or adapted):
            yield kind, spec[kind], ""
    yield from (("metric", metric, "") for metric in spec.get("metrics", ()))
    outside = spec.get("evaluation", {}).get("outside")
    if outside:
        yield "dataset", outside, OUTSIDE


def _of_files(files: Mapping[str, Path]) -> tuple[MadeOf, list[str]]:
    """The hashes of files that are here, and which are not."""
    return (
        {name: file_hash(file) for name, file in files.items() if file.exists()},
        [f"{file} is not here" for file in files.values() if not file.exists()],
    )


def _name_of(written: Any) -> str:
    return str(written.get("name", "")) if isinstance(written, Mapping) else str(written)


def _in_short(kind: str, name: str, reason: object) -> str:
    """The first line of what is wrong with a component, without what might be written instead."""
    line = str(reason).partition("\n")[0].partition(" Known: ")[0].rstrip(".")
    line = f"{line[:SHORT]}..." if len(line) > SHORT else line
    return line if f"{kind} '{name}'" in line else f"the {kind} '{name}': {line}"
