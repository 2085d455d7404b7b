"""What `precision: auto` means to an experiment, and what is to be said of its precisions before it runs."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from workbench.devices import device_name, find_device
from workbench.precision import dtype_of, is_native, native_precision, slowdown
from workbench.records import SUMMARY

if TYPE_CHECKING:
    from workbench.experiment import Experiment


def precision_for(results: Path, device: str) -> Callable[[str], str]:
    """For `load_experiment`: what its results folder began with, so that an experiment which goes on elsewhere stays
    one; of a new one, what the device (`auto`, `cpu`, `cuda` ...) multiplies natively."""
    return lambda name: begun_with(results / name) or native_precision(find_device(device))


def begun_with(folder: Path) -> str | None:
    """What `auto` meant to the runs that this folder is of; None when there were none, or none asked."""
    try:
        precision = json.loads((folder / SUMMARY).read_text(encoding="utf-8")).get("auto_precision")
        dtype_of(precision)
    except (OSError, ValueError, AttributeError, TypeError):  # not there, or damaged: whoever reads it whole says so
        return None
    return precision


def precision_notes(experiment: Experiment, folder: Path, device: str) -> Iterator[str]:
    """What `auto` is and why; each precision that the device (as `find_device` gives it) has no products for, with what
    that costs, measured now; a device on which nothing was ever tried."""
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


def _asked(experiment: Experiment) -> Iterator[str]:
    for trial in experiment.trials:
        yield from (phase.precision for phase in trial.phases)
        yield trial.evaluation.precision


def _why(auto: str, begun: str | None, folder: Path, device: str, here: str) -> str:
    native = native_precision(device)
    if begun is not None and begun != native:
        return f"which {folder} began with, so that its trials stay comparable; {here} would take {native} by itself"
    return f"since {here} {'multiplies' if native == 'bf16' else 'does not multiply'} bf16 natively"
