"""What a plan has on each trial: a row of its table, what all rows share, and all of it as CSV or JSON."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from workbench.cli.elsewhere import elsewhere_json
from workbench.reports.escaping import csv_text
from workbench.workers.failure import in_words

if TYPE_CHECKING:
    from workbench.config.experiment import Experiment
    from workbench.runs.assumptions import Assumptions
    from workbench.runs.plan import Plan
    from workbench.runs.planner import Planner

LONGEST_REASON = 60  # letters of why a trial failed that a table shows; CSV and JSON have all
NUMBERS = ("parameters", "trainable", "share")


@dataclass(frozen=True)
class PlannedTrial:
    """One trial of a plan. `state` is done, to do or failed; `to_do` names the stages that are missing."""

    id: str
    axes: dict[str, str]
    seed: int
    parameters: int
    trainable: int
    phases: list[str]
    state: str
    to_do: list[str]
    error: str | None

    def cells(self) -> dict[str, str]:
        """By heading what a table shows of it."""
        state = f"{self.state}: {', '.join(self.to_do)}" if self.state == "to do" else self.state
        if self.error is not None:
            state = f"{self.state}: {self.error.partition(chr(10))[0][:LONGEST_REASON]}"
        return {
            **self.axes,
            "parameters": f"{self.parameters:,}",
            "trainable": f"{self.trainable:,}",
            "share": f"{self.trainable / max(self.parameters, 1):.1%}",
            "phases": " > ".join(self.phases),
            "state": state,
        }


def planned_trials(experiment: Experiment, plan: Plan) -> list[PlannedTrial]:
    """Every trial, in the order of the file."""
    found = []
    for trial in experiment.trials:
        size = plan.sizes[trial.id]
        left = [stage.name for stage in plan.chains[trial.id] if stage.key in plan.missing]
        failure = plan.failed.get(trial.id)
        state = "failed" if failure is not None else "done" if trial.id in plan.finished else "to do"
        error = None if failure is None else in_words(failure.error or {})
        phases = [phase.name for phase in trial.phases]
        axes = {axis: str(label) for axis, label in trial.axes.items()}
        numbers = int(size.parameters), int(size.trainable)
        found.append(PlannedTrial(trial.id, axes, trial.seed, *numbers, phases, state, left, error))
    return found


def shared_cells(trials: Sequence[PlannedTrial]) -> dict[str, str]:
    """By heading what is the same for all trials; nothing of a lone one, and no label."""
    if len(trials) < 2:
        return {}
    rows = [trial.cells() for trial in trials]
    return {
        heading: text
        for heading, text in rows[0].items()
        if heading not in trials[0].axes and all(row[heading] == text for row in rows)
    }


def written_plan(
    experiment: Experiment,
    planner: Planner,
    notes: Sequence[str],
    as_json: bool,
    assumptions: Assumptions | None = None,
) -> str:
    """The plan for other programs: JSON, or else CSV. With `assumptions`, JSON has what it takes under them."""
    plan = planner.plan()
    plan.sizes = plan.sizes or planner.sizes()
    trials = planned_trials(experiment, plan)
    elsewhere = elsewhere_json(planner, plan, assumptions) if as_json and assumptions else {}
    return plan_json(experiment, plan, trials, notes, elsewhere) if as_json else plan_csv(trials)


def plan_csv(trials: Sequence[PlannedTrial]) -> str:
    """A line for each trial, with its id."""
    axes = list(trials[0].axes)
    rows = [
        [
            *(trial.id, *trial.axes.values(), trial.seed, trial.parameters, trial.trainable),
            *(" > ".join(trial.phases), trial.state, ", ".join(trial.to_do), trial.error or ""),
        ]
        for trial in trials
    ]
    names = [f"axis.{axis}" if axis in ("id", "seed") else axis for axis in axes]
    return csv_text([["id", *names, "seed", "parameters", "trainable", "phases", "state", "to_do", "error"], *rows])


def plan_json(
    experiment: Experiment,
    plan: Plan,
    trials: Sequence[PlannedTrial],
    notes: Sequence[str],
    elsewhere: Mapping[str, Any],
) -> str:
    """The same with the stages that are to do, why, and what there is to note."""
    counts: Counter[tuple[str, str]] = Counter((plan.missing[key].name, why) for key, why in plan.reasons.items())
    every = sum(map(len, plan.chains.values()))
    content = {
        "experiment": experiment.name,
        "trials": [asdict(trial) for trial in trials],
        "stages": {
            "all": every,
            "distinct": len(plan.distinct()),
            "to_do": [{"stage": name, "reason": why, "count": count} for (name, why), count in counts.items()],
        },
        **elsewhere,
        "notes": [*notes, *plan.notes],
    }
    return json.dumps(content, indent=1) + "\n"
