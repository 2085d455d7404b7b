"""`workbench plugins`: what it lists of each plugin, and of those that cannot be loaded."""

from __future__ import annotations

import pytest

from tests.small import PLUGINS, CommandLine
from workbench.hookspecs import KINDS


@pytest.fixture
def workbench(tmp_path, monkeypatch, capsys) -> CommandLine:
    return CommandLine(tmp_path, monkeypatch, capsys)


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
