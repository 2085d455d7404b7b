"""Whether the plugins of an experiment keep their contract: asked before anything runs, and remembered."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workbench.code_hashes.package_code import EVALUATION, core_code, versions_of
from workbench.config.component import Checkpoint, Component, identity, named
from workbench.config.experiment import Experiment
from workbench.conformance.examine import CannotCheck
from workbench.conformance.external_plugins import external_components
from workbench.conformance.isolated_check import TooLong, check_isolated
from workbench.conformance.remembered_verdicts import CHECKS, Verdict, read_verdicts, remember_verdicts
from workbench.devices.capabilities import instructions
from workbench.errors import UserError
from workbench.registry import Plugin, Registry
from workbench.storage.hashing import MadeOf, key_of

NOT_TRIED = ("launcher", "tracker")  # they change no number: `workbench check` tries them
NOT_ASKED = "--unchecked was given"


@dataclass(frozen=True)
class Judged:
    """A plugin of an experiment, with its options, where it comes from, and what was found."""

    component: Component
    source: str
    verdict: Verdict

    @property
    def lines(self) -> list[str]:
        """What is wrong in words: which plugin it is, and a line for each broken rule, or why that is not known."""
        name = named(self.component)
        if self.verdict.obstacle:
            could = "was not" if self.verdict.obstacle == NOT_ASKED else "could not be"
            return [f"{name} {could} checked: {self.verdict.obstacle}"]
        rules = [f"  {title}: {explanation}" for title, explanation in self.verdict.broken.items()]
        return [f"{name}, in {self.source}, breaks rules of its contract:", *rules] if rules else []


@dataclass(frozen=True)
class Judgement:
    """What was found of all plugins of an experiment, and what of it is new, by key; remembered in `file`."""

    judged: tuple[Judged, ...]
    new: Mapping[str, Verdict]
    file: Path

    def refuse_broken(self, experiment: Path) -> None:
        """`UserError` with every rule that is broken, and what to do."""
        lines = [f"  {line}" for each in self.judged if each.verdict.broken for line in each.lines]
        if lines:
            self.remember()
            raise UserError(
                "there are plugins of which nobody can say what their numbers mean:\n"
                + "\n".join(lines)
                + f"\nMend them: `workbench check {experiment}` tries them again. To run them as they are, add"
                " --unchecked; records and report then say so"
            )

    def remember(self) -> None:
        """Add what is new to what is remembered; where nothing can be written, the next one asks again."""
        remember_verdicts(self.file, self.new)

    def for_records(self) -> dict[str, dict[str, Any]]:
        """What is to stand in the records of trials with a plugin that is not known to keep its contract."""
        return {
            identity(each.component): {
                "plugin": named(each.component),
                **({"broken": each.verdict.broken} if each.verdict.broken else {"not checked": each.verdict.obstacle}),
            }
            for each in self.judged
            if not each.verdict.kept
        }


def judge(experiment: Experiment, registry: Registry, artifacts: Path, ask: bool = True) -> Judgement:
    """The verdict on every plugin that changes numbers and does not come with the workbench. What is remembered in
    `artifacts` is not checked again, and without `ask` nothing is."""
    file = artifacts / CHECKS
    known, found, new = read_verdicts(file), [], {}
    for component in external_components(experiment, registry):
        if component.kind in NOT_TRIED:
            continue
        plugin = registry.plugin(component.kind, component.name)
        key = key_of(_made_of(component, plugin))
        verdict = known.get(key)
        if verdict is None and ask:
            verdict, lasts = _ask(component, registry)
            new |= {key: verdict} if lasts else {}
        found.append(Judged(component, plugin.source, verdict or Verdict(obstacle=NOT_ASKED)))
    return Judgement(tuple(found), new, file)


def _ask(component: Component, registry: Registry) -> tuple[Verdict, bool]:
    """The verdict, and whether it would be the same again."""
    try:
        results = check_isolated(component, registry.folders)
    except CannotCheck as reason:
        return Verdict(obstacle=str(reason)), isinstance(reason, TooLong)
    return Verdict(broken={each.title: each.why for each in results if not each.passed}), True


def _made_of(component: Component, plugin: Plugin) -> MadeOf:
    """What a verdict depends on: the plugin with its options and files, the rules, and what computes."""
    return {
        "plugin": identity(component),
        "code": plugin.code_hash,
        "files": str(sorted(_stamps(component, component.folder))),
        "python": sys.version,
        "processor": instructions(),
        **core_code((*EVALUATION, "conformance")),
        **versions_of(plugin.packages),
    }


def _stamps(value: Any, folder: Path) -> Iterator[tuple[str, int, int]]:
    """Size and time of the files and folders that options name."""
    match value:
        case Component():
            yield from _stamps(dict(value.options), value.folder)
        case Path() | Checkpoint():
            file = folder / Path(value).expanduser()
            if file.exists():
                yield str(file), file.stat().st_size, file.stat().st_mtime_ns
        case dict() | tuple():
            for each in value.values() if isinstance(value, dict) else value:
                yield from _stamps(each, folder)
