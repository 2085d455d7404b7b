"""`workbench match`: measures what has to be measured to make variants alike, and shows what is set for that."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from workbench.cli.loading import load
from workbench.config.experiment import load_experiment, plugin_folders
from workbench.config.phase import AUTO
from workbench.devices.device import find_device
from workbench.errors import UserError
from workbench.registry import load_registry
from workbench.reports.match_notes import match_lines
from workbench.runs.auto_precision import precision_for
from workbench.runs.matching import Matching
from workbench.runs.measured_steps import measure_steps, names_of, unmeasured
from workbench.runs.step_seconds import StepSeconds, file_beside, read_step_seconds

if TYPE_CHECKING:
    from workbench.config.experiment import Experiment
    from workbench.registry import Registry


DISTURBED = 0.03  # by which share two good rounds of an idle machine are not apart


@dataclass(frozen=True)
class Asked:
    """The experiment file that is matched, and how a command was told to load it."""

    file: Path
    overrides: Sequence[str]
    folders: Sequence[Path]
    results: Path
    device: str


def show_match(console: Console, asked: Asked, again: bool) -> None:
    """Measure the seconds of steps that are not known where the file matches by time, all with `again`, and show what
    is set in every variant. `UserError` where the file matches nothing."""
    registry = load_registry(plugin_folders(asked.file, asked.folders))
    # As it is written: what is kept has to be found again where `precision: auto` means something else.
    written = load_experiment(
        asked.file, registry, asked.overrides, lambda _: AUTO, Matching(registry, asked.file, timed=False)
    )
    if written.match is None:
        raise UserError(
            f"{asked.file} has no 'match': write, as an example, match: {{parameters: language_model.width}}"
        )
    if written.match.time:
        _measure(console, asked, written, registry, again)
    experiment, _ = load(asked.file, [*asked.overrides], [*asked.folders], asked.results, asked.device)
    for line in match_lines(experiment.summary()["matched"]):
        console.print(line, highlight=False, markup=False, soft_wrap=True)


def _measure(console: Console, asked: Asked, written: Experiment, registry: Registry, again: bool) -> None:
    file = file_beside(asked.file)
    known = None if again else read_step_seconds(file)
    if known and not unmeasured(written, known):
        told = f"{file.name} says how long every step takes: measured {known.measured} on {known.device}"
        console.print(f"{told}; --again measures anew, and makes other trials", highlight=False, soft_wrap=True)
        return
    precision = precision_for(asked.results, asked.device)(written.name)

    def on_round(number: int, of: int) -> None:
        console.print(f"measuring, round {number} of {of}", highlight=False)

    found, measured = measure_steps(written, registry, known, precision, find_device(asked.device), on_round)
    for each in measured.values():
        told = f"{each.name}: {1000 * each.seconds:.4g} ms a step (the next round: {each.spread:.1%} more)"
        console.print(told, highlight=False, markup=False, soft_wrap=True)
    if any(each.spread > DISTURBED for each in measured.values()):
        told = "note: rounds are far apart, as where something else computes: measure on an idle machine with --again"
        console.print(told, style="yellow", markup=False, soft_wrap=True)
    names = names_of(written)
    kept = {step: seconds for step, seconds in found.seconds.items() if step in names}
    StepSeconds(kept, found.device, found.measured).write(file, names)
    console.print(f"wrote {file}: keep it beside the experiment file", highlight=False, markup=False, soft_wrap=True)
