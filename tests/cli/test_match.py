"""`match` in a file: every command sees the same sized trials, and what was set stands in plan, records and report."""

from __future__ import annotations

import json

import pytest
from PIL import Image

from tests.small import PLUGINS, SMALL, CommandLine, records, write

WIDE = SMALL.replace("name: gpt, width: 16", "name: gpt, width: 32")
GRID = WIDE + "grid:\n  fusion: [concat_projection, gated]\nseeds: [0, 1]\n"


@pytest.fixture
def workbench(tmp_path, monkeypatch, capsys) -> CommandLine:
    return CommandLine(tmp_path, monkeypatch, capsys)


def test_all_commands_see_the_same_sized_trials(workbench: CommandLine):
    file = write(workbench.folder, GRID + "match: {parameters: language_model.width}\n")
    planned = workbench("plan", file, "--plugins", PLUGINS)
    assert planned.code == 0, planned.errors
    [line] = [line for line in planned.output.splitlines() if line.startswith("matched by parameters: gated: ")]
    assert "4 to do" not in planned.output
    assert workbench.run_inside(file).code == 0
    found = records(workbench.folder)
    widths = {each["axes"]["fusion"]: each["spec"]["language_model"]["width"] for each in found}
    assert widths["concat_projection"] == 32
    assert f"gated: language_model.width={widths['gated']}, " in line
    counts = {each["axes"]["fusion"]: each["metrics"]["parameters"] for each in found}
    assert f"{counts['gated']:,} parameters" in line
    assert abs(counts["gated"] / counts["concat_projection"] - 1) <= 0.1
    again = workbench("plan", file, "--plugins", PLUGINS, "--set", "launcher=inside")
    assert "4 trials, 4 done" in again.output
    assert workbench("report", file, "--plugins", PLUGINS).code == 0
    page = (workbench.folder / "results/small/report/report.html").read_text(encoding="utf-8")
    assert f"language_model.width={widths['gated']} in gated" in page
    assert workbench("power", file, "--plugins", PLUGINS, "--set", "statistics.seed_spread=3").code == 0
    assert workbench("verify", "results/small", "--plugins", PLUGINS).code == 0
    summary = json.loads((workbench.folder / "results/small/experiment.json").read_text())
    assert [each["settings"] for each in summary["matched"]] == [{}, {"language_model.width": widths["gated"]}]


def test_steps_that_are_set_stand_in_records_and_report(workbench: CommandLine):
    text = GRID.replace("steps: 2", "steps: 200").replace("seeds: [0, 1]\n", "")
    file = write(workbench.folder, text + "match: flops\n")
    assert workbench.run_inside(file).code == 0
    summary = json.loads((workbench.folder / "results/small/experiment.json").read_text())
    [plain, gated] = summary["matched"]
    assert plain["settings"] == {}
    set_to = gated["settings"]["phases.tune.steps"]
    assert set_to < 200
    found = {each["axes"]["fusion"]: each for each in records(workbench.folder)}
    assert found["concat_projection"]["spec"]["phases"][0]["steps"] == 200
    assert found["gated"]["spec"]["phases"][0]["steps"] == set_to
    curve = (workbench.folder / "results/small/trials" / found["gated"]["id"] / "curve.jsonl").read_text()
    assert len(curve.splitlines()) == set_to, "so many steps were really trained"
    assert workbench("report", file, "--plugins", PLUGINS).code == 0
    page = (workbench.folder / "results/small/report/report.html").read_text(encoding="utf-8")
    assert "Variants were matched by flops: all are within" in page
    assert f"phases.tune.steps={set_to} in gated" in page


def test_what_cannot_be_matched_ends_with_2_and_names_file_line_and_key(workbench: CommandLine):
    file = write(workbench.folder, GRID + "match: {parameters: language_model.depth}\n")
    told = workbench("plan", file, "--plugins", PLUGINS)
    assert told.code == 2
    line = len(GRID.splitlines()) + 1
    assert f"{file}:{line}: match.parameters: 'gated' comes nearest with what is written: " in told.errors
    assert "Name an option that brings it within 10%" in told.errors
    assert not told.output


def test_a_preview_is_of_the_sized_trial(workbench: CommandLine):
    file = write(workbench.folder, GRID + "match: {parameters: language_model.depth}\n")
    assert workbench("preview", file, "--plugins", PLUGINS).code == 2
    file = write(workbench.folder, GRID + "match: {parameters: language_model.width}\n")
    assert workbench("preview", file, "--trial", "3", "--plugins", PLUGINS).code == 0


def test_a_report_of_a_file_whose_data_is_gone_is_that_of_the_last_run(workbench: CommandLine):
    rows = [{"image": f"{n}.png", "question": "what?", "answers": ["red"]} for n in range(4)]
    (workbench.folder / "images").mkdir()
    for row in rows:
        Image.new("RGB", (16, 16), "red").save(workbench.folder / "images" / row["image"])
    for split in ("train", "test"):
        (workbench.folder / f"{split}.jsonl").write_text("\n".join(map(json.dumps, rows)))
    data = "dataset: {name: folder, tables: {train: train.jsonl, test: test.jsonl}, images: images}"
    text = GRID.replace("dataset: squares", data).replace("seeds: [0, 1]\n", "")
    file = write(workbench.folder, text + "launcher: inside\nmatch: {parameters: language_model.width}\n")
    assert workbench("run", file, "--plugins", PLUGINS).code == 0
    (workbench.folder / "train.jsonl").unlink()
    told = workbench("report", file, "--plugins", PLUGINS)
    assert told.code == 0, told.errors
    assert "match: the variants cannot be made alike: dataset 'folder'" in told.output
    assert "so this is the report of the trials that its last run asked for" in told.output
    page = (workbench.folder / "results/small/report/report.html").read_text(encoding="utf-8")
    assert "Variants were matched by parameters" in page


def test_seconds_are_measured_once_and_used_from_then_on(workbench: CommandLine):
    text = GRID.replace("steps: 2", "steps: 400").replace("precision: fp32}\nmetrics", "precision: auto}\nmetrics")
    file = write(workbench.folder, text + "match: time\n")
    before = workbench("plan", file, "--plugins", PLUGINS)
    assert before.code == 2
    assert f"{file}:{len(text.splitlines()) + 1}: match: " in before.errors
    assert "workbench match FILE" in before.errors
    told = workbench("match", file, "--plugins", PLUGINS, "--device", "cpu")
    assert told.code == 0, told.errors
    kept = workbench.folder / "small.step_seconds.json"
    content = json.loads(kept.read_text())
    assert [each["of"] for each in content["steps"]] == ["tune of concat_projection", "tune of gated"]
    slow, fast = (each["seconds"] for each in content["steps"])
    [line] = [line for line in told.output.splitlines() if line.startswith("matched by time: gated: ")]
    set_to = round(400 * slow / fast)
    assert f"phases.tune.steps={set_to:,}" in line or set_to == 400
    measured = kept.read_bytes()
    again = workbench("match", file, "--plugins", PLUGINS, "--device", "cpu")
    assert "says how long every step takes" in again.output
    assert line in again.output
    assert kept.read_bytes() == measured
    planned = workbench("plan", file, "--plugins", PLUGINS, "--set", "launcher=inside")
    assert line in planned.output
    added = ["--set", "grid.fusion=[concat_projection, gated, cross_attention]"]
    assert workbench("plan", file, "--plugins", PLUGINS, *added).code == 2
    assert workbench("match", file, "--plugins", PLUGINS, "--device", "cpu", *added).code == 0
    both = json.loads(kept.read_text())["steps"]
    assert both[:2] == content["steps"], "what was known is not measured again"
    assert len(both) == 3


def test_seconds_of_another_machine_are_added_to_by_none(workbench: CommandLine):
    file = write(workbench.folder, GRID.replace("steps: 2", "steps: 400") + "match: time\n")
    other = {"device": "another machine", "measured": "then", "steps": [{"step": "x", "of": "", "seconds": 1}]}
    (workbench.folder / "small.step_seconds.json").write_text(json.dumps(other))
    told = workbench("match", file, "--plugins", PLUGINS, "--device", "cpu")
    assert told.code == 2
    assert "measured on another machine" in told.errors
    assert workbench("match", file, "--plugins", PLUGINS, "--device", "cpu", "--again").code == 0


def test_there_is_something_to_match_or_that_is_said(workbench: CommandLine):
    told = workbench("match", write(workbench.folder, GRID), "--plugins", PLUGINS)
    assert told.code == 2
    assert "has no 'match'" in told.errors
    file = write(workbench.folder, GRID + "match: {parameters: language_model.width}\n")
    told = workbench("match", file, "--plugins", PLUGINS)
    assert told.code == 0
    assert [line.split(":")[0] for line in told.output.splitlines()] == ["matched by parameters"] * 2
