"""What `precision: auto` means to an experiment, and what is to be said of its precisions before it runs."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.devices.device import device_name, find_device
from workbench.devices.precision import is_native, native_precision, slowdown
from workbench.storage.places import regular
from workbench.storage.records import read_record
from workbench.storage.result_files import RECORD, SUMMARY, TRIALS, ResultsError

if TYPE_CHECKING:
    from workbench.config.experiment import Experiment

AUTOMATIC = ("fp32", "bf16")  # what `auto` may mean
OLD_DEFAULT = "fp32"  # of the versions that knew no `auto`


def precision_for(results: Path, device: str) -> Callable[[str], str]:
    """For `load_experiment`: what its results folder began with, so that an experiment which goes on elsewhere stays
    one; of a new one, what the device (`auto`, `cpu`, `cuda` ...) multiplies natively."""
    return lambda name: begun_with(results / name) or native_precision(find_device(device))


def begun_with(folder: Path) -> str | None:
    """What `auto` meant to the runs that this folder is of; None when there were none, or none asked. Where none wrote
    it down, as older versions did not, their trials tell."""
    try:
        precision = json.loads(regular(folder / SUMMARY).read_text(encoding="utf-8"))["auto_precision"]
    except (OSError, ValueError, TypeError, KeyError, RecursionError):  # damaged: whoever reads it whole says so
        return _of_trials(folder)
    return precision if precision in AUTOMATIC else None


def summary_to_keep(experiment: Experiment, folder: Path) -> dict[str, Any]:
    """What `experiment.json` is to hold. A run that leaves nothing to the device does not undo what the folder began
    with: a later one may."""
    precision = experiment.auto_precision or begun_with(folder)
    file = os.path.relpath(experiment.path.resolve(), folder.resolve())  # a copy of both is told from both
    return {**experiment.summary(), "auto_precision": precision, "file": file}


def precision_notes(experiment: Experiment, folder: Path, device: str, elsewhere: bool = False) -> Iterator[str]:
    """What `auto` is and why; each precision that the device has no products for, with what
    that costs, measured now; a device on which nothing was ever tried. Of workers `elsewhere` nothing is known."""
    if elsewhere:
        if experiment.auto_precision is not None:
            told = f"precision: auto is {experiment.auto_precision}, by this machine or what {folder} began with"
            yield f"{told}; stages run on others. Write precision: bf16 or fp32 to choose"
        return
    device = find_device(device)
    here = device_name(device)
    if device.startswith("mps"):
        yield "the device mps is accepted, but nothing was ever tried on one: compare a small run with --device cpu"
    auto = experiment.auto_precision
    if auto is not None:
        yield f"precision: auto is {auto}, {_why(auto, begun_with(folder), folder, device, here)}"
    for precision in dict.fromkeys(_asked(experiment)):
        if not is_native(precision, device):
            times = slowdown(precision, device)
            advice = "Give another --results to begin anew" if precision == auto else "Write precision: auto"
            told = f"{here} has no {precision} products of its own: one takes {times:.1f} times as long as in fp32"
            yield f"{told}, measured now. {advice}"


def _of_trials(folder: Path) -> str | None:
    """What all trials of an older version computed in; where that differs, what it took for one that was not written;
    None where there are no trials."""
    found = set()
    for file in folder.glob(f"{TRIALS}/*/{RECORD}"):
        with suppress(ResultsError):  # damaged: whoever needs it tells
            spec = read_record(file.parent).spec
            parts = (*spec.get("phases", ()), spec.get("evaluation", {}))
            found |= {str(part["precision"]) for part in parts if "precision" in part}
    if len(found) == 1:
        return next((each for each in AUTOMATIC if each in found), None)
    return OLD_DEFAULT if found else None


def _asked(experiment: Experiment) -> Iterator[str]:
    for trial in experiment.trials:
        yield from (phase.precision for phase in trial.phases)
        yield trial.evaluation.precision


def _why(auto: str, begun: str | None, folder: Path, device: str, here: str) -> str:
    native = native_precision(device)
    if begun is not None and begun != native:
        return f"which {folder} began with, so that its trials stay comparable; {here} would take {native} by itself"
    return f"since {here} {'multiplies' if native == 'bf16' else 'does not multiply'} bf16 natively"
