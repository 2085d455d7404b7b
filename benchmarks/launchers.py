"""What another engine costs beside worker processes of this machine: the card's grid, and one job's way there and back.

python benchmarks/launchers.py [grid] [dispatch]

Needs the extra `ray`. The grid's results of both launchers are compared to the bit.
"""

from __future__ import annotations

import hashlib
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from engine import CARD, workbench
from side_by_side import print_machine

from workbench.conformance.launchers import Errand, prepare
from workbench.contracts.launcher import Crew, Finished, Launcher
from workbench.registry import load_registry
from workbench.storage.artifacts import ARTIFACTS
from workbench.storage.records import TRIALS, read_record

WORKERS = 2
JOBS = 200
OWN = ("seconds", "per_second", "latency_ms", "peak_memory", "bytes_peak")  # in names of what clocks measure


def main() -> None:
    """All parts, or those that are named."""
    print_machine(1)
    for part in (grid, dispatch):
        if part.__name__ in (sys.argv[1:] or ("grid", "dispatch")):
            with tempfile.TemporaryDirectory() as folder:
                part(Path(folder))


def grid(folder: Path) -> None:
    """The card's 72 trials by either launcher, the first once more at the end, as the machine may have changed."""
    seconds: dict[str, list[float]] = {"local": [], "ray": []}
    found = []
    for number, name in enumerate(("local", "ray", "local")):
        where = folder / f"{name}{number}"
        launcher = f"launcher={{name: {name}, workers: {WORKERS}}}"
        seconds[name].append(workbench("run", where, CARD, "--set", launcher))
        found.append(bits(where))
    local, ray = statistics.mean(seconds["local"]), seconds["ray"][0]
    print(f"\nthe card's grid, 72 trials, {WORKERS} workers: local {seconds['local']} s, ray {ray:.0f} s")
    print(f"  ray : local                                  {ray / local:8.3f} x   (goal: at most 1.10)")
    print(f"  weights, answers and metrics that differ     {differing(found[0], found[1]):8d}     of {len(found[0])}")


def dispatch(folder: Path) -> None:
    """Jobs that do nothing, one at a time, to a worker that is warm."""
    print(f"\none job that does nothing, warm, median of {JOBS}")
    for name in ("local", "ray"):
        launcher: Launcher = load_registry().create("launcher", name, workers=1)
        launcher.open(Crew(prepare, "cpu", folder=folder))
        try:
            took = [_one(launcher, Errand(f"{name}{number}", folder / name)) for number in range(JOBS + 3)][3:]
        finally:
            launcher.close()
        print(f"  {name:<44} {1000 * statistics.median(took):8.1f} ms  (goal: under 50)")


def bits(results: Path) -> dict[str, Any]:
    """Weights and answers of a run by their hashes, and the metrics that no clock makes."""
    files = [*(results / ARTIFACTS).glob("*/*.safetensors"), *results.glob(f"*/{TRIALS}/*/predictions.jsonl")]
    found: dict[str, Any] = {
        f"{file.parent.name}/{file.name}": hashlib.sha256(file.read_bytes()).hexdigest() for file in files
    }
    for trial in results.glob(f"*/{TRIALS}/*"):
        for name, value in read_record(trial).metrics.items():
            if not any(each in name for each in OWN):
                found[f"{trial.name}/{name}"] = value
    return found


def differing(first: dict[str, Any], second: dict[str, Any]) -> int:
    """How many there are in one alone, or are others."""
    return sum(first.get(name) != second.get(name) for name in {*first, *second})


def _one(launcher: Launcher, errand: Errand) -> float:
    while not (nodes := [node.name for node in launcher.nodes() if node.slots]):
        launcher.expect(1)
        list(launcher.news(timeout=0.1))
    began = time.perf_counter()
    launcher.begin(Errand(errand.key, errand.file, node=nodes[0]))
    while not any(isinstance(each, Finished) for each in launcher.news(timeout=1.0)):
        pass
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
