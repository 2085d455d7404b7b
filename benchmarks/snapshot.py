"""What a snapshot inside a phase costs: the seconds of one, as a share of the default interval between two.

python benchmarks/snapshot.py
"""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path

import torch
from side_by_side import print_machine

from workbench.config.experiment import load_experiment
from workbench.data.collator import Collator
from workbench.data.image_loader import ImageLoader
from workbench.model.build import build_dataset, build_model, corpus_of, count_parameters
from workbench.registry import load_registry
from workbench.runs.workplace import Workplace
from workbench.training.loop import Training
from workbench.training.objectives import TrainingData
from workbench.training.resume import Snapshots

EXPERIMENT = Path(__file__).parent.parent / "experiments" / "easy_vqa_best.yaml"
REPEATS = 15
EVERY = Workplace.snapshot_seconds


def main() -> None:
    """A snapshot after each step of the last phase, in which every part trains."""
    torch.set_num_threads(1)
    print_machine(1)
    registry = load_registry()
    trial = load_experiment(EXPERIMENT, registry, ["grid.quantizer=[none]"]).trials[0]
    dataset = build_dataset(trial, registry)
    model = build_model(trial, registry, corpus_of(trial, dataset))
    collate = Collator(model.language_model.tokenizer, trial.prompt, model.fusion.reads_text)
    data = TrainingData(dataset, ImageLoader(dataset, model.encoder.views), collate)
    training = Training(model, [], trial.phases[-1], data, 0)
    costs, size = [], 0
    with tempfile.TemporaryDirectory() as folder:
        snapshots = Snapshots(Path(folder), 0)
        for _ in range(REPEATS):
            training.step()
            started = time.perf_counter()
            snapshots.write(training.snapshot())
            costs.append(time.perf_counter() - started)
        size = max(file.stat().st_size for file in Path(folder).iterdir())
    cost = statistics.median(costs)
    print(f"{count_parameters(model) / 1e6:.2f} M parameters, all of them training; {size / 1e6:.1f} MB a snapshot")
    print(f"a snapshot: {cost:.3f} s (median of {REPEATS}); {cost / EVERY:.3%} of the time at one every {EVERY:.0f} s")


if __name__ == "__main__":
    main()
