"""What the engine adds to the work itself: the card's grid of 72 trials, a nearly empty stage, plans of 10,000 trials.

python benchmarks/engine.py [grid] [stages] [plans]
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path

from side_by_side import print_machine

from workbench.config.experiment import load_experiment
from workbench.registry import load_registry
from workbench.runs.planner import Planner
from workbench.storage.artifacts import ARTIFACTS, STAGE_SECONDS
from workbench.storage.records import DONE, Record, read_record, write_trial
from workbench.storage.result_files import TRIALS
from workbench.storage.stage_summary import SUMMARY

ROOT = Path(__file__).parent.parent
PLUGINS = ROOT / "tests" / "own_plugins"
WORKERS = 2

CARD = """
base:
  dataset: easy_vqa
  encoder: vit
  connector: linear
  fusion: concat_projection
  language_model: {name: gpt, width: 128, depth: 3, vocabulary_size: 384}
  adapter: full
  quantizer: none
  phases:
    - {name: contrast, objective: contrastive, tasks: [captions], train: [encoder], steps: 100, batch: 64}
    - {name: align, tasks: [captions], train: [connector, fusion, language_model], epochs: 1, data_share: 0.24}
    - {name: tune, questions: 4, train: [connector, adapter], epochs: 1, data_share: 0.16}
grid:
  encoder: [vit, clip]
  fusion: [concat_projection, cross_attention, gated]
  adapter: [full, {name: lora, rank: 8}]
  quantizer: [none, int8]
seeds: [0, 1, 2]
metrics: [vqa_accuracy]
evaluation: {split: test, limit: 64}
"""
TINY = """
base:
  dataset: squares
  encoder: {name: vit, image_size: 16, patch_size: 8, width: 16, depth: 1, heads: 2}
  connector: linear
  fusion: concat_projection
  language_model: {name: gpt, width: 16, depth: 1, heads: 2, vocabulary_size: 300}
  adapter: full
  quantizer: none
  phases:
    - {name: align, train: [connector], steps: 1, batch: 4}
    - {name: tune, train: [adapter], steps: 1, batch: 4}
grid:
  fusion: [concat_projection, cross_attention, gated, bidirectional]
  adapter: [full, {name: lora, rank: 2}, {name: lora, rank: 4}, {name: lora, rank: 8}, {name: lora, rank: 16}]
  quantizer: [none, int8]
  phases.align.rate: [1e-3, 2e-3, 3e-3, 4e-3, 5e-3]
  phases.tune.rate: [1e-3, 2e-3, 3e-3, 4e-3, 5e-3]
seeds: [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]
metrics: [vqa_accuracy]
evaluation: {split: test, max_new_tokens: 2, limit: 2}
"""
ONE_FUSION = ("grid.fusion=[gated]", "grid.adapter=[full]", "grid.quantizer=[none]", "grid.phases.tune.rate=[1e-3]")


def main() -> None:
    """All parts, or those that are named."""
    print_machine(1)
    for part in (grid, stages, plans):
        if part.__name__ in (sys.argv[1:] or ("grid", "stages", "plans")):
            with tempfile.TemporaryDirectory() as folder:
                part(Path(folder))


def grid(folder: Path) -> None:
    """The card's grid, both ways: the encoders learn by contrast and are frozen from then on, as in two-stage recipes.

    How much sharing saves depends on the recipe: 6 contrastive phases serve 72 trials, 18 alignments, 36 tunings.
    """
    shared = workbench("run", folder / "together", CARD, "--workers", str(WORKERS))
    work = own_seconds(folder / "together")
    apart = workbench("run", folder / "apart", CARD, "--workers", str(WORKERS), "--no-share")
    total = sum(work.values())
    print(f"\nthe card's grid, 72 trials, {WORKERS} workers: {shared:.0f} s, {apart:.0f} s with sharing off")
    print("  its work: " + ", ".join(f"{name} {seconds / total:.0%}" for name, seconds in work.items()))
    print(f"  against its distinct stages / workers        {shared * WORKERS / total:8.3f} x   (goal: at most 1.10)")
    print(f"  sharing off : on                             {apart / shared:8.2f} x   (goal: at least 4)")


def stages(folder: Path) -> None:
    """Wall time of more stages, less that of fewer, so that starting counts for nothing."""
    found = []
    for name, seeds in (("few", 1), ("many", 5)):
        wide = f"seeds={list(range(seeds))}"
        where = folder / name
        seconds = workbench("run", where, TINY, "--workers", "1", *(f"--set={each}" for each in (*ONE_FUSION, wide)))
        count = len(list((where / ARTIFACTS).glob(f"*/{SUMMARY}"))) + len(list(where.glob(f"*/{TRIALS}/*")))
        found.append((seconds, sum(own_seconds(where).values()), count))
    wall, own, count = (many - few for few, many in zip(*found, strict=True))
    print(f"\na nearly empty stage, {count} stages, 1 worker: {wall / count:.3f} s, of which work {own / count:.3f} s")
    print(f"  overhead                                     {(wall - own) / count:8.3f} s   (goal: under 0.2)")


def plans(folder: Path) -> None:
    """`plan` of a grid of 10,000 trials, and `run` when all have records, which are written here without training."""
    print("\n10,000 trials, the whole command")
    print(f"  plan                                         {workbench('plan', folder, TINY):8.1f} s   (goal: under 5)")
    registry = load_registry([PLUGINS])
    experiment = load_experiment(folder / "tiny.yaml", registry)
    chains = Planner(experiment, registry, folder).plan().chains
    for trial in experiment.trials:
        end = chains[trial.id][-1]
        record = Record(trial.id, DONE, trial.experiment, dict(trial.axes), trial.spec(), {}, {}, end.made_by(), None)
        write_trial(folder / experiment.name / TRIALS / trial.id, record, [], [])
    print(f"  run, finished, every file hashed             {workbench('run', folder, TINY):8.1f} s")
    print(f"  run, finished                                {workbench('run', folder, TINY):8.1f} s   (goal: under 5)")


def workbench(command: str, results: Path, text: str, *more: str) -> float:
    """Seconds of the whole command."""
    results.mkdir(exist_ok=True)
    file = results / "tiny.yaml"
    file.write_text(text, encoding="utf-8")
    line = [sys.executable, "-m", "workbench.cli.main", command, str(file), "--results", str(results), *more]
    started = time.perf_counter()
    subprocess.run([*line, "--plugins", str(PLUGINS)], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started


def own_seconds(results: Path) -> dict[str, float]:
    """Seconds of work alone, by phase, features and evaluation; each distinct stage once."""
    seconds: dict[str, float] = defaultdict(float)
    for file in (results / ARTIFACTS).glob(f"*/{SUMMARY}"):
        kept = json.loads(file.read_text(encoding="utf-8"))
        seconds[kept.get("phase", "features")] += kept[STAGE_SECONDS]
    for trial in results.glob(f"*/{TRIALS}/*"):
        seconds["evaluation"] += read_record(trial).metrics["evaluation_seconds"]
    return seconds


if __name__ == "__main__":
    main()
