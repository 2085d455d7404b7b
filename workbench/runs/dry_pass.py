"""Tries encoders and language models that run other people's models, and fusions with these, before anything runs: each
with the very options of the experiment.

Other parts are known: those that come with the workbench by its own tests, those of a user by the contract tests that
every plan runs.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.code_hashes.package_code import EVALUATION, HERE, LEFT_OUT, core_code, versions_of
from workbench.config.component import Component
from workbench.config.component_files import files_of
from workbench.config.trial import Trial
from workbench.conformance.examine import CannotCheck
from workbench.contracts.encoder import Encoder
from workbench.contracts.language_model import LanguageModel
from workbench.errors import UserError
from workbench.model.build import CompositionError, arguments_of, naming
from workbench.runs.memo import Memo
from workbench.storage.atomic import write_text
from workbench.storage.cache import cache_folder
from workbench.storage.hashing import digest, file_hash

if TYPE_CHECKING:
    from workbench.registry import Registry

Make = Callable[..., Any]

CONTRACTS: dict[str, type[Encoder] | type[LanguageModel]] = {"encoder": Encoder, "language_model": LanguageModel}
SMALL_FILE = 1_000_000  # bytes of a file that may hold settings; weights are no part of a likeness


class DryPasses:
    """Tries each part once, and remembers on the disk what came out: a plan is made many times."""

    def __init__(self, registry: Registry, memory: Path | None = None):
        self.registry = registry
        self.memory = memory or cache_folder("dry_passes")
        self.untried: dict[str, None] = {}  # in words, as the keys
        self._memo = Memo()

    def check(self, trial: Trial) -> None:
        """`CompositionError` tells the first rule that a part of the trial breaks."""
        parts = trial.components
        for kind in CONTRACTS:
            if self._is_tried(parts[kind]):
                self._memo.once((parts[kind],), partial(self._check, parts[kind], ()))
        fusion, decoder = parts["fusion"], parts["language_model"]
        if self._is_tried(decoder):
            self._memo.once((fusion, decoder), partial(self._check, fusion, (decoder,)))

    def _is_tried(self, component: Component) -> bool:
        """Whether it has a likeness that tells of it."""
        contract = CONTRACTS[component.kind]
        declared = self.registry.plugin(component.kind, component.name).declared(contract)
        return declared.likeness.__func__ is not contract.likeness.__func__

    def _check(self, component: Component, beside: tuple[Component, ...]) -> None:
        with naming(component.kind, component.name):
            file = self.memory / f"{self._key(component, beside)}.json"
        told = _remembered(file)
        if told is None:
            told = self._try(component, beside)
            with suppress(OSError, UserError):  # a full or read-only disk: it is tried again next time
                self.memory.mkdir(parents=True, exist_ok=True)
                write_text(file, json.dumps(told))
        named = " with ".join(f"{each.kind} '{each.name}'" for each in (component, *beside))
        if told["untried"]:
            self.untried[f"{named} was not tried before the run: {told['untried']}"] = None
        if told["wrong"]:
            raise CompositionError(f"{named} cannot be used: {told['wrong']}")

    def _try(self, component: Component, beside: tuple[Component, ...]) -> dict[str, str | None]:
        from workbench.conformance.dry_pass import what_is_wrong

        plugin = self.registry.plugin(component.kind, component.name)
        try:
            others = {each.kind: self._maker(each) for each in beside}
            wrong = what_is_wrong(plugin, self._maker(component), others)
        except CannotCheck as reason:
            return {"wrong": None, "untried": str(reason)}
        return {"wrong": wrong, "untried": None}

    def _maker(self, component: Component) -> Make:
        """What builds a small likeness of it; of a fusion, itself."""
        plugin = self.registry.plugin(component.kind, component.name)
        options = arguments_of(component, self.registry)
        contract = CONTRACTS.get(component.kind)
        if contract is None:
            return partial(plugin.factory, **options)
        return partial(_likeness, plugin.declared(contract), options)

    def _key(self, component: Component, beside: tuple[Component, ...]) -> str:
        """The hash of what a dry pass depends on: code, options, versions, and files as far as they hold settings."""
        told: list[Any] = [_code_of_the_workbench(), versions_of(("torch",))]
        for each in (component, *beside):
            plugin = self.registry.plugin(each.kind, each.name)
            files = [file for file in files_of(each, self.registry) if file.stat().st_size < SMALL_FILE]
            settings = {file.name: file_hash(file) for file in files}
            told.append([plugin.code_hash, versions_of(plugin.packages), each.kind, each.spec(), settings])
        return digest(told)


def _likeness(declared: Any, options: Mapping[str, Any], *positional: Any) -> Any:
    try:
        return declared.likeness(*positional, options)
    except ValueError as error:
        raise CannotCheck(str(error)) from error


@cache
def _code_of_the_workbench() -> list[Any]:
    left_out = [file_hash(HERE / each) for each in LEFT_OUT]  # small likenesses are among them
    return [core_code((*EVALUATION, "conformance")), left_out]


def _remembered(file: Path) -> dict[str, str | None] | None:
    """What came out last time, unless nobody knows or the file is damaged."""
    try:
        told = json.loads(file.read_text(encoding="utf-8"))
        return {name: told[name] for name in ("wrong", "untried")}
    except (OSError, ValueError, KeyError, TypeError):
        return None
