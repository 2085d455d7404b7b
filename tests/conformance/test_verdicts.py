"""Plugins that break their contract are not trained without a word."""

from __future__ import annotations

import html
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conformance.broken_metric import BROKEN, RULE, experiment, plugin
from tests.small import PLUGINS, CommandLine
from workbench.config.experiment import load_experiment
from workbench.conformance.remembered_verdicts import CHECKS
from workbench.conformance.verdicts import Judged, judge
from workbench.devices.capabilities import instructions
from workbench.registry import load_registry


@pytest.fixture
def workbench(tmp_path, monkeypatch, capsys) -> CommandLine:
    return CommandLine(tmp_path, monkeypatch, capsys)


def judged(folder: Path, metric: str = BROKEN, ask: bool = True) -> dict[str, Judged]:
    """The verdicts on an experiment with the metric, by the plugin's name."""
    file = experiment(folder, metric)
    registry = load_registry([PLUGINS, folder / "plugins"])
    found = judge(load_experiment(file, registry), registry, folder / "results/artifacts", ask)
    found.remember()
    return {each.component.name: each for each in found.judged}


def test_a_run_refuses_a_plugin_that_breaks_a_rule_unless_told_to_run_it(workbench):
    plugin(workbench.folder)
    file = experiment(workbench.folder)
    words = ("run", file, "--plugins", PLUGINS, "--workers", "1", "--device", "cpu")
    refused = workbench(*words)
    assert refused.code == 2
    assert "metric mine(share=2, folder=null), in " in refused.errors
    assert f"{RULE}: percent is True, but scores are" in refused.errors
    assert "--unchecked" in refused.errors
    assert not (workbench.folder / "results/small").exists()
    told = workbench(*words, "--unchecked")
    assert told.code == 0, told.errors
    assert "breaks rules of its contract" in told.output
    [record] = (workbench.folder / "results/small/trials").glob("*/record.json")
    contracts = json.loads(record.read_text())["provenance"]["contracts"]
    assert list(contracts["metric mine(share=2, folder=null)"]["broken"]) == [RULE]
    assert workbench("report", file, "--plugins", PLUGINS).code == 0
    page = html.unescape((workbench.folder / "results/small/report/report.html").read_text())
    assert f"Not to be trusted: metric mine(share=2, folder=null) breaks its contract ('{RULE}')" in page
    assert "It is part of 1 of 1 finished trials." in page
    assert page.count("breaks its contract") == 2, "in the answer and beside the trials"
    assert "metric mine(share=2, folder=null) breaks</th>" in page


def test_a_plan_says_which_rules_are_broken_and_makes_nothing(workbench):
    plugin(workbench.folder)
    told = workbench("plan", experiment(workbench.folder), "--plugins", PLUGINS)
    assert told.code == 0, told.errors
    assert f"  {RULE}: percent is True" in told.output
    assert {each.name for each in workbench.folder.iterdir()} == {"plugins", "small.yaml"}
    (workbench.folder / "results").mkdir()
    again = [workbench("plan", "small.yaml", "--plugins", PLUGINS) for _ in range(2)]
    assert [each.output for each in again] == [told.output] * 2
    assert (workbench.folder / "results/artifacts" / CHECKS).is_file()


def test_the_options_that_trials_use_decide(tmp_path):
    plugin(tmp_path)
    assert list(judged(tmp_path)["mine"].verdict.broken) == [RULE]
    assert judged(tmp_path, "mine")["mine"].verdict.kept


def test_plugins_of_the_workbench_are_not_checked(tmp_path):
    plugin(tmp_path)
    assert set(judged(tmp_path)) == {"squares", "mine"}


def test_what_was_checked_is_remembered_until_the_source_changes(tmp_path):
    asked = tmp_path / "asked"
    note = f"open({str(asked)!r}, 'a').write('.')"
    plugin(tmp_path, note)
    first = judged(tmp_path)
    times = asked.stat().st_size
    assert judged(tmp_path) == first
    assert asked.stat().st_size == times, "nothing is built a second time"
    plugin(tmp_path, f"{note}; self.share = 1.0")
    assert judged(tmp_path)["mine"].verdict.kept
    assert asked.stat().st_size > times


def test_what_one_processor_found_another_does_not_believe(tmp_path):
    asked = tmp_path / "asked"
    plugin(tmp_path, f"open({str(asked)!r}, 'a').write('.')")
    judged(tmp_path)
    times = asked.stat().st_size
    environment = {**os.environ, "WORKBENCH_CPU": "plain", "PYTHONPATH": str(PLUGINS.parent.parent)}
    again = (
        f"from pathlib import Path; from tests.conformance.test_verdicts import judged; judged(Path({str(tmp_path)!r}))"
    )
    subprocess.run([sys.executable, "-c", again], env=environment, check=True)
    assert asked.stat().st_size == (times if instructions() == "PLAIN" else 2 * times)


def test_files_that_options_name_count_as_well(tmp_path):
    (tmp_path / "here").mkdir()
    plugin(tmp_path, "self.share = len(list(folder.iterdir()))")
    metric = "{name: mine, folder: here}"
    assert "perfect answers get the best value" in judged(tmp_path, metric)["mine"].verdict.broken
    (tmp_path / "here/one").touch()
    assert judged(tmp_path, metric)["mine"].verdict.kept


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: "",
        lambda text: text[: len(text) // 2],
        lambda text: "[]",
        lambda text: text.replace(RULE, "another rule"),
        lambda text: text.replace('"obstacle": ""', '"obstacle": 3'),
    ],
)
def test_a_damaged_memory_is_made_again(tmp_path, damage):
    plugin(tmp_path)
    first = judged(tmp_path)
    file = tmp_path / "results/artifacts" / CHECKS
    whole = file.read_text()
    file.write_text(damage(whole))
    assert judged(tmp_path) == first
    assert file.read_text() == whole


def test_what_nobody_asked_is_told_as_such(tmp_path):
    plugin(tmp_path)
    assert judged(tmp_path, ask=False)["mine"].lines == [
        "metric mine(share=2, folder=null) was not checked: --unchecked was given"
    ]


OBSTACLES = {
    "import a_package_nobody_has": "it needs a package that is not installed",
    "open('/nowhere/weights')": "it needs a file or a download (FileNotFoundError",
    "raise UserError('give a folder')": "give a folder",
    "raise ConnectionError('no network')": "it needs a file or a download (ConnectionError: no network",
    "os._exit(3)": "its process ended with exit code 3",
    "raise MemoryError": "there is not enough memory",
}


@pytest.mark.parametrize("construct", OBSTACLES)
def test_a_plugin_that_cannot_be_checked_is_told_with_the_reason(tmp_path, construct):
    plugin(tmp_path, construct)
    [told] = judged(tmp_path)["mine"].lines
    assert told.startswith(f"metric mine(share=2, folder=null) could not be checked: {OBSTACLES[construct]}")


def test_a_plugin_that_needs_a_gpu_cannot_be_checked_without_one(tmp_path, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")  # a plugin is checked in a process of its own
    plugin(tmp_path, "torch.zeros(1, device='cuda')")
    [told] = judged(tmp_path)["mine"].lines
    assert "could not be checked: it needs a GPU" in told


def test_a_plugin_that_cannot_be_checked_stops_no_run(workbench):
    plugin(workbench.folder, "if 'workbench.conformance.isolated_check' in sys.modules: import a_package_nobody_has")
    words = ("run", experiment(workbench.folder, "mine"), "--plugins", PLUGINS, "--workers", "1", "--device", "cpu")
    told = workbench(*words)
    assert "metric mine(share=1, folder=null) could not be checked: it needs a package" in told.output
