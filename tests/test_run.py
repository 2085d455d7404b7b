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

PLUGINS = Path(__file__).parent / "plugins"
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
evaluation: {max_new_tokens: 3}
"""


def workbench(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run the command line in `folder`, uninstalled, as a user would."""
    command = [sys.executable, "-m", "workbench.cli", *words]
    return subprocess.run(command, cwd=folder, env=environment(), capture_output=True, text=True, timeout=120)


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(PLUGINS.parent.parent), "OMP_NUM_THREADS": "1", "COLUMNS": "200"}


def write(folder: Path, text: str = EXPERIMENT, name: str = "small.yaml") -> Path:
    file = folder / name
    file.write_text(text)
    return file


def run(folder: Path, file: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return workbench(folder, "run", str(file), "--plugins", str(PLUGINS), *words)


def records(folder: Path, name: str = "small") -> dict[tuple[str, ...], dict]:
    found = [json.loads(file.read_text()) for file in (folder / "results" / name / "trials").glob("*/record.json")]
    return {tuple(label for axis, label in each["axes"].items() if axis != "seed"): each for each in found}


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> tuple[Path, str]:
    """A folder in which the small experiment has run, and what it printed."""
    folder = tmp_path_factory.mktemp("finished")
    result = run(folder, write(folder), "--workers", "2")
    assert result.returncode == 0, result.stdout + result.stderr
    return folder, result.stdout


def test_every_trial_leaves_a_record_predictions_and_a_curve(finished):
    folder, _ = finished
    found = records(folder)
    assert len(found) == 4
    for record in found.values():
        trial = folder / "results/small/trials" / record["id"]
        lines = [json.loads(line) for line in (trial / "predictions.jsonl").read_text().splitlines()]
        assert len(lines) == 3 * 24
        assert {line["condition"] for line in lines} == {"picture", "no_picture", "shuffled"}
        right = [line["scores"]["vqa_accuracy"] for line in lines if line["condition"] == "picture"]
        assert record["metrics"]["vqa_accuracy"] == pytest.approx(sum(right) / len(right))
        assert len((trial / "curve.jsonl").read_text().splitlines()) == 6
        for cost in (
            "parameters",
            "trainable_parameters",
            "bytes",
            "training_seconds",
            "latency_ms",
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


def test_running_again_does_nothing_and_says_so(finished):
    folder, _ = finished
    before = {file: file.stat().st_mtime_ns for file in folder.rglob("record.json")}
    result = run(folder, folder / "small.yaml")
    assert result.returncode == 0
    assert "4 of 4 trials done (4 before this run)" in result.stdout
    assert {file: file.stat().st_mtime_ns for file in folder.rglob("record.json")} == before


def test_a_new_fusion_runs_only_its_own_trials(finished):
    folder, _ = finished
    text = EXPERIMENT.replace("[concat_projection, cross_attention]", "[concat_projection, cross_attention, gated]")
    result = run(folder, write(folder, text))
    assert result.returncode == 0, result.stdout + result.stderr
    assert result.stdout.count(": tune (") == 1
    assert result.stdout.count(": evaluate (") == 2
    assert "(4 before this run)" in result.stdout


def test_the_plan_says_what_is_done_and_what_is_not(finished):
    folder, _ = finished
    text = EXPERIMENT.replace("quantizer: [none, int8]", "quantizer: [none, int8]\nseeds: [0, 1]")
    file = write(folder, text, "small.yaml")
    result = workbench(folder, "plan", str(file), "--plugins", str(PLUGINS))
    assert result.returncode == 0, result.stderr
    assert result.stdout.count("to do: tune, evaluate") == 4
    assert "8 trials, 4 done, 0 failed; 12 distinct stages of 16, 6 to do" in result.stdout
    assert "to do: 2 x tune (new)" in result.stdout
    assert "to do: 4 x evaluate (new)" in result.stdout


def test_the_same_seed_gives_the_same_weights_and_answers(finished, tmp_path):
    folder, _ = finished
    assert run(tmp_path, write(tmp_path), "--workers", "1").returncode == 0
    for axes, record in records(tmp_path).items():
        first = records(folder)[axes]
        assert record["metrics"]["loss"] == pytest.approx(first["metrics"]["loss"], abs=1e-5)


@pytest.mark.parametrize(
    ("fusion", "told"),
    [
        ("raising", "this fusion is broken"),
        ("dying", "exit code 3"),
        ("no_number", "the loss became nan in phase 'tune' at step 1"),
    ],
)
def test_a_trial_that_fails_stops_no_other(tmp_path, fusion, told):
    text = EXPERIMENT.replace("[concat_projection, cross_attention]", f"[{fusion}, cross_attention]")
    result = run(tmp_path, write(tmp_path, text), "--workers", "1")
    assert result.returncode == 1, result.stdout + result.stderr
    found = records(tmp_path)
    assert {axes: record["status"] for axes, record in found.items()} == {
        (fusion, "none"): "failed",
        (fusion, "int8"): "failed",
        ("cross_attention", "none"): "done",
        ("cross_attention", "int8"): "done",
    }
    assert told in found[fusion, "none"]["error"]["message"]
    assert told in result.stdout
    report = workbench(tmp_path, "report", str(tmp_path / "results/small"), "--plugins", str(PLUGINS))
    assert report.returncode == 0, report.stderr
    page = (tmp_path / "results/small/report/report.html").read_text()
    assert told in html.unescape(page)


def test_control_c_keeps_what_is_finished_and_the_next_run_continues(tmp_path):
    text = EXPERIMENT.replace("[concat_projection, cross_attention]", "[concat_projection, waiting]")
    file = write(tmp_path, text)
    command = [sys.executable, "-m", "workbench.cli", "run", str(file), "--plugins", str(PLUGINS), "--workers", "1"]
    process = subprocess.Popen(
        command, cwd=tmp_path, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + 60
    while not list(tmp_path.glob("results/artifacts/*/stage.json")) and time.monotonic() < deadline:
        time.sleep(0.1)
    time.sleep(1.0)
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "run again to continue" in told
    assert "Traceback" not in told
    result = run(tmp_path, write(tmp_path, EXPERIMENT), "--workers", "2")
    assert result.returncode == 0, result.stdout + result.stderr
    assert result.stdout.count(": tune (") == 1


def test_a_contrastive_phase_is_shared_by_all_fusions_and_teaches_the_encoder(tmp_path):
    text = EXPERIMENT.replace(
        "  phases:\n",
        "  phases:\n    - {name: contrast, objective: contrastive, tasks: [captions], train: [encoder], steps: 3}\n",
    ).replace("quantizer: [none, int8]", "quantizer: [none]")
    result = run(tmp_path, write(tmp_path, text), "--workers", "2")
    assert result.returncode == 0, result.stdout + result.stderr
    assert result.stdout.count(": contrast (") == 1
    assert result.stdout.count(": tune (") == 2
    trial = next((tmp_path / "results/small/trials").glob("*/curve.jsonl"))
    phases = [json.loads(line)["phase"] for line in trial.read_text().splitlines()]
    assert phases == ["contrast"] * 3 + ["tune"] * 6


def test_an_adapter_axis_shares_the_phases_before_it(tmp_path):
    text = EXPERIMENT.replace(
        "grid:\n",
        "    - {name: adapt, train: [adapter], steps: 4, batch: 4}\ngrid:\n  adapter: [full, {name: lora, rank: 2}]\n",
    ).replace("  fusion: [concat_projection, cross_attention]\n", "")
    result = run(tmp_path, write(tmp_path, text), "--workers", "2")
    assert result.returncode == 0, result.stdout + result.stderr
    assert result.stdout.count(": tune (") == 1
    assert result.stdout.count(": adapt (") == 2
    found = records(tmp_path)
    share = {axes[0]: record["metrics"]["trainable_parameters"] for axes, record in found.items()}
    assert share["lora"] < 0.5 * share["full"]
    parameters = {record["metrics"]["parameters"] for record in found.values()}
    assert len(parameters) == 1, "a merged adapter leaves the model's size as it was"


def test_a_label_in_brackets_is_shown_whole(tmp_path):
    text = EXPERIMENT.replace("[none, int8]", "[{name: int8, include: ['encoder.*']}, int8]")
    text = text.replace("[concat_projection, cross_attention]", "[concat_projection]")
    result = run(tmp_path, write(tmp_path, text), "--workers", "1")
    assert result.returncode == 0, result.stdout + result.stderr
    assert "int8(include=[encoder.*])" in result.stdout
