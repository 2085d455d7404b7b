"""Tries a plugin by the rules of its kind."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from workbench.config.component import Component
from workbench.conformance import (
    adapters,
    connectors,
    datasets,
    encoders,
    fusions,
    language_models,
    launchers,
    metrics,
    quantizers,
    trackers,
)
from workbench.conformance.examine import CannotCheck, RuleResult, examine
from workbench.conformance.random_numbers import random_states_restored
from workbench.conformance.reference_model import compose
from workbench.conformance.rules import Subject
from workbench.errors import UserError
from workbench.model.build import arguments_of
from workbench.registry import Plugin, Registry, resolve_options

RULES = {
    "encoder": encoders.RULES,
    "connector": connectors.RULES,
    "fusion": fusions.RULES,
    "language_model": language_models.RULES,
    "adapter": adapters.RULES,
    "quantizer": quantizers.RULES,
    "dataset": datasets.RULES,
    "metric": metrics.RULES,
    "launcher": launchers.RULES,
    "tracker": trackers.RULES,
}
SIZED = ("connector", "fusion")  # kinds that are built for the width of a decoder
# Of the reference decoder: one of them is a multiple of each number of heads from 1 to 16, and of most up to 32; the
# last five are what so many heads of 64 numbers each want.
WIDTHS = (64, 96, 80, 112, 72, 88, 104, 120, 200, 136, 512, 768, 960, 1024, 896)


def check(registry: Registry, kind: str, name: str, **options: Any) -> Iterator[RuleResult]:
    """Try a plugin with these options by every rule of its kind; `CannotCheck` where that cannot be done here."""
    plugin = registry.plugin(kind, name)
    return _examine(plugin, resolve_options(plugin, options))


def check_component(component: Component, registry: Registry) -> Iterator[RuleResult]:
    """The same of a component as an experiment has it."""
    try:
        options = arguments_of(component, registry)
    except UserError as error:  # one of its own parts
        raise CannotCheck(str(error)) from error
    yield from _examine(registry.plugin(component.kind, component.name), options)


def _examine(plugin: Plugin, options: Mapping[str, Any]) -> Iterator[RuleResult]:
    return examine(_fitting(Subject(plugin, options)), RULES[plugin.kind])


def _fitting(subject: Subject) -> Subject:
    """Beside a reference decoder of a width that it takes: a number of heads has to divide it. A plugin says that in
    its own way (torch with an AssertionError), so whatever it raises, another width is tried."""
    if subject.plugin.kind in SIZED:
        for width in WIDTHS:
            sized = replace(subject, width=width)
            try:
                with random_states_restored():
                    compose(sized)
            except (Exception, SystemExit):  # when no width helps, the first rule tells of it
                continue
            return sized
    return subject
