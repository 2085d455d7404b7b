"""A small good experiment file over fake plugins, for tests that change it."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from workbench.config.experiment import Experiment, load_experiment
from workbench.registry import Registry, load_registry

GOOD = """\
question: Which glue holds best?
base:
  dataset: album
  encoder: {name: eye, depth: 3}
  connector: wire
  fusion: glue
  language_model: parrot
  adapter: whole
  quantizer: exact
  phases:
    - name: align
      train: [connector]
      steps: 5
    - name: tune
      train: [encoder, fusion]
      epochs: 2
      rate: 1e-3
grid:
  quantizer: [exact, rough]
metrics: [right]
"""
GRID = "grid:\n  quantizer: [exact, rough]\n"


@cache
def fake_registry() -> Registry:
    """The fake plugins beside the built-in ones; nobody changes it."""
    folder = Path(__file__).parent / "fake_plugins"
    registry = load_registry([folder])
    assert not [failure for failure in registry.failures if str(folder) in failure.source]
    return registry


def load(folder: Path, text: str, *overrides: str) -> Experiment:
    """Load `text` as the file `holds.yaml` of a folder."""
    path = folder / "holds.yaml"
    path.write_text(text)
    return load_experiment(path, fake_registry(), overrides)
