"""What a frozen encoder costs a grid: CLIP ViT-B/32 at its real shape, 3 fusions x 3 seeds x 2 epochs of easy-VQA.

python benchmarks/frozen.py [--share 0.125]

The grid is run with the encoder, and with random features of the same shape in its place; one of its trials is run
once more with nothing kept. The weights are random, which changes no time.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

from engine import WORKERS, workbench
from side_by_side import print_machine
from transformers import CLIPVisionConfig, CLIPVisionModel

from workbench.storage.artifacts import ARTIFACTS, CURVE, STAGE_SECONDS
from workbench.storage.stage_summary import SUMMARY

PLUGINS = Path(__file__).parent / "plugins"
GRID = """
base:
  dataset: easy_vqa
  encoder: {encoder}
  connector: mlp
  fusion: concat_projection
  language_model: {{name: gpt, width: 256, depth: 6, heads: 8, vocabulary_size: 384}}
  adapter: full
  quantizer: none
  phases:
    - name: tune
      train: [connector, fusion, language_model]
      epochs: 2
      data_share: {share}
      batch: 16
      questions: 4
grid:
  fusion: [concat_projection, cross_attention, gated]
seeds: [0, 1, 2]
metrics: [vqa_accuracy]
evaluation: {{split: test, limit: 16}}
"""
ONE_TRIAL = ("--set", "grid.fusion=[concat_projection]", "--set", "seeds=[0]")


def main() -> None:
    """Each way once: they take minutes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--share", type=float, default=0.125, help="of the 4,000 training images")
    share = parser.parse_args().share
    print_machine(1)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        CLIPVisionModel(CLIPVisionConfig()).save_pretrained(folder / "clip")
        clip = GRID.format(encoder=f"{{name: clip, checkpoint: {folder / 'clip'}}}", share=share)
        random = GRID.format(encoder="random_features", share=share)

        kept = timed(folder / "kept", clip)
        rest = timed(folder / "random", random, "--features-gb", "0")
        timed(folder / "anew", clip, "--features-gb", "0", *ONE_TRIAL)
        encoding = sum(seconds for phase, seconds in stages(folder / "kept") if phase is None)
        first, anew = (epoch(folder / name) for name in ("kept", "anew"))

    expected = encoding / WORKERS + rest
    print(f"\n9 trials, 2 epochs of {4000 * share:.0f} images, {WORKERS} workers: {kept:.0f} s")
    print(f"  one pass of the encoder, all workers         {encoding / WORKERS:8.1f} s")
    print(f"  the grid on random features                  {rest:8.1f} s")
    print(f"  the grid : their sum                         {kept / expected:8.3f} x   (goal: at most 1.05)")
    print(f"  an epoch that encodes : one that reads       {anew / first:8.2f} x")


def timed(results: Path, text: str, *more: str) -> float:
    """Seconds of `workbench run`."""
    return workbench("run", results, text, "--workers", str(WORKERS), "--plugins", str(PLUGINS), *more)


def stages(results: Path) -> list[tuple[str | None, float]]:
    """The phase (None for features) and the seconds of every stage that was kept."""
    found = [json.loads(file.read_text(encoding="utf-8")) for file in (results / ARTIFACTS).glob(f"*/{SUMMARY}")]
    return [(each.get("phase"), each[STAGE_SECONDS]) for each in found]


def epoch(results: Path) -> float:
    """Seconds of the first epoch of a trial with the plainest fusion, which is the quickest."""
    seconds = []
    for file in (results / ARTIFACTS).glob(f"*/{CURVE}"):
        steps = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
        seconds.append(steps[len(steps) // 2 - 1]["seconds"])
    return min(seconds)


if __name__ == "__main__":
    main()
