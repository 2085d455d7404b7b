"""A small whole experiment over squares of one colour, and the command line run inside this process."""

from __future__ import annotations

import io
import json
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest
from rich.console import Console

from tests.own_plugins.inside import Inside
from workbench.cli.main import main
from workbench.config.experiment import Experiment, load_experiment
from workbench.config.trial import Trial
from workbench.model.build import build_dataset, build_model, corpus_of
from workbench.model.vision_language_model import VisionLanguageModel
from workbench.registry import Registry, load_registry
from workbench.runs.launch import make_launcher
from workbench.runs.run_outcome import RunOutcome
from workbench.runs.scheduler import RunOptions, run

PLUGINS = Path(__file__).parent / "own_plugins"
SMALL = """\
question: does it run?
base:
  dataset: squares
  encoder: {name: vit, image_size: 16, patch_size: 8, width: 16, depth: 1, heads: 2}
  connector: linear
  fusion: concat_projection
  language_model: {name: gpt, width: 16, depth: 1, heads: 2, vocabulary_size: 300}
  adapter: full
  quantizer: none
  phases:
    - {name: tune, train: [encoder, connector, fusion, language_model], steps: 2, batch: 4, precision: fp32}
metrics: [vqa_accuracy, loss]
evaluation: {split: test, max_new_tokens: 2, precision: fp32}
"""
# The same with several images an example, and an encoder that stays as it is.
PAIRS = SMALL.replace("dataset: squares", "dataset: pairs").replace(
    "train: [encoder, connector, fusion, language_model], steps: 2, batch: 4",
    "train: [connector, fusion, language_model], epochs: 2, batch: 5",
)


@cache
def small_registry() -> Registry:
    """The built-in plugins and those of the tests; nobody changes it."""
    return load_registry([PLUGINS])


def load(folder: Path, *overrides: str, text: str = SMALL) -> Experiment:
    """The experiment of `text`, with `--set`s, as the file `small.yaml` of a folder."""
    file = write(folder, text)
    return load_experiment(file, small_registry(), overrides)


def write(folder: Path, text: str = SMALL, name: str = "small.yaml") -> Path:
    file = folder / name
    file.write_text(text)
    return file


def run_here(experiment: Experiment, results: Path, options: RunOptions | None = None, workers: int = 1) -> RunOutcome:
    """Run an experiment from this process, with worker processes as ever."""
    launcher = make_launcher(experiment, small_registry(), workers)
    console = Console(file=io.StringIO())
    return run(experiment, small_registry(), results, launcher, "cpu", console, options)


def run_inside(experiment: Experiment, results: Path, options: RunOptions | None = None) -> RunOutcome:
    """Run an experiment within this process: a worker of its own would load everything anew."""
    return run(experiment, small_registry(), results, Inside(), "cpu", Console(file=io.StringIO()), options)


def build(trial: Trial) -> VisionLanguageModel:
    """The trial's model with its starting weights."""
    return build_model(trial, small_registry(), corpus_of(trial, build_dataset(trial, small_registry())))


@dataclass(frozen=True)
class Told:
    """How a command ended, and what it said."""

    code: int
    output: str
    errors: str


class CommandLine:
    """`workbench ...` in a folder."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
        self.folder = folder
        self._monkeypatch = monkeypatch
        self._capsys = capsys

    def __call__(self, *words: str | Path) -> Told:
        """Run a command; nothing it says may be a traceback."""
        self._monkeypatch.chdir(self.folder)
        self._monkeypatch.setenv("COLUMNS", "300")
        self._monkeypatch.setattr(sys, "argv", ["workbench", *map(str, words)])
        self._capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        output, errors = self._capsys.readouterr()
        assert "Traceback" not in output + errors
        return Told(int(ended.value.code or 0), output, errors)

    def run(self, file: Path, *words: str | Path) -> Told:
        """`workbench run` with the plugins of the tests, some of which are faulty on purpose."""
        return self("run", file, "--plugins", PLUGINS, "--workers", "1", "--device", "cpu", "--unchecked", *words)

    def run_inside(self, file: Path, *words: str | Path) -> Told:
        """The same without workers."""
        return self("run", file, "--plugins", PLUGINS, "--set", "launcher=inside", "--device", "cpu", *words)


def files_of(folder: Path) -> dict[str, bytes]:
    """Every file below a folder with its content."""
    return {str(file.relative_to(folder)): file.read_bytes() for file in sorted(folder.rglob("*")) if file.is_file()}


def records(folder: Path, name: str = "small") -> list[dict]:
    """The records of an experiment, by the labels of their axes."""
    found = [json.loads(file.read_text()) for file in (folder / "results" / name / "trials").glob("*/record.json")]
    return sorted(found, key=lambda record: list(record["axes"].values()))
