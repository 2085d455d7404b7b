"""Makes the launcher of an experiment: the one it names, or the one that all use which name none."""

from __future__ import annotations

from typing import TYPE_CHECKING

from workbench.contracts.launcher import Launcher
from workbench.errors import UserError

if TYPE_CHECKING:
    from workbench.config.experiment import Experiment
    from workbench.registry import Registry

KIND = "launcher"


def make_launcher(experiment: Experiment, registry: Registry, workers: int | None = None) -> Launcher:
    """The launcher the experiment names, or the usual one; `workers` takes the place of its option of that name.
    `UserError` when it has none, or does not take these options."""
    if experiment.launcher is not None:
        name, options = experiment.launcher.name, experiment.launcher.arguments()
    else:
        usual = [plugin for plugin in registry.plugins(KIND) if plugin.declared(Launcher).usual]
        name, options = usual[0].name, {}
    if workers is not None:
        if "workers" not in registry.plugin(KIND, name).options:
            raise UserError(f"--workers does not fit: the launcher '{name}' has no option 'workers'")
        options["workers"] = workers
    return registry.create(KIND, name, **options)
