"""A whole experiment through the command line: what runs, what is shared, what survives."""

from __future__ import annotations

import html
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.processes import ended, start, until
from tests.small import PLUGINS, CommandLine, write as write_file

EXPERIMENT = """
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
    - {name: tune, train: [encoder, connector, fusion, language_model], steps: 6, batch: 4}
grid:
  fusion: [concat_projection, cross_attention]
  quantizer: [none, int8]
metrics: [vqa_accuracy, loss]
evaluation: {split: test, max_new_tokens: 3}
"""


def started(folder: Path, *words: str | Path) -> subprocess.Popen[str]:
    """The command line in `folder` as a process of its own, uninstalled, as a user would start it."""
    environment = {**os.environ, "PYTHONPATH": str(PLUGINS.parent.parent), "OMP_NUM_THREADS": "1", "COLUMNS": "200"}
    return subprocess.Popen(
        [sys.executable, "-m", "workbench.cli.main", *map(str, words)],
        cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


@pytest.fixture
def workbench(tmp_path, monkeypatch, capsys) -> CommandLine:
    """The command line in a folder of its own."""
    return CommandLine(tmp_path, monkeypatch, capsys)


@pytest.fixture
def there(finished, monkeypatch, capsys) -> CommandLine:
    """The command line in the folder in which the experiment has run."""
    return CommandLine(finished[0], monkeypatch, capsys)


def write(folder: Path, text: str = EXPERIMENT) -> Path:
    return write_file(folder, text)


def records(folder: Path, name: str = "small") -> dict[tuple[str, ...], dict]:
    found = [json.loads(file.read_text()) for file in (folder / "results" / name / "trials").glob("*/record.json")]
    return {tuple(label for axis, label in each["axes"].items() if axis != "seed"): each for each in found}


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> tuple[Path, str]:
    """A folder in which the small experiment has run, and what it printed."""
    folder = tmp_path_factory.mktemp("finished")
    process = started(folder, "run", write(folder), "--plugins", PLUGINS, "--workers", "2", "--device", "cpu")
    output, errors = process.communicate(timeout=120)
    assert process.returncode == 0, output + errors
    return folder, output


def test_every_trial_leaves_a_record_predictions_and_a_curve(finished):
    folder, _ = finished
    found = records(folder)
    assert len(found) == 4
    for record in found.values():
        trial = folder / "results/small/trials" / record["id"]
        lines = [json.loads(line) for line in (trial / "predictions.jsonl").read_text().splitlines()]
        assert len(lines) == 4 * 24
        assert {line["condition"] for line in lines} == {"image", "prior", "mean_image", "other_answer"}
        assert record["provenance"]["controls"] == {"gain_against": "prior", "left_out": {}, "presumed": {}}
        gains = {f"visual_gain.{name}" for name in ("prior", "mean_image", "other_answer")}
        assert gains | {"visual_gain"} == {name for name in record["metrics"] if name.startswith("visual_gain")}
        assert record["metrics"]["visual_gain"] == record["metrics"]["visual_gain.prior"]
        right = [line["scores"]["vqa_accuracy"] for line in lines if line["condition"] == "image"]
        assert record["metrics"]["vqa_accuracy"] == pytest.approx(sum(right) / len(right))
        assert len((trial / "curve.jsonl").read_text().splitlines()) == 6
        for cost in (
            "parameters",
            "trainable_parameters",
            "bytes",
            "training_seconds",
            "training_seconds.lowest",
            "latency_ms",
            "latency_ms.highest",
            "token_latency_ms",
            "generated_tokens",
            "flops",
            "training_flops",
            "training_tokens",
            "peak_memory_bytes",
        ):
            assert record["metrics"][cost] > 0


def test_a_quantizer_axis_trains_nothing(finished):
    folder, printed = finished
    assert printed.count(": tune (") == 2
    assert printed.count(": evaluate (") == 4
    found = records(folder)
    for fusion in ("concat_projection", "cross_attention"):
        plain, small = found[fusion, "none"]["metrics"], found[fusion, "int8"]["metrics"]
        assert plain["training_seconds"] == small["training_seconds"]
        assert small["bytes"] < 0.5 * plain["bytes"]


def test_running_again_does_nothing_and_says_so(there):
    folder = there.folder
    before = {file: file.stat().st_mtime_ns for file in folder.rglob("record.json")}
    result = there.run(folder / "small.yaml")
    assert result.code == 0
    assert "4 of 4 trials done (4 before this run)" in result.output
    assert {file: file.stat().st_mtime_ns for file in folder.rglob("record.json")} == before


def test_a_new_fusion_runs_only_its_own_trials(there):
    text = EXPERIMENT.replace("[concat_projection, cross_attention]", "[concat_projection, cross_attention, gated]")
    result = there.run_inside(write(there.folder, text))
    assert result.code == 0, result.output
    assert result.output.count(": tune (") == 1
    assert result.output.count(": evaluate (") == 2
    assert "(4 before this run)" in result.output


def test_the_plan_says_what_is_done_and_what_is_not(there):
    text = EXPERIMENT.replace("quantizer: [none, int8]", "quantizer: [none, int8]\nseeds: [0, 1]")
    result = there("plan", write(there.folder, text), "--plugins", PLUGINS)
    assert result.code == 0, result.errors
    assert result.output.count("to do: tune, evaluate") == 4
    assert "8 trials, 4 done, 0 failed; 12 distinct stages of 16, 6 to do" in result.output
    assert "to do: 2 x tune (new)" in result.output
    assert "to do: 4 x evaluate (new)" in result.output


def test_the_same_seed_gives_the_same_weights_and_answers(finished, workbench):
    folder, _ = finished
    assert workbench.run(write(workbench.folder)).code == 0
    for axes, record in records(workbench.folder).items():
        first = records(folder)[axes]
        assert record["metrics"]["loss"] == pytest.approx(first["metrics"]["loss"], abs=1e-5)


FAILURES = {
    "raising": "this fusion is broken",
    "dying": "exit code 3",
    "no_number": "the loss became nan in phase 'tune' at step 1",
}


def test_a_trial_that_fails_stops_no_other(workbench):
    text = EXPERIMENT.replace("[concat_projection, cross_attention]", f"[{', '.join(FAILURES)}, cross_attention]")
    result = workbench.run(write(workbench.folder, text))
    assert result.code == 1, result.output
    found = records(workbench.folder)
    assert len(found) == 8
    for (fusion, quantizer), record in found.items():
        assert record["status"] == ("failed" if fusion in FAILURES else "done"), (fusion, quantizer)
    report = workbench("report", "results/small", "--plugins", PLUGINS)
    assert report.code == 0, report.errors
    page = html.unescape((workbench.folder / "results/small/report/report.html").read_text())
    for fusion, told in FAILURES.items():
        assert told in found[fusion, "none"]["error"]["message"]
        assert told in result.output
        assert told in page


def test_control_c_keeps_what_is_finished_and_the_next_run_continues(workbench):
    folder = workbench.folder
    text = EXPERIMENT.replace("[concat_projection, cross_attention]", "[concat_projection, waiting]")
    write(folder, text)
    command = start(folder, "--workers", "1")
    until(lambda: list(folder.glob("results/artifacts/*/stage.json")))
    time.sleep(1.0)
    os.kill(command.pid, signal.SIGINT)
    assert "run again to continue" in ended(command, 130)
    result = workbench.run(write(folder))
    assert result.code == 0, result.output
    assert result.output.count(": tune (") == 1


def test_a_contrastive_phase_is_shared_by_all_fusions_and_teaches_the_encoder(workbench):
    text = EXPERIMENT.replace(
        "  phases:\n",
        "  phases:\n    - {name: contrast, objective: contrastive, tasks: [captions], train: [encoder], steps: 3}\n",
    ).replace("quantizer: [none, int8]", "quantizer: [none]")
    result = workbench.run_inside(write(workbench.folder, text))
    assert result.code == 0, result.output
    assert result.output.count(": contrast (") == 1
    assert result.output.count(": tune (") == 2
    trial = next((workbench.folder / "results/small/trials").glob("*/curve.jsonl"))
    phases = [json.loads(line)["phase"] for line in trial.read_text().splitlines()]
    assert phases == ["contrast"] * 3 + ["tune"] * 6


def test_an_adapter_axis_shares_the_phases_before_it(workbench):
    text = EXPERIMENT.replace(
        "grid:\n",
        "    - {name: adapt, train: [adapter], steps: 4, batch: 4}\ngrid:\n  adapter: [full, {name: lora, rank: 2}]\n",
    ).replace("  fusion: [concat_projection, cross_attention]\n", "")
    result = workbench.run_inside(write(workbench.folder, text))
    assert result.code == 0, result.output
    assert result.output.count(": tune (") == 1
    assert result.output.count(": adapt (") == 2
    found = records(workbench.folder)
    share = {axes[0]: record["metrics"]["trainable_parameters"] for axes, record in found.items()}
    assert share["lora"] < 0.5 * share["full"]
    parameters = {record["metrics"]["parameters"] for record in found.values()}
    assert len(parameters) == 1, "a merged adapter leaves the model's size as it was"


def test_a_label_in_brackets_is_shown_whole(workbench):
    text = EXPERIMENT.replace("[none, int8]", "[{name: int8, include: ['encoder.*']}, int8]")
    text = text.replace("[concat_projection, cross_attention]", "[concat_projection]")
    result = workbench.run_inside(write(workbench.folder, text))
    assert result.code == 0, result.output
    assert "int8(include=[encoder.*])" in result.output
