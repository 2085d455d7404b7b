"""Which plugins an experiment uses that do not come with the workbench."""

from __future__ import annotations

from collections.abc import Iterator

from workbench.config.component import Component, identity
from workbench.config.experiment import Experiment
from workbench.config.trial import components_of
from workbench.registry import Registry


def external_components(experiment: Experiment, registry: Registry) -> list[Component]:
    """The components that users' plugins build, each once with each set of options; launcher and trackers included."""
    found: dict[str, Component] = {}
    seen: set[int] = set()  # trials share their parts, which is quick to tell
    for component in _components(experiment):
        if id(component) not in seen:
            seen.add(id(component))
            if not registry.entry(component.kind, component.name).built_in:
                found.setdefault(identity(component), component)
    return list(found.values())


def _components(experiment: Experiment) -> Iterator[Component]:
    for trial in experiment.trials:
        yield from components_of(trial)
    yield from filter(None, (experiment.launcher, *experiment.trackers))
