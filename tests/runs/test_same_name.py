"""Two experiment files of one name and one question: neither takes the results of the other without a word."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.small import PLUGINS, SMALL, CommandLine, files_of, write
from workbench.storage.checksums import sealed

OTHER = SMALL.replace("steps: 2", "steps: 3")
GRID = "grid:\n  fusion: [{}]\n"


@pytest.fixture
def workbench(tmp_path, monkeypatch, capsys) -> CommandLine:
    return CommandLine(tmp_path, monkeypatch, capsys)


def file_of(workbench: CommandLine, text: str, name: str = "small.yaml") -> Path:
    return write(workbench.folder, f"name: same\n{text}", name)


def test_another_file_that_shares_no_trial_is_refused_with_both_named(workbench):
    first, second = file_of(workbench, SMALL, "first.yaml"), file_of(workbench, OTHER, "second.yaml")
    assert workbench.run_inside(first).code == 0
    assert workbench("report", first, "--plugins", PLUGINS).code == 0
    before = files_of(workbench.folder / "results")
    for told in (
        workbench.run_inside(second),
        workbench("plan", second, "--plugins", PLUGINS),
        workbench("report", second, "--plugins", PLUGINS),
    ):
        assert told.code == 2
        assert (
            f"results/same holds the results of another experiment file: {first.resolve()} has the same" in told.errors
        )
        assert f"shares no trial with {second}" in told.errors
        assert "Give this one a 'name' of its own, give another folder with --results" in told.errors
    assert files_of(workbench.folder / "results") == before
    assert workbench.run_inside(second, "--set", "name=second").code == 0


def test_a_file_that_is_edited_goes_on_in_its_folder(workbench):
    file = file_of(workbench, SMALL)
    assert workbench.run_inside(file).code == 0
    for text in (OTHER, OTHER + "seeds: [0, 1]\n", OTHER + GRID.format("gated")):
        told = workbench.run_inside(file_of(workbench, text))
        assert (told.code, "note:" in told.output) == (0, False)
    assert workbench.run_inside(file, "--set", "base.phases.tune.steps=4").code == 0


@pytest.mark.parametrize("goes", [lambda file, folder: file.rename(folder / "a.yaml"), lambda file, folder: None])
def test_a_file_that_was_moved_or_removed_and_then_edited_goes_on(workbench, goes):
    first = file_of(workbench, SMALL, "first.yaml")
    assert workbench.run_inside(first).code == 0
    moved = goes(first, workbench.folder)
    first.unlink(missing_ok=True)
    assert workbench.run_inside(file_of(workbench, OTHER, moved.name if moved else "b.yaml")).code == 0


def test_of_another_file_that_shares_some_trials_the_others_are_told(workbench):
    first = file_of(workbench, SMALL + GRID.format("concat_projection, gated"), "first.yaml")
    second = file_of(workbench, SMALL + GRID.format("concat_projection, cross_attention"), "second.yaml")
    assert workbench.run_inside(first).code == 0
    told = workbench.run_inside(second)
    assert told.code == 0
    assert (
        f"note: 1 of the 2 trials in results/same are of {first} alone: they stay, and `workbench report" in told.output
    )
    assert workbench("report", first, "--plugins", PLUGINS).code == 0


@pytest.mark.parametrize("content", ["", "{", "[]", "null", '{"name": 3}', '{"name": "same"}'])
def test_a_damaged_summary_is_written_anew_from_the_file(workbench, content):
    file = file_of(workbench, SMALL)
    assert workbench.run_inside(file).code == 0
    summary = workbench.folder / "results/same/experiment.json"
    whole = summary.read_text()
    summary.write_text(content)
    told = workbench("plan", file, "--plugins", PLUGINS)
    assert "note: results/same/experiment.json is damaged: a run writes it anew" in told.output
    assert workbench("report", file, "--plugins", PLUGINS).code == 0
    told = workbench("report", "results/same", "--plugins", PLUGINS)
    assert told.code == 2
    assert "Run its experiment again, which makes it anew" in told.errors
    told = workbench.run_inside(file)
    assert told.code == 0
    assert "1 of 1 trials done (1 before this run)" in told.output
    known = {"auto_precision": "fp32"}  # as its trials tell
    assert json.loads(summary.read_text()) == sealed({**json.loads(whole), **known})


def test_a_file_of_somebody_else_is_not_taken_for_a_damaged_summary(workbench):
    mine = workbench.folder / "results/same/experiment.json"
    mine.parent.mkdir(parents=True)
    mine.write_text('{"reagents": 12}')
    told = workbench.run_inside(file_of(workbench, SMALL))
    assert told.code == 2
    assert "nothing beside it is of a run: then move it away" in told.errors
    assert json.loads(mine.read_text()) == {"reagents": 12}


DERIVED = (
    *("small/experiment.json", "small/experiment.yaml", "small/trials/.checked.json", "artifacts/checks.json"),
    *("artifacts/*/stage.json", "artifacts/*/weights.safetensors", "artifacts/*/curve.jsonl"),
    *("artifacts/*/tokenizer.json", "artifacts/.needed/small-0123456789ab.json", "artifacts/.locks/runs"),
    *("small/trials/[!.]*/record.json", "small/trials/[!.]*/predictions.jsonl", "small/trials/[!.]*/curve.jsonl"),
)


@pytest.mark.parametrize("content", [b"", b"{", b"[[]]", b'{"a": 1}', b"\xff\xfe\x00", b"[" * 100_000])
def test_every_file_that_a_run_derives_is_made_again_where_it_is_damaged(workbench, content):
    """Each alone would take a run each: all of them at once take two."""
    file = write(workbench.folder)
    results = workbench.folder / "results"
    assert workbench.run_inside(file).code == 0
    for pattern in DERIVED:
        for place in list(results.glob(pattern)) or [results / pattern]:
            if "*" not in place.as_posix():
                place.parent.mkdir(parents=True, exist_ok=True)
                place.write_bytes(content)
    told = workbench.run_inside(file)
    assert (told.code, told.errors) == (0, "")
    assert "1 of 1 trials done\n" in told.output
    told = workbench.run_inside(file)
    assert "1 of 1 trials done (1 before this run)" in told.output
    assert workbench("report", file, "--plugins", PLUGINS).code == 0


def test_a_copy_of_a_project_goes_on_by_itself(workbench, tmp_path, monkeypatch, capsys):
    assert workbench.run_inside(file_of(workbench, SMALL)).code == 0
    shutil.copytree(workbench.folder, tmp_path / "copy")
    copy = CommandLine(tmp_path / "copy", monkeypatch, capsys)
    assert copy.run_inside(file_of(copy, OTHER)).code == 0
