"""The command line: what it says, how it ends, and what it does not load."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.small import PLUGINS, SMALL, CommandLine, write
from workbench.hookspecs import KINDS

COMMANDS = ("plugins", "new", "check", "plan", "run", "report", "ask", "attention", "preview", "export", "demo")


@pytest.fixture
def workbench(tmp_path, monkeypatch, capsys) -> CommandLine:
    return CommandLine(tmp_path, monkeypatch, capsys)


def test_help_lists_every_command_quickly_and_without_torch(tmp_path):
    program = (
        "import sys\nsys.argv = ['workbench', '--help']\nfrom workbench.cli.main import main\n"
        "try:\n    main()\nfinally:\n    print('heavy:', sorted({'torch', 'pandas', 'numpy'} & set(sys.modules)))"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}

    def timed() -> tuple[float, subprocess.CompletedProcess[str]]:
        started = time.perf_counter()
        told = subprocess.run(
            [sys.executable, "-c", program], cwd=tmp_path, env=environment, capture_output=True, text=True
        )
        return time.perf_counter() - started, told

    (first, _), (second, child) = timed(), timed()
    assert child.returncode == 0, child.stderr
    assert "heavy: []" in child.stdout
    for command in COMMANDS:
        assert f" {command} " in child.stdout
    assert min(first, second) < 1, "0.3 s when the machine has nothing else to do"


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(workbench, command):
    told = workbench(command, "--help")
    assert told.code == 0
    assert f"workbench {command}" in told.output


def test_plugins_lists_every_kind_with_options_defaults_and_origin(workbench):
    told = workbench("plugins", "--plugins", PLUGINS)
    assert told.code == 0
    lines = told.output.splitlines()
    for kind in KINDS:
        assert any(line.startswith(f"{kind} ") for line in lines), kind
    squares = next(line for line in lines if " squares " in line)
    assert "Images of one colour, with questions and captions about it." in squares
    assert "images: int = 16" in squares
    assert "squares.py" in squares


def test_plugins_of_one_kind_are_listed_alone(workbench):
    told = workbench("plugins", "quantizer")
    assert told.code == 0
    kinds = {line.split()[0] for line in told.output.splitlines()[1:] if line and not line.startswith(" ")}
    assert kinds == {"quantizer"}


def test_a_plugin_that_cannot_be_loaded_is_listed_with_its_reason(workbench):
    (workbench.folder / "plugins").mkdir()
    (workbench.folder / "plugins" / "broken.py").write_text("import nothing_of_that_name\n")
    told = workbench("plugins")
    assert told.code == 0
    assert "broken.py: ModuleNotFoundError: No module named 'nothing_of_that_name'" in told.output


def test_one_plugin_is_shown_in_full_with_a_line_for_the_experiment_file(workbench):
    told = workbench("plugins", "adapter", "lora")
    assert told.code == 0
    assert "Low-rank adaptation" in told.output
    assert "rank: " in told.output
    assert "adapter: {name: lora, rank: 8, alpha: 16.0, dropout: 0.0, targets: " in told.output


MISTAKES = {
    "there is no kind of plugin 'fusoin'. Did you mean 'fusion'?": ("plugins", "fusoin"),
    "there is no kind of plugin 'adaptor'. Did you mean 'adapter'?": ("plugins", "adaptor", "lora"),
    "there is no adapter 'lore'. Did you mean 'lora'?": ("plugins", "adapter", "lore"),
    "smal.yaml": ("plan", "smal.yaml"),
    "is no results folder: it has no experiment.json": ("report", "."),
    "--device gpu:": ("run", "small.yaml", "--plugins", str(PLUGINS), "--device", "gpu"),
    "--device cuda:99:": ("run", "small.yaml", "--plugins", str(PLUGINS), "--device", "cuda:99"),
    "--device meta: nothing can be trained on it": (
        "plan",
        "small.yaml",
        "--plugins",
        str(PLUGINS),
        "--device",
        "meta",
    ),
    "--set metrics: this is no setting": ("plan", "small.yaml", "--plugins", str(PLUGINS), "--set", "metrics"),
    "there is no dataset 'squares'": ("plan", "small.yaml"),
}


@pytest.mark.parametrize("told", MISTAKES)
def test_a_users_mistake_is_told_in_words_with_exit_code_2(workbench, told):
    write(workbench.folder)
    ended = workbench(*MISTAKES[told])
    assert ended.code == 2
    assert told in ended.errors
    assert ended.errors.startswith("error: ")
    assert not (workbench.folder / "results").exists()


@pytest.mark.parametrize(
    "words", [("rum",), ("plan",), ("run", "small.yaml", "--workers", "0"), ("plan", "small.yaml", "--unknown")]
)
def test_a_command_that_is_written_wrongly_ends_with_exit_code_2(workbench, words):
    write(workbench.folder)
    told = workbench(*words)
    assert told.code == 2
    assert "Usage:" in told.errors


def test_a_plan_shows_every_trial_with_its_parameters_and_makes_nothing(workbench):
    file = write(workbench.folder, SMALL + "grid:\n  quantizer: [none, int8]\nseeds: [0, 1]\n")
    told = workbench("plan", file, "--plugins", PLUGINS)
    assert told.code == 0
    rows = [line.split() for line in told.output.splitlines() if " to do: " in line]
    assert [row[:2] for row in rows] == [["none", "0"], ["none", "1"], ["int8", "0"], ["int8", "1"]]
    assert len({tuple(row[2:4]) for row in rows}) == 1
    assert "4 trials, 0 done, 0 failed; 6 distinct stages of 8, 6 to do" in told.output
    assert [entry.name for entry in workbench.folder.iterdir()] == ["small.yaml"]


def test_a_plan_tells_what_does_not_fit_all_at_once(workbench):
    file = write(workbench.folder, SMALL + "grid:\n  encoder.heads: [2, 3]\n  connector: [linear, picky]\n")
    told = workbench("plan", file, "--plugins", PLUGINS)
    assert told.code == 2
    assert "encoder 'vit' cannot be used: 3 heads do not divide the width 16" in told.errors
    assert "connector 'picky' cannot be used: it takes tokens 7 wide" in told.errors
    assert not told.output


def test_a_run_ends_with_0_when_all_is_done_and_with_1_when_a_trial_failed(workbench):
    file = write(workbench.folder, SMALL + "grid:\n  fusion: [concat_projection, raising]\n")
    assert workbench.run(file, "--set", "grid.fusion=[concat_projection]").code == 0
    told = workbench.run(file)
    assert told.code == 1
    assert "1 of 2 trials done (1 before this run)" in told.output
    assert "ZeroDivisionError: this fusion is broken" in told.output
    assert not told.errors
