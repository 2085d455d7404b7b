"""Kills a run and all its workers with SIGKILL at random moments, and counts how often it ends with the same bits.

python benchmarks/kills.py
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PLUGINS = ROOT / "tests" / "own_plugins"
EXPERIMENT = """
question: Does it end as if nothing had happened?
base:
  dataset: squares
  encoder: {name: vit, image_size: 16, patch_size: 8, width: 16, depth: 1, heads: 2}
  connector: linear
  fusion: cross_attention
  language_model: {name: gpt, width: 16, depth: 1, heads: 2, vocabulary_size: 300}
  adapter: {name: lora, rank: 2, dropout: 0.2}
  quantizer: none
  phases:
    - name: tune
      train: [encoder, connector, fusion, language_model]
      steps: 40
      batch: 4
      questions: 2
    - name: adapt
      train: [connector, adapter]
      steps: 40
      batch: 4
      held_out: 0.25
      validate_every: 5
      keep_best: 1
      finish_with: best
metrics: [vqa_accuracy, loss]
evaluation: {split: test, max_new_tokens: 3}
"""
SLOWEST = 300  # seconds after which a run counts as hanging


@dataclass(frozen=True)
class Killed:
    """How often a run was killed, and after which step of which stage each time, as far as a snapshot told."""

    kills: int
    places: list[str]


def main() -> None:
    """Kill one run after another, as many times as asked."""
    from side_by_side import print_machine

    given = argparse.ArgumentParser()
    given.add_argument("--kills", type=int, default=20)
    given.add_argument("--seed", type=int, default=0)
    given.add_argument("--device", default="cpu")
    options = given.parse_args()
    print_machine(1, options.device)
    chance, survived, done = random.Random(options.seed), 0, 0
    with tempfile.TemporaryDirectory() as folder:
        whole, started = Path(folder) / "whole", time.monotonic()
        run_whole(whole, 0, options.device)
        seconds = time.monotonic() - started
        while done < options.kills:
            place = Path(folder) / f"killed-{done}"
            kills, hash_seed = min(4, options.kills - done), chance.randrange(1000)
            killed = kill_often(place, kills, chance, hash_seed, seconds, options.device)
            done += killed.kills
            differences = compare(whole, place)
            survived += 0 if differences else killed.kills
            print(f"killed at {', '.join(killed.places)}: {'; '.join(differences) or 'the same bits'}", flush=True)
    print(f"{survived} of {done} kills survived bit-identically (goal: {options.kills} of {options.kills})")


def run_whole(folder: Path, hash_seed: int, device: str = "cpu") -> None:
    """The experiment in a new folder, undisturbed; like the others it keeps a snapshot after every step."""
    process = _start(folder, hash_seed, device)
    if process.wait(timeout=SLOWEST) != 0:
        raise RuntimeError((folder / "output").read_text())


def kill_often(
    folder: Path, kills: int, chance: random.Random, hash_seed: int, seconds: float = 0.0, device: str = "cpu"
) -> Killed:
    """The experiment in a new folder, killed so many times on its way and then left to end.

    A kill comes shortly after some snapshot; or, when it is told how many `seconds` a run takes, every third one at
    any moment of it, be that before the first step or after the last.
    """
    places: list[str] = []
    for _ in range(kills):
        process = _start(folder, hash_seed, device)
        before = _newest(folder)
        deadline = time.monotonic() + SLOWEST
        anywhere = seconds > 0 and chance.random() < 1 / 3
        while not anywhere and _newest(folder) == before and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.002)
        time.sleep(chance.uniform(0, seconds if anywhere else 0.2))
        if process.poll() is None:
            places.append(_newest(folder) or "the beginning")
        _kill(process)
    run_whole(folder, hash_seed, device)
    return Killed(len(places), places)


def compare(whole: Path, killed: Path) -> list[str]:
    """What differs between two finished runs: files of stages and trials, seconds left out."""
    one, other = _outcome(whole), _outcome(killed)
    missing = [f"{name} is in one of them only" for name in sorted(set(one) ^ set(other))]
    return missing + [f"{name} differs" for name in sorted(set(one) & set(other)) if one[name] != other[name]]


def _outcome(folder: Path) -> dict[str, object]:
    results = folder / "results"
    files = [*results.glob("artifacts/**/*.safetensors"), *results.glob("**/predictions.jsonl")]
    found: dict[str, object] = {str(file.relative_to(results)): file.read_bytes() for file in files}
    for file in results.glob("**/curve.jsonl"):
        lines = [json.loads(line) for line in file.read_text().splitlines()]
        found[str(file.relative_to(results))] = [{**line, "seconds": 0} for line in lines]
    return found


def _start(folder: Path, hash_seed: int, device: str) -> subprocess.Popen[bytes]:
    """`workbench run` as the leader of a group of processes of its own, to which its workers belong."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "kills.yaml").write_text(EXPERIMENT)
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "OMP_NUM_THREADS": "1",
        "PYTHONHASHSEED": str(hash_seed),
        "WORKBENCH_SNAPSHOT_SECONDS": "0",
    }
    command = [
        sys.executable,
        "-m",
        "workbench.cli.main",
        "run",
        "kills.yaml",
        "--plugins",
        str(PLUGINS),
        "--workers",
        "1",
    ]
    command += ["--device", device]
    with (folder / "output").open("wb") as output:
        return subprocess.Popen(
            command, cwd=folder, env=environment, stdout=output, stderr=output, start_new_session=True
        )


def _kill(process: subprocess.Popen[bytes]) -> None:
    """The run and its workers, all at once; it may have ended by itself."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _newest(folder: Path) -> str:
    """The newest snapshot of the newest stage, or what else was finished last, in words."""
    files = sorted(folder.glob("results/artifacts/*.partial/*.safetensors"))
    stages = sorted(folder.glob("results/artifacts/*/stage.json"))
    return (
        f"{len(stages)} stages" + (f" and step {int(files[-1].name[:8])}" if files else "") if files or stages else ""
    )


if __name__ == "__main__":
    main()
