"""The command line as a whole: its commands, how it ends, and what it does not load."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.small import PLUGINS, CommandLine, write

# In the order of the work, as `workbench --help` lists them.
COMMANDS = (
    *("plugins", "new", "check", "plan", "match", "power", "run", "clean", "make-vqa", "report", "verify"),
    *("ask", "attention", "preview", "demo", "export"),
)


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
    assert re.findall(r"^\W ([a-z][a-z-]*) ", child.stdout, re.MULTILINE) == list(COMMANDS)
    assert min(first, second) < 1, "0.3 s when the machine has nothing else to do"


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(workbench, command):
    told = workbench(command, "--help")
    assert told.code == 0
    assert f"workbench {command}" in told.output


MISTAKES = {
    "there is no kind of plugin 'fusoin'. Did you mean 'fusion'?": ("plugins", "fusoin"),
    "there is no kind of plugin 'adaptor'. Did you mean 'adapter'?": ("plugins", "adaptor", "lora"),
    "there is no adapter 'lore'. Did you mean 'lora'?": ("plugins", "adapter", "lore"),
    "smal.yaml": ("plan", "smal.yaml"),
    "is no results folder: it has no experiment.json": ("report", "."),
    "there is no such file": ("plan", "a" * 300 + ".yaml"),
    "no name on a disk is so long": ("verify", "a" * 300),
    "base.encoder.checkpoint: no name on a disk is so long": (
        "plan",
        "small.yaml",
        "--plugins",
        str(PLUGINS),
        "--set",
        f"base.encoder={{name: huggingface, checkpoint: {'a' * 300}}}",
    ),
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
