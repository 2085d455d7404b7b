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
