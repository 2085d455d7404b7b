"""Tries encoders and language models that run other people's models, and fusions with these, before anything runs: each
with the very options of the experiment.

Other parts are known: those that come with the workbench by its own tests, those of a user by the contract tests that
every plan runs.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.code_hashes.package_code import EVALUATION, HERE, LEFT_OUT, core_code, versions_of
from workbench.config.component import Component, identity
from workbench.config.component_files import files_of
from workbench.config.trial import Trial
from workbench.conformance.examine import CannotCheck
from workbench.conformance.remembered_verdicts import Verdict, read_verdicts, remember_verdicts
from workbench.contracts.encoder import Encoder
from workbench.contracts.language_model import LanguageModel
from workbench.devices.capabilities import instructions
from workbench.model.build import CompositionError, arguments_of, naming
from workbench.runs.memo import Memo
from workbench.storage.hashing import MadeOf, file_hash, key_of

if TYPE_CHECKING:
    from workbench.registry import Registry

Make = Callable[..., Any]

CONTRACTS: dict[str, type[Encoder] | type[LanguageModel]] = {"encoder": Encoder, "language_model": LanguageModel}
SMALL_FILE = 1_000_000  # bytes of a file that may hold settings; weights are no part of a likeness


class DryPasses:
    """Tries each part once, and remembers in `file`, if one is given, what came out: a plan is made many times."""

    def __init__(self, registry: Registry, file: Path | None = None):
        self.registry = registry
        self.file = file
        self.untried: dict[str, None] = {}  # in words, as the keys
        self._known = read_verdicts(file) if file else {}
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
            key = self._key(component, beside)
        verdict = self._known.get(key) or self._try(component, beside)
        if key not in self._known and self.file and not verdict.obstacle:  # which may be gone the next time
            remember_verdicts(self.file, {key: verdict})
        named = " with ".join(f"{each.kind} '{each.name}'" for each in (component, *beside))
        if verdict.obstacle:
            self.untried[f"{named} was not tried before the run: {verdict.obstacle}"] = None
        for why in verdict.broken.values():
            raise CompositionError(f"{named} cannot be used: {why}")

    def _try(self, component: Component, beside: tuple[Component, ...]) -> Verdict:
        from workbench.conformance.dry_pass import verdict_on

        plugin = self.registry.plugin(component.kind, component.name)
        others = {each.kind: self._maker(each) for each in beside}
        return verdict_on(plugin, self._maker(component), others)

    def _maker(self, component: Component) -> Make:
        """What builds a small likeness of it; of a fusion, itself."""
        plugin = self.registry.plugin(component.kind, component.name)
        options = arguments_of(component, self.registry)
        contract = CONTRACTS.get(component.kind)
        if contract is None:
            return partial(plugin.factory, **options)
        return partial(_likeness, plugin.declared(contract), options)

    def _key(self, component: Component, beside: tuple[Component, ...]) -> str:
        """The hash of what a dry pass depends on: code, options, versions, the processor, and files as far as they hold
        settings."""
        made_of: MadeOf = {**_of_all(), **versions_of(("torch",))}
        for each in (component, *beside):
            plugin = self.registry.plugin(each.kind, each.name)
            files = [file for file in files_of(each, self.registry) if file.stat().st_size < SMALL_FILE]
            made_of |= {f"{each.kind}:{file.name}": file_hash(file) for file in files}
            made_of |= {each.kind: identity(each), f"code:{each.kind}": plugin.code_hash}
            made_of |= versions_of(plugin.packages)
        return key_of(made_of)


def _likeness(declared: Any, options: Mapping[str, Any], *positional: Any) -> Any:
    try:
        return declared.likeness(*positional, options)
    except ValueError as error:
        raise CannotCheck(str(error)) from error


@cache
def _of_all() -> MadeOf:
    small = {f"small:{each}": file_hash(HERE / each) for each in LEFT_OUT}  # what makes likenesses is among them
    computes = {"dry pass": "", "python": sys.version, "processor": instructions()}
    return {**computes, **small, **core_code((*EVALUATION, "conformance"))}
