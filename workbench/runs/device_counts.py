"""Whether there are as many devices as the phases of an experiment want: told before anything runs."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from workbench.config.part_places import setting_of_phase
from workbench.config.phase import trains_quantized
from workbench.config.problems import Document, Place, Problems
from workbench.devices.device import find_device
from workbench.devices.machine import too_many, usable_cores
from workbench.runs.auto_precision import precision_notes

if TYPE_CHECKING:
    from workbench.config.experiment import Experiment


def check_devices(experiment: Experiment, device: str | None) -> None:
    """`ExperimentError` names the phases that want more devices than this machine has of the kind of `device`, as
    `find_device` gives it, or share what cannot be shared. Without a device, other machines have them."""
    document = experiment.document or Document({}, {(): Place(0, experiment.name)})
    problems = Problems(document)
    for phase, wanted in _wanted(experiment):
        problem = too_many(device, wanted) if device else None
        if problem:
            problems.add(setting_of_phase(phase, "devices", document), problem)
    for phase in _shares_quantized(experiment):
        told = "no part of a quantized weight can be shared: write 'strategy: ddp', or quantize at the end"
        problems.add(setting_of_phase(phase, "strategy", document), told)
    problems.stop_if_any()


def device_notes(experiment: Experiment, folder: Path, device: str, elsewhere: bool = False) -> list[str]:
    """What is to be said of a device before the experiment of a folder runs on it; `ExperimentError` when there are too
    few of it. Of workers `elsewhere` nothing is known."""
    here = None if elsewhere else find_device(device)
    check_devices(experiment, here)
    waiting = _waiting(experiment, here) if here else ()
    return [*precision_notes(experiment, folder, device, elsewhere), *waiting]


def _waiting(experiment: Experiment, device: str) -> Iterator[str]:
    """Where the devices are processes on the cores of this machine."""
    cores = usable_cores() if device == "cpu" else math.inf
    for phase, wanted in _wanted(experiment):
        if wanted > cores:
            yield (
                f"phase '{phase}' is trained by {wanted} processes on {cores} cores: they wait for each other, and the"
                " numbers are the same"
            )


def _wanted(experiment: Experiment) -> list[tuple[str, int]]:
    """The phases that want several devices, and how many, each pair once."""
    found = ((phase.name, phase.devices) for trial in experiment.trials for phase in trial.phases if phase.devices > 1)
    return list(dict.fromkeys(found))


def _shares_quantized(experiment: Experiment) -> list[str]:
    """The phases that share the weights of a model which was quantized for them or for a phase before."""
    found = (
        phase.name
        for trial in experiment.trials
        for number, phase in enumerate(trial.phases, start=1)
        if phase.devices > 1 and phase.strategy == "fsdp" and trains_quantized(trial.phases[:number])
    )
    return list(dict.fromkeys(found))
