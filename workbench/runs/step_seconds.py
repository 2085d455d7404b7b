"""How long a step of each training takes, measured once and kept beside the experiment file.

Seconds are other ones each time and on each machine. Once they are written down, whoever has both files gets the same
numbers of steps, and with them the same trials.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from workbench.config.trial import Trial
from workbench.errors import UserError
from workbench.storage.atomic import write_text
from workbench.storage.hashing import digest

if TYPE_CHECKING:
    from workbench.runs.matched_length import Amount
    from workbench.runs.trial_data import TrialData

UNTIMED = ("steps", "epochs", "rate", "warmup", "final_rate", "weight_decay")  # a step takes as long with any of it
PARTS = ("dataset", "encoder", "connector", "fusion", "language_model")


@dataclass(frozen=True)
class StepSeconds:
    """Seconds of a step by what the step is (`step_of`), on which `device`, and since when they are known."""

    seconds: Mapping[str, float]
    device: str
    measured: str

    def write(self, file: Path, names: Mapping[str, str]) -> None:
        """Keep them. `names` say of each step in words what it is, for who reads the file."""
        steps = [{"step": step, "of": names[step], "seconds": each} for step, each in self.seconds.items()]
        content = {"device": self.device, "measured": self.measured, "steps": steps}
        write_text(file, json.dumps(content, indent=1) + "\n")


def file_beside(experiment: Path) -> Path:
    """Where the seconds of an experiment file are kept."""
    return experiment.with_name(f"{experiment.stem}.step_seconds.json")


def read_step_seconds(file: Path) -> StepSeconds | None:
    """What was measured; None where nothing was. `UserError` for a file that is none of these."""
    if not file.is_file():
        return None
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        seconds = {str(each["step"]): float(each["seconds"]) for each in content["steps"]}
        if not all(0 < each < float("inf") for each in seconds.values()):
            raise ValueError("a step takes more than no time")
        return StepSeconds(seconds, str(content["device"]), str(content["measured"]))
    except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
        raise UserError(f"{file} is damaged: {error!r}. Delete it, and measure anew with workbench match") from error


def now_measured(seconds: Mapping[str, float], device: str) -> StepSeconds:
    """Seconds that were measured just now."""
    return StepSeconds(seconds, device, time.strftime("%Y-%m-%dT%H:%M:%S%z"))


def step_of(trial: Trial, index: int) -> str:
    """What a step of that phase is, in a word that is the same on every machine: the parts that take part, and all
    settings of the phase that its seconds depend on. `precision: auto` is what is written there, whatever it means."""
    before, phase = trial.phases[: index + 1], trial.phases[index]
    kinds = [*PARTS]
    if index == 0 and phase.objective == "contrastive":
        kinds = ["dataset", "encoder"]
    kinds += ["adapter"] if any("adapter" in each.train for each in before) else []
    kinds += ["quantizer"] if any(each.quantized for each in before) else []
    settings = {name: value for name, value in phase.spec().items() if name not in UNTIMED}
    return digest([settings, trial.prompt, *(trial.components[kind].work for kind in kinds)])


def seconds_of_length(file: Path, phase: str, data: TrialData) -> Callable[[Trial], Amount]:
    """Of a trial: the seconds of all its training by the steps of that phase. `UserError` where they are not known."""
    from workbench.training.training_set import planned_steps

    known = read_step_seconds(file)

    def amount_of(trial: Trial) -> Amount:
        fixed, own = 0.0, 0.0
        for index, each in enumerate(trial.phases):
            seconds = known.seconds.get(step_of(trial, index)) if known else None
            if seconds is None:
                raise UserError(
                    f"{file.name} does not say how long a step of '{each.name}' takes in '{trial.label}'. Measure it,"
                    " once for all machines, with: workbench match FILE"
                )
            if each.name == phase:
                own = seconds
            else:
                fixed += seconds * planned_steps(each, data.dataset(trial), trial.seed)
        return lambda steps: fixed + own * steps

    return amount_of
