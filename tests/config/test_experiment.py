"""Experiment files: from YAML to checked trials."""

from __future__ import annotations

import importlib
import json
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.experiment_files import GOOD, load, with_grid
from tests.small import load as load_small
from tests.tiny import builtin_registry
from workbench.config.experiment import ExperimentError, load_experiment, plugin_folders
from workbench.runs.matching import Matching

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs" / "experiments.md"


def test_the_summary_is_plain_json_and_in_the_order_of_the_file(tmp_path):
    experiment = load(tmp_path, GOOD)
    summary = json.loads(json.dumps(experiment.summary()))
    assert list(summary) == [
        "name",
        "question",
        "axes",
        "baseline",
        "metrics",
        "trials",
        "auto_precision",
        "statistics",
        "final",
        "matched",
    ]
    assert summary["axes"] == {"quantizer": ["exact", "rough"], "seed": ["0"]}
    assert summary["baseline"] == {"quantizer": "exact", "seed": "0"}
    assert summary["metrics"] == ["right"]
    assert summary["trials"] == [trial.id for trial in experiment.trials]


def test_ten_thousand_trials_share_their_parts_and_expand_in_seconds(tmp_path):
    ten = list(range(1, 11))
    grid = f"grid:\n  encoder.depth: {ten}\n  language_model.depth: {ten}\n  phases.tune.epochs: {ten}\n"
    began = time.perf_counter()
    trials = load(tmp_path, with_grid(grid) + f"seeds: {ten}\n").trials
    assert time.perf_counter() - began < 6  # about 1 s on a free core
    assert len(trials) == 10_000
    assert len({id(trial.components["encoder"]) for trial in trials}) == 10
    assert len({id(trial.phases[1]) for trial in trials}) == 10


def test_the_folder_plugins_beside_the_file_is_a_plugin_folder(tmp_path):
    file = tmp_path / "holds.yaml"
    assert plugin_folders(file) == ()
    (tmp_path / "plugins").mkdir()
    assert plugin_folders(file) == (tmp_path / "plugins",)
    assert plugin_folders(file, [tmp_path, tmp_path / "plugins"]) == (tmp_path / "plugins", tmp_path)
    assert plugin_folders(None, [tmp_path]) == (tmp_path,)


def test_the_built_in_plugins_are_no_plugin_folder_of_the_user():
    own = Path(next(iter(importlib.import_module("workbench.plugins").__path__)))
    assert plugin_folders(own.parent / "holds.yaml", [own]) == ()


def test_reading_experiment_files_needs_no_torch():
    code = "import sys, workbench.config.experiment; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


@pytest.mark.parametrize("number", range(5))
def test_every_whole_file_on_the_page_on_experiments_can_be_loaded(tmp_path, number):
    blocks = [
        block for block in re.findall(r"```yaml\n(.*?)```", DOCS.read_text(), re.DOTALL) if "\nquestion:" in block
    ]
    assert len(blocks) == 5
    path = tmp_path / "example.yaml"
    path.write_text(blocks[number])
    comment = re.search(r"yaml: (\d+) trials", blocks[number])
    assert comment, "each example says how many trials it makes"
    known = builtin_registry()
    assert len(load_experiment(path, known, sizer=Matching(known, path)).trials) == int(comment[1])


LOOKS = ("phases.tune.held_out=0.3", "phases.tune.validate_with=[vqa_accuracy]")


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ((), "statistics.steps_to.vqa_accuracy: no phase validates with 'vqa_accuracy'"),
        (LOOKS, ""),
        (
            (*LOOKS, "statistics.steps_to={vqa_accuracy: 95}"),
            "'vqa_accuracy' is a share, from 0 to 1. Write 0.95 for 95 %",
        ),
        ((*LOOKS, "statistics.steps_to={vqa_acuracy: 0.9}"), "Did you mean 'vqa_accuracy'? Its metrics: vqa_accuracy"),
        ((*LOOKS, "statistics.steps_to={loss: 0.1}"), "statistics.steps_to.loss: no phase validates with 'loss'"),
        ((*LOOKS, "statistics.steps_to={vqa_accuracy: soon}"), "must be a number"),
    ],
)
def test_what_is_to_be_reached_has_to_be_looked_at_and_possible(tmp_path, settings, told):
    asked = ("statistics.steps_to={vqa_accuracy: 0.95}", *settings)
    if not told:
        assert load_small(tmp_path, *asked).summary()["statistics"]["steps_to"] == {"vqa_accuracy": 0.95}
        return
    with pytest.raises(ExperimentError) as refused:
        load_small(tmp_path, *asked)
    assert told in str(refused.value)
