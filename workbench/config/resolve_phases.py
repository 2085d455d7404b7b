"""How a file has the trials trained and asked -> their phases, their evaluation and their prompt, checked."""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import Path
from typing import Any

from workbench.checkpoints.chat_template import CHAT
from workbench.config.component import COMPONENTS
from workbench.config.phase import DEFAULT_TEXT, Evaluation, Phase
from workbench.config.problems import Document, Keys
from workbench.config.validation_messages import Fault, check_settings, shown
from workbench.config.written import Resolved, Written
from workbench.errors import did_you_mean
from workbench.registry import Registry, RegistryError
from workbench.storage.places import is_file
from workbench.storage.splits import HELD_OUT, TRAIN

DEFAULT_PROMPT = "<image>{question}\n"


def phase_names(document: Document) -> list[str]:
    """The names of the phases in base, in order; none where they are no list. One without a name has its number."""
    phases = document.value.get("base", {}).get("phases")
    if not isinstance(phases, list):
        return []
    return [
        str(phase.get("name", number)) if isinstance(phase, dict) else str(number)
        for number, phase in enumerate(phases)
    ]


def resolve_phase(
    written: Written, registry: Registry, ever_trained: Collection[str], metrics: Collection[str]
) -> Resolved:
    """A phase, or all that is wrong with it. A part may have a rate where it is `ever_trained`: this phase trains it at
    some point of the grid. The rates of parts that do not train here are dropped. It may validate with the experiment's
    `metrics` alone."""
    phase, faults = _check(Phase, written)
    if phase is None:
        return Resolved(None, faults)
    keys = written.keys
    more: list[Fault] = []
    if not re.fullmatch(r"[\w -]+", phase.name):
        more.append(
            ((*keys, "name"), f"'{phase.name}' is no name of a phase. Use letters, digits, spaces, '_' and '-'")
        )
    if isinstance(phase.rate, dict):
        trained = {*ever_trained, *phase.train}
        strange = [part for part in phase.rate if part not in trained]
        missing = [part for part in phase.train if part not in phase.rate]
        train = f"The phase trains: {', '.join(phase.train)}"
        more += [((*keys, "rate", part), f"'{part}' does not train, so it has no rate. {train}") for part in strange]
        more += [((*keys, "rate"), f"there is no rate for '{part}'. {train}") for part in missing]
        if not more:
            phase = phase.model_copy(update={"rate": {part: phase.rate[part] for part in phase.train}})
    for name in phase.validate_with:
        if name not in metrics:
            known = f"{did_you_mean(name, metrics)} Its metrics: {', '.join(metrics)}"
            more.append(((*keys, "validate_with"), f"the experiment has no metric '{name}'.{known}"))
    for kind, names in phase.only.items():
        more += _check_only(registry, kind, names, (*keys, "only", kind))
    return Resolved(None if more else phase, tuple(more))


def resolve_evaluation(written: Written, folder: Path) -> Resolved:
    """An evaluation, or all that is wrong with it. The file of its text is looked for in `folder`."""
    evaluation, faults = _check(Evaluation, written)
    if evaluation and evaluation.split == TRAIN:
        keys = written.swept["split"][1] if "split" in written.swept else (*written.keys, "split")
        advice = f"Write 'split: {HELD_OUT}': training images that no phase trains on"
        return Resolved(None, ((keys, f"a model is not measured by the images that it was trained on. {advice}"),))
    if evaluation and evaluation.text not in ("", DEFAULT_TEXT):
        file = folder / Path(evaluation.text).expanduser()
        if not is_file(file):
            keys = written.swept["text"][1] if "text" in written.swept else (*written.keys, "text")
            return Resolved(None, ((keys, f"there is no file {file}. Give one with plain text, or '{DEFAULT_TEXT}'"),))
    return Resolved(evaluation, faults)


def resolve_prompt(written: Written) -> Resolved:
    """A prompt, or all that is wrong with it: the question has to occur, and nothing else can be filled in."""
    prompt = written.value
    if not isinstance(prompt, str):
        return Resolved(None, ((written.keys, f"this must be a text with {{question}} in it, not {shown(prompt)}"),))
    if prompt.strip() == CHAT:
        return Resolved(prompt, ())
    fields = re.findall(r"\{([^{}\s]*)\}", prompt)
    faults = [
        f"'{{{name}}}' is not filled in.{did_you_mean(name, ['question'])} Write {{question}}, the only field there is"
        for name in fields
        if name != "question"
    ]
    if "question" not in fields:
        faults.append("the question does not occur. Write {question} where it belongs, as <image>{question}")
    return Resolved(None if faults else prompt, tuple((written.keys, fault) for fault in faults))


def _check(model: type[Phase] | type[Evaluation], written: Written) -> tuple[Any, tuple[Fault, ...]]:
    """The model of what is written; a fault stands where its setting was written."""
    value = written.value
    if isinstance(value, dict):
        value = {**value, **{setting: swept for setting, (swept, _) in written.swept.items()}}
    checked, faults = check_settings(model, value)
    placed = []
    for way, message in faults:
        head = written.swept.get(str(way[0])) if way else None
        placed.append(((*head[1], *way[1:]) if head else (*written.keys, *way), message))
    return checked, tuple(placed)


def _check_only(registry: Registry, kind: str, names: str | tuple[str, ...], keys: Keys) -> list[Fault]:
    if kind not in COMPONENTS:
        return [(keys, f"there is no kind '{kind}'.{did_you_mean(kind, COMPONENTS)} Kinds: {', '.join(COMPONENTS)}")]
    faults = []
    for name in [names] if isinstance(names, str) else names:
        try:
            registry.plugin(kind, name)
        except RegistryError as error:
            faults.append((keys, str(error)))
    return faults
