"""Makes the launcher of an experiment: the one it names, or the one that all use which name none."""

from __future__ import annotations

from typing import TYPE_CHECKING

from workbench.contracts.launcher import Launcher
from workbench.devices.device import find_device
from workbench.errors import UserError

if TYPE_CHECKING:
    from workbench.config.experiment import Experiment
    from workbench.registry import Plugin, Registry

KIND = "launcher"


def make_launcher(experiment: Experiment, registry: Registry, workers: int | None = None) -> Launcher:
    """The launcher the experiment names, or the usual one; `workers` takes the place of its option of that name.
    `UserError` when it has none, or does not take these options."""
    plugin = _plugin_of(experiment, registry)
    options = experiment.launcher.arguments() if experiment.launcher is not None else {}
    if workers is not None:
        if "workers" not in plugin.options:
            raise UserError(f"--workers does not fit: the launcher '{plugin.name}' has no option 'workers'")
        options["workers"] = workers
    return registry.create(KIND, plugin.name, **options)


def runs_elsewhere(experiment: Experiment, registry: Registry) -> bool:
    """Whether stages run on other machines, of which this one knows nothing."""
    return _plugin_of(experiment, registry).declared(Launcher).elsewhere


def device_for(launcher: Launcher, wanted: str) -> str:
    """The device that workers compute on. Those elsewhere are told the wish, and each finds its own."""
    return wanted if launcher.elsewhere else find_device(wanted)


def _plugin_of(experiment: Experiment, registry: Registry) -> Plugin:
    if experiment.launcher is not None:
        return registry.plugin(KIND, experiment.launcher.name)
    return next(plugin for plugin in registry.plugins(KIND) if plugin.declared(Launcher).usual)
