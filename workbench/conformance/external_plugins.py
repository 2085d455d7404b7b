"""Which plugins an experiment uses that do not come with the workbench."""

from __future__ import annotations

from collections.abc import Iterator

from workbench.config.component import Component
from workbench.config.experiment import Experiment
from workbench.config.trial import components_of
from workbench.registry import Registry


def external_components(experiment: Experiment, registry: Registry) -> list[Component]:
    """Each once with each set of options, launcher and trackers included."""
    distinct = dict.fromkeys(_components(experiment))
    return [each for each in distinct if not registry.plugin(each.kind, each.name).built_in]


def _components(experiment: Experiment) -> Iterator[Component]:
    for trial in experiment.trials:
        yield from components_of(trial)
    yield from filter(None, (experiment.launcher, *experiment.trackers))
