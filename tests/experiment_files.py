"""A small good experiment file over fake plugins, for tests that change it."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest

from workbench.config.experiment import Experiment, ExperimentError, load_experiment
from workbench.errors import UserError
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


def with_grid(grid: str) -> str:
    """The good file with another grid."""
    assert GRID in GOOD
    return GOOD.replace(GRID, grid)


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


def message_of(folder: Path, text: str, *overrides: str) -> str:
    """What a user is told whose file cannot be read."""
    with pytest.raises(ExperimentError) as error:
        load(folder, text, *overrides)
    assert isinstance(error.value, UserError)
    return str(error.value)


def problems_of(message: str) -> list[str]:
    """The lines of a message, without indented lines that say which plugins could not be loaded."""
    return [line for line in message.splitlines() if not line.startswith(" ")]


def check_refused(folder: Path, good: str, bad: str, key: str, advice: str) -> None:
    """The good file with `bad` where it says `good` is refused in one line: with the line that `#!` marks, the key and
    the advice."""
    assert good in GOOD
    text = GOOD.replace(good, bad, 1)
    marked = [number for number, line in enumerate(text.splitlines(), start=1) if "#!" in line]
    message = message_of(folder, text)
    assert advice in message
    assert len(problems_of(message)) == 1, "one mistake, one line"
    place = f"{folder / 'holds.yaml'}:"
    assert message.startswith(place + (f"{marked[0]}: {key}" if marked else ""))
    assert key in message
