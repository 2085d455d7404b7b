"""The scheduler alone on 100,000 stages and 1,000 workers, whose work is a sleep on a virtual clock.

Plan, queue, placement, costs, outcomes and display are those of a real run; the clock goes on while they work, so that
what they take is missing from the workers' utilisation. Of the workers there is only how long a stage takes them.

python benchmarks/scheduling.py [--workers 1000] [--stages 100000] [--seconds 120] [--failing 0.001] [--terminal]
"""

from __future__ import annotations

import argparse
import io
import os
import random
import resource
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch

from engine import PLUGINS, TINY
from rich.console import Console
from side_by_side import print_machine
from simulated_workers import SimulatedStore, SimulatedWorkers, VirtualClock

from workbench.config.experiment import load_experiment
from workbench.contracts.launcher import Node
from workbench.registry import load_registry
from workbench.runs.experiment_folder import ExperimentFolder
from workbench.runs.plan import AnyStage, Plan
from workbench.runs.planner import Planner
from workbench.runs.scheduler import RunOptions, _Scheduler
from workbench.runs.tracking import Tracking
from workbench.runs.trial_outcomes import TrialOutcomes
from workbench.storage.artifacts import ARTIFACTS
from workbench.storage.run_notes import RunNotes

STAGES_A_SEED = 1520  # 20 alignments, 500 tunings, 1,000 evaluations
A_NODE = 8  # workers
UNSEEN = (
    "evaluation={limit: 2, held_out: 0.2}"  # on the test split each evaluation is written down, and synced to the disk
)
SHARES = {"align": 2.0, "tune": 1.5, "evaluate": 0.5}  # of the mean seconds, each from half to one and a half


@dataclass(frozen=True)
class Simulated:
    """What came of it: seconds of the clock and of the head, and how often every stage was begun."""

    plan: Plan
    workers: SimulatedWorkers
    trials: TrialOutcomes
    makespan: float
    head: float
    longest_pass: float

    @property
    def utilisation(self) -> float:
        """The share of the workers' time in which they worked."""
        return self.workers.worked / (self.workers.slots() * self.makespan)


def main() -> None:
    """Run it and print what was measured beside its goals."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workers", type=int, default=1000)
    parser.add_argument("--stages", type=int, default=100_000)
    parser.add_argument("--seconds", type=float, default=120.0, help="a stage takes on average")
    parser.add_argument("--failing", type=float, default=0.001, help="share of the tunings that fail for good")
    parser.add_argument("--terminal", action="store_true", help="show the board as on a terminal")
    asked = parser.parse_args()
    print_machine(1)
    with tempfile.TemporaryDirectory() as folder, Path(os.devnull).open("w") as nowhere:
        console = Console(file=nowhere, force_terminal=asked.terminal, width=120, height=50)
        seeds = -(-asked.stages // STAGES_A_SEED)
        began = time.perf_counter()
        simulation = Simulation(Path(folder), TINY, [f"seeds={list(range(seeds))}", UNSEEN], asked.seconds, console)
        planned = time.perf_counter() - began
        found = simulation.run(asked.workers, asked.failing)
    stages, peak = len(found.workers.begun), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(f"\n{asked.workers:,} workers, {stages:,} stages of {asked.seconds:g} s, {len(found.plan.chains):,} trials")
    print(f"  the plan                                     {planned:8.1f} s")
    print(f"  makespan, on the clock                       {found.makespan / 3600:8.2f} h")
    print(f"  utilisation                                  {found.utilisation:8.1%}   (goal: over 95 %)")
    print(f"  most memory of the head, plan included       {peak / 1e9:8.2f} GB  (goal: under 4)")
    print(f"  head's time a stage, all included            {1e3 * found.head / stages:8.2f} ms  (goal: under 5)")
    print(f"  of it to write the job for a worker          {1e3 * found.workers.dispatch / stages:8.2f} ms")
    print(f"  longest time until the head listens again    {found.longest_pass:8.2f} s")
    done, failed = len(found.trials.done), len(found.trials.outcome.failed)
    print(f"  trials done, failed                          {done:8,}, {failed:,}")


class Simulation:
    """An experiment planned as for a run, in a folder that has nothing of it."""

    def __init__(
        self,
        folder: Path,
        text: str,
        overrides: list[str],
        seconds: float,
        console: Console | None = None,
        clock: VirtualClock | None = None,
    ):
        file = folder / "simulated.yaml"
        file.write_text(text)
        registry = load_registry([PLUGINS])
        experiment = load_experiment(file, registry, overrides)
        self.planner = Planner(experiment, registry, folder / "results", feature_bytes=0)
        self.planner.store = SimulatedStore(folder / "results" / ARTIFACTS, lambda key: self.seconds_of(key))
        self.folder = ExperimentFolder(experiment, folder / "results")
        self.folder.claim()
        self.plan = self.planner.plan()
        self.seconds = seconds
        self.console = console or Console(file=io.StringIO())
        self.clock = clock or VirtualClock()

    def seconds_of(self, key: str) -> float:
        """What the stage takes a worker, the same each time."""
        name = self.plan.missing[key].name
        return self.seconds * SHARES[name] * random.Random(key).uniform(0.5, 1.5)

    def run(self, workers: int, failing: float = 0.0, options: RunOptions | None = None) -> Simulated:
        """Until nothing is left to do; of the tunings a share fails for good."""
        machines = [Node(f"node{n}", min(A_NODE, workers - n * A_NODE), None) for n in range(-(-workers // A_NODE))]
        launcher = SimulatedWorkers(self.clock, machines, self.seconds_of)
        launcher.errors = {key: [_error()] for key, stage in self.plan.missing.items() if _fails(stage, failing)}
        trials = TrialOutcomes(self.plan, self.folder, {})
        tracking = Tracking({}, self.folder.experiment.name, self.folder.path, self.console)
        with patch.object(time, "monotonic", self.clock), _longest_time_between(launcher) as longest:
            parts = self.planner, self.plan, trials, launcher, "cpu", options or RunOptions()
            began, really = self.clock(), time.perf_counter()
            with RunNotes(self.planner.store.folder).in_use() as claims:
                _Scheduler(*parts, self.console, tracking, claims).run()
            head = time.perf_counter() - really - launcher.own
        return Simulated(self.plan, launcher, trials, launcher.last_end - began, head, max(longest))


def _fails(stage: AnyStage, share: float) -> bool:
    return stage.name == "tune" and random.Random(f"fails {stage.key}").random() < share


def _error() -> dict[str, object]:
    return {"type": "RuntimeError", "message": "it does not converge", "traceback": "", "transient": False}


@contextmanager
def _longest_time_between(launcher: SimulatedWorkers) -> Iterator[list[float]]:
    """By real time, how long the head did not listen, each time."""
    times, last, listen = [0.0], [time.perf_counter()], launcher.news

    def news(timeout: float) -> object:
        times.append(time.perf_counter() - last[0])
        told = listen(timeout)
        last[0] = time.perf_counter()
        return told

    with patch.object(launcher, "news", news):
        yield times


if __name__ == "__main__":
    main()
